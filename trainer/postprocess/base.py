"""What postprocessing does, and where what it has fitted is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from trainer.core.batch import Target
from trainer.core.errors import CheckpointError
from trainer.storage.run_folder import write_json
from trainer.storage.untrusted import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.dataset import Data
    from trainer.training.evaluate import Evaluation, Evaluator

FILE = "postprocess.json"  # in the run folder
LARGEST = 2**26  # bytes of it: isotonic keeps a step function for each class


class Postprocess(ABC):
    """Fitted on the outputs of the validation split, applied to those of any split.

    `fitted` holds what `fit` found as plain numbers and lists: it is saved with the run, and what
    is read back takes its place.
    """

    targets: ClassVar[tuple[Target, ...]] = ("class",)  # what it has a meaning for
    needs_val = True  # whether it is fitted on a validation split

    def __init__(self) -> None:
        self.fitted: dict[str, Any] = {}

    def prepare(self, class_counts: Tensor) -> None:
        """Take what is needed of the training split: examples of each class [C]."""

    @abstractmethod
    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Fit on outputs [N, C] and labels [N] of the validation split, on the CPU."""

    @abstractmethod
    def __call__(self, outputs: Tensor) -> Tensor:
        """Outputs [N, C] to outputs [N, C]."""

    def learn(self, data: Data, val: Evaluation | None) -> None:
        """Prepare and fit with the data of a run and what its model does on val, where there is."""
        self.prepare(data.class_counts())
        if val is not None:
            self.fit(val.outputs, val.records["label"])

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """Metrics of a split beside the task's: what `fit` has tuned."""
        return {}

    def results(self, name: str, plain: Evaluation, evaluator: Evaluator) -> dict[str, Evaluation]:
        """A split before and after, by `<name>_before` and `<name>`."""
        labels, device = plain.records["label"], evaluator.forward.device
        after = evaluator.judge(plain.ids, self(plain.outputs).to(device), labels.to(device))
        found = {f"{name}_before": plain, name: after}
        return {
            key: replace(value, metrics=value.metrics | self.measure(value.outputs, labels))
            for key, value in found.items()
        }

    def save(self, folder: Path, settings: Any, of: str) -> None:
        """Write what was fitted with some settings to the outputs of something: `step-120`."""
        held = {"settings": settings, "of": of, "fitted": self.fitted}
        write_json(folder / FILE, held)

    def load(self, folder: Path, settings: Any, of: str) -> bool:
        """Take it back; whether it was there, with these settings, to those outputs.

        Raises CheckpointError where the file cannot be read.
        """
        path = folder / FILE
        if not path.is_file():
            return False
        try:
            held = read_json(path, LARGEST)
            same = held["settings"] == settings and held["of"] == of
            fitted = dict(held["fitted"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} cannot be read: {error!r}") from error
        if same:
            self.fitted = fitted
        return same
