"""Whether a run has learned enough for its suspected label errors to mean anything.

The AUM and the mean loss are averages over epochs, so what counts is how many labels the model got
right on average over the same epochs, beyond what the most frequent class would. Three runs on
`digits` with 10 or 20 % wrong labels, judged by their first 1 to 30 epochs: of as many suspects as
there were wrong labels, 17 to 86 % were wrong labels where the model had covered less than half of
that distance, 85 to 97 % where it had covered more. With 40 % wrong labels the line is cautious: 61
to 97 % below it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.history.analysis import History, Suspects

ENOUGH = 0.5  # of the way from the most frequent class to all labels


@dataclass(frozen=True)
class Evidence:
    """How much the model knew in the epochs that suspects are judged by."""

    epochs: int
    correct: float  # fraction of the labels predicted, on average over the epochs
    latest: float  # fraction of the labels predicted at last
    most_frequent: float  # fraction of the examples that have the most frequent class
    suspects: int
    as_labelled: int  # suspects whose latest prediction is their label

    @property
    def thin(self) -> bool:
        """Whether the suspects may well be right."""
        return self.skill(self.correct) < ENOUGH

    def skill(self, correct: float) -> float:
        """How far a fraction of right predictions is from the most frequent class to all, to 1."""
        return (correct - self.most_frequent) / max(1 - self.most_frequent, 1e-9)

    def record(self) -> dict[str, Any]:
        """The entry of result.json."""
        return {
            "thin": self.thin,
            "mean_accuracy": self.correct,
            "latest_accuracy": self.latest,
            "most_frequent_class": self.most_frequent,
            "predicted_as_labelled": self.as_labelled,
        }

    def sentence(self) -> str:
        """Say that the evidence is thin and what to do; empty if it is not."""
        if not self.thin:
            return ""
        weak = self.skill(self.latest) < ENOUGH
        why = "the model is too weak" if weak else "the epochs are too few"
        remedy = "train a better model, or longer" if weak else "train longer"
        epochs = f"{self.epochs} epoch{'s' * (self.epochs != 1)}"
        return (
            f"the evidence is thin: {why}: over {epochs} it predicted {self.correct:.0%} of the "
            f"labels on average, the most frequent class has {self.most_frequent:.0%}; "
            f"{self.as_labelled} of {self.suspects} suspects are by now predicted as labelled; "
            f"{remedy}"
        )


def evidence_of(history: History, suspects: Suspects) -> Evidence | None:
    """Judge a classifier's records; None for several labels an example, or without records."""
    labels = history.labels
    if labels is None or labels.ndim > 1 or "correct" not in history.fields:
        return None
    latest = history.latest("correct")
    known = history.ordinary() & ~np.isnan(latest)
    if not known.any():
        return None
    flagged = latest[history.positions_of(suspects.ids[: suspects.flagged])]
    counts = np.bincount(labels[history.ids][known])
    return Evidence(
        history.epochs,
        float(history.mean("correct")[known].mean()),
        float(latest[known].mean()),
        float(counts.max() / counts.sum()),
        suspects.flagged,
        int((flagged == 1).sum()),
    )
