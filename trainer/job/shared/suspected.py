"""The labels of finished runs, ranked by how suspect they are: for job=examples and job=review."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from trainer.core.errors import ConfigError
from trainer.history.dynamics import expected_errors
from trainer.history.evidence import evidence_of
from trainer.job.shared import out_of_fold
from trainer.job.shared.cutoff import ESTIMATED, Cutoff, select
from trainer.job.shared.example_rows import measures, rows_of, with_suggestions
from trainer.job.shared.ranking import By, check_alike, scored, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from trainer.dataset import Data
    from trainer.history.analysis import Suspects
    from trainer.history.confident_joint import LabelErrors
    from trainer.history.evidence import Evidence
    from trainer.job.shared.example_rows import Row
    from trainer.trained.examined import Examined

    SavedData = Callable[[str | None, str], tuple[Path, Data]]
    Examine = Callable[[str | None, str, Sequence[str]], dict[str, Examined]]
    Ranked = tuple[Suspects, list[Row], LabelErrors | None]

SPLITS = "train", "val", "test"


def checked_window(window: list[float] | None) -> list[float] | None:
    """Return the setting. Raises ValueError for what it cannot be."""
    if window is not None and not (len(window) == 2 and 0 <= window[0] < window[1] <= 1):
        raise ValueError(f"job.window must be [a, b] with 0 <= a < b <= 1, got {window}")
    return window


class Suspected:
    """The data and the records of the run `saved`, or of the runs `several_saved`.

    `data`, `run`, its folder, and `look`, by which its model sees all splits, are the first one's.
    """

    def __init__(
        self,
        saved: str | None,
        several_saved: Sequence[str],
        saved_data: SavedData,
        examine: Examine,
        by: By,
        window: Sequence[float] | None,
    ) -> None:
        """Raise ConfigError for both or neither, DataError for runs on different data."""
        setting = "runs" if several_saved else "run"
        if saved is not None and several_saved:
            raise ConfigError("set either run, for one run, or runs, for several, but not both")
        references = several_saved or [saved]
        opened = [saved_data(reference, setting) for reference in references]
        looks = [cache(partial(examine, each, setting, SPLITS)) for each in references]
        self.run, self.data = opened[0]
        self.look: Callable[[], dict[str, Examined]] = looks[0]
        self.sources = [
            source_of(path, str(path), window, partial(training_split, look))
            for (path, _), look in zip(opened, looks, strict=True)
        ]
        train = self.data.train
        self.sources[0].whole.check_split(train.ids.numpy(), train.labels.numpy())
        check_alike(self.sources)
        self.several = self.data.target == "multilabel"
        self.by = by if by != "auto" else "aum" if self.several else "combined"

    def ranked(self, rows: int, last: int = 1, cutoff: Cutoff = ESTIMATED) -> Ranked:
        """The suspects, a row for each of the first `rows` or all of them, the errors expected.

        Rows have the mean loss of the `last` epochs. Raises ConfigError for a score that the task
        lacks.
        """
        if self.by == "out_of_fold":
            if len(self.sources) > 1:
                raise ConfigError("job.by=out_of_fold needs one run of a sweep over dataset.fold")
            return out_of_fold.suspects(self.run, self.data, cutoff, rows)
        if self.several and self.by not in ("aum", "loss"):
            raise ConfigError(
                f"job.by={self.by} needs one class per image; take job.by=aum or loss"
            )
        scores, stores = scored(self.sources, self.by), [source.store for source in self.sources]
        expected = None
        if not self.several:
            expected = expected_errors(stores, scores.ids, len(self.data.classes))
        suspects = select(scores, cutoff, expected)
        ids = suspects.ids[: max(rows, suspects.flagged)]
        listed = rows_of(stores[0], self.data, self.values(suspects, last), ids)
        if not self.several:
            listed = with_suggestions(listed, stores, self.data, ids)
        return suspects, listed, expected

    def evidence(self, suspects: Suspects) -> Evidence | None:
        """What the first run's model knew, over all epochs or, if that is less, in the window."""
        first = self.sources[0]
        found = (evidence_of(store, suspects) for store in (first.whole, first.store))
        return min(filter(None, found), key=lambda each: each.correct, default=None)

    def values(self, suspects: Suspects, last: int) -> dict[str, np.ndarray]:
        """The measures of the first run, and the score where it is none of them, as [n]."""
        store = self.sources[0].store
        values = measures(store, last)
        if self.by not in values or len(self.sources) > 1:
            alone = len(self.sources) == 1 and self.by != "combined"
            by_id = np.full(store.size, np.nan)
            by_id[suspects.ids] = suspects.values
            values[self.by if alone else "mean_rank"] = by_id[store.ids]
        return values


def training_split(look: Callable[[], dict[str, Examined]]) -> Examined:
    """The training split, looked at together with the others, once."""
    return look()["train"]
