"""A finished run, loaded when it is first used: weights, model, features."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainer.core.errors import CheckpointError, ConfigError
from trainer.storage.saved_run import SavedRun

if TYPE_CHECKING:
    from trainer.dataset import Split
    from trainer.run.components import Components
    from trainer.storage.checkpoint import Checkpoint
    from trainer.storage.restored import Restore


class RestoredRun:
    """A finished run with its own settings. See `trainer.storage.restored.Restored`."""

    def __init__(self, outer: Components, reference: str, setting: str) -> None:
        """Raises ConfigError where there is no run, CheckpointError where its config is refused."""
        self.about = f"{setting}={reference}"
        self.outer = outer
        self.saved = SavedRun.at(reference, setting)
        config = self.saved.config(outer.known_code)
        self.components = outer.of_saved(config, asked=False)
        self.loaded = False  # whether its model has its weights

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The one that is referred to, otherwise the run's best."""
        return self.saved.checkpoint(self.outer.console.warn)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The checkpoint's weights by parameter name."""
        return self.checkpoint.model

    @property
    def model(self) -> nn.Module:
        """The run's own model with its weights, in train mode, on the outer run's device."""
        if not self.loaded:
            load_weights(self.components.model, self.checkpoint)
            self.loaded = True
        return self.components.model

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each channel by which its inputs are standardised."""
        return self.components.data.mean

    @property
    def std(self) -> tuple[float, ...]:
        """The deviation of each channel."""
        return self.components.data.std

    @property
    def classes(self) -> tuple[str, ...]:
        """Its class names, in the order of its outputs."""
        return self.components.data.classes

    def features(self, split: Split) -> Tensor:
        """Inputs [n, d] of the model's last linear layer, on the CPU.

        They are those of the n examples of a split, unaugmented. Raises ConfigError where the
        model has no linear layer.
        """
        layers = [module for module in self.model.modules() if isinstance(module, nn.Linear)]
        if not layers:
            raise ConfigError(f"{self.about}: its model has no linear layer")
        taken: list[Tensor] = []
        hook = layers[-1].register_forward_pre_hook(
            lambda _, inputs: taken.append(inputs[0].flatten(1).float().cpu())
        )
        feed = self.outer.open_feed(split)
        for _ in self.components.evaluator.passes(feed, split.ids, self.outer.poll):
            pass
        hook.remove()
        return torch.cat(taken)


def restorer(outer: Components) -> Restore:
    """What loads the finished runs that the components `outer` refer to."""
    return lambda reference, setting: RestoredRun(outer, reference, setting)


def load_weights(model: nn.Module, found: Checkpoint) -> None:
    """Load a checkpoint's weights. Raises CheckpointError, in one line, where they do not fit."""
    try:
        model.load_state_dict(found.model)
    except RuntimeError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise CheckpointError(f"{found.path} does not fit the model: {reason}") from error
