"""Remembers in checkpoints which data a run trains on, so that other data is not resumed on."""

from collections.abc import Sequence
from functools import cached_property

from trainer.core.errors import ConfigError
from trainer.core.state import match_type
from trainer.dataset import Data
from trainer.dataset.shared.fingerprint import fingerprint


class DataCheck:
    """A part of a run whose state is the fingerprint of its data set.

    `allowed` is the setting `resume_allow`: with an entry of `dataset`, other data is accepted.
    """

    def __init__(self, data: Data, allowed: Sequence[str]) -> None:
        self.data = data
        self.accepts = any(entry.split(".")[0] == "dataset" for entry in allowed)

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """The fingerprints of classes, labels, splits and images."""
        return fingerprint(self.data)

    def state_dict(self) -> dict[str, str]:
        """Return the fingerprints."""
        return self.fingerprint

    def load_state_dict(self, state: dict[str, str]) -> None:
        """Raise ConfigError, naming what has changed, unless the data is the checkpoint's."""
        before = match_type(dict, state, "data")
        names = {**before, **self.fingerprint}
        changed = [name for name in names if before.get(name) != self.fingerprint.get(name)]
        if changed and changed != ["times"] and not self.accepts:  # a copy has times of its own
            raise ConfigError(
                f"resume: the data set has changed since the checkpoint: {', '.join(changed)}; "
                "restore it, or accept it as it is with resume_allow=[dataset]"
            )
