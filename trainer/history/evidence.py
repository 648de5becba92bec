"""Whether a run has learned enough for its suspected label errors to mean anything.

The AUM and the mean loss are averages over epochs, so what counts is how many labels the model got
right on average over the same epochs, beyond what the most frequent class would. Three runs on
`digits` with 10 or 20 % wrong labels, judged by their first 1 to 30 epochs: of as many suspects as
there were wrong labels, 17 to 86 % were wrong labels where the model had covered less than half of
that distance, 85 to 97 % where it had covered more. With 40 % wrong labels the line is cautious: 61
to 97 % below it.

With several labels an example, right means that all of them are, the most frequent class is the
most frequent set, and only suspects by AUM are judged. Eleven runs on `digits_canvas` with
`target=labels`, one to three digits on a canvas, and one answer flipped or one label missing for 10
to 40 % of the examples, judged by their first 1 to 40 epochs: among the labels flagged, wrong ones
were 0 to 2.3 times as frequent as among all where the model had covered less than half of the
distance; the two runs that covered more had 1.6 to 2.8 times as many, so that most labels flagged
were right even there. Skill does not tell what the mean loss finds: of the flipped answers 40 to
83 % after one epoch and 27 to 84 % after the last, fewer than before in six of nine runs; of the
missing labels 1 to 8 %.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.core.text import count
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
    several: bool = False  # labels an example, which are right if all of them are

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
            f"mean_{'exact_match' if self.several else 'accuracy'}": self.correct,
            f"latest_{'exact_match' if self.several else 'accuracy'}": self.latest,
            f"most_frequent_{'set' if self.several else 'class'}": self.most_frequent,
            "predicted_as_labelled": self.as_labelled,
        }

    def sentence(self) -> str:
        """Say that the evidence is thin and what to do; empty if it is not."""
        if not self.thin:
            return ""
        weak = self.skill(self.latest) < ENOUGH
        why = "the model is too weak" if weak else "the epochs are too few"
        remedy = "train a better model, or longer" if weak else "train longer"
        sets, kind = ("sets of labels", "set") if self.several else ("labels", "class")
        return (
            f"the evidence is thin: {why}: over {count(self.epochs, 'epoch')} it predicted "
            f"{self.correct:.0%} of the {sets} on average, the most frequent {kind} has "
            f"{self.most_frequent:.0%}; {self.as_labelled} of {count(self.suspects, 'suspect')} "
            f"{'is' if self.as_labelled == 1 else 'are'} by now predicted as labelled; {remedy}"
        )


def evidence_of(history: History, suspects: Suspects) -> Evidence | None:
    """Judge a classifier's records; None without records, or for several labels by their loss."""
    labels = history.labels
    if labels is None or "correct" not in history.fields:
        return None
    several = labels.ndim > 1
    if several and not rising(suspects.values):
        return None
    latest = history.latest("correct")
    known = history.ordinary() & ~np.isnan(latest)
    if not known.any():
        return None
    flagged = latest[history.positions_of(suspects.ids[: suspects.flagged])]
    _, counts = np.unique(labels[history.ids][known], axis=0, return_counts=True)
    return Evidence(
        history.epochs,
        float(history.mean("correct")[known].mean()),
        float(latest[known].mean()),
        float(counts.max() / counts.sum()),
        suspects.flagged,
        int((flagged == 1).sum()),
        several,
    )


def rising(values: np.ndarray) -> bool:
    """Whether suspects are ranked by their AUM, the lowest first, and not by their loss."""
    return bool(values[0] <= values[-1]) if len(values) else True
