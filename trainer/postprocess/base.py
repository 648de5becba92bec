"""The postprocessing contract, and the file that stores the fitted values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from trainer.core.batch import Target
from trainer.core.errors import CheckpointError
from trainer.report.strict_json import finite
from trainer.storage.run_folder import write_json
from trainer.storage.untrusted import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.training.evaluate import Evaluation, Evaluator

FILE = "postprocess.json"  # in the run folder
LARGEST = 2**26  # maximum bytes of that file: isotonic stores a function per class


class Postprocess(ABC):
    """A correction of outputs: fitted on the validation split, applied to every split.

    `fit` stores its result in `fitted`, as plain numbers and lists that are saved with the run.
    """

    targets: ClassVar[tuple[Target, ...]] = ("class",)  # the types of label it supports
    needs_val = True  # whether `fit` must be called
    measures: ClassVar[tuple[str, ...]] = ()  # metrics that `measure` may return

    def __init__(self) -> None:
        self.fitted: dict[str, Any] = {}

    def instead(self, target: Target) -> str | None:
        """The setting with which it supports a kind of target that it does not, if any."""
        return None

    def prepare(self, class_counts: Tensor) -> None:
        """Set up from the number of training examples of each class [C].

        Raises ValueError if the settings do not fit the number of classes.
        """

    @abstractmethod
    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Fit on outputs [N, C] and labels [N] or bool [N, C] of the val split, on the CPU."""

    @abstractmethod
    def __call__(self, outputs: Tensor) -> Tensor:
        """The corrected outputs [N, C] of outputs [N, C]."""

    def learn(self, class_counts: Tensor, val: Evaluation | None) -> None:
        """Prepare from examples per class [C], then fit to the evaluation on val, if any."""
        if val is None or val.records["label"].ndim == 1:  # else a class is not a single index
            self.prepare(class_counts)
        if val is not None:
            self.fit(val.outputs, val.records["label"])

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """The metrics that `fit` tunes, for outputs [N, C] and labels [N] of a split."""
        return {}

    def results(self, name: str, plain: Evaluation, evaluator: Evaluator) -> dict[str, Evaluation]:
        """The evaluations of a split: `<name>_before` the correction and `<name>` after it."""
        labels, device = plain.records["label"], evaluator.forward.device
        after = evaluator.judge(
            plain.ids,
            self(plain.outputs).to(device),
            labels.to(device),
            plain.records.get("group"),
        )
        evaluations = {f"{name}_before": plain, name: after}
        return {
            key: replace(value, metrics=value.metrics | self.measure(value.outputs, labels))
            for key, value in evaluations.items()
        }

    def save(self, folder: Path, settings: dict[str, Any], origin: str) -> None:
        """Save `fitted` with its settings and the `origin` of the outputs, such as `step-120`."""
        record = {"settings": settings, "of": origin, "fitted": self.fitted}
        write_json(folder / FILE, record)

    def load(self, folder: Path, settings: dict[str, Any], origin: str) -> bool:
        """Restore `fitted` if it was saved with these settings for outputs of this origin.

        Returns whether it was. Raises CheckpointError if the file cannot be read.
        """
        path = folder / FILE
        if not path.is_file():
            return False
        try:
            record = read_json(path, LARGEST)
            same = finite(record["settings"]) == finite(settings) and record["of"] == origin
            fitted = dict(record["fitted"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} cannot be read: {error!r}") from error
        if same:
            self.fitted = fitted
        return same
