"""Writes the page on which a person decides about suspected label errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.core.errors import CheckpointError, ConfigError
from trainer.core.ranges import within
from trainer.core.text import count
from trainer.dataset.shared.texts import Texts
from trainer.job.base import Job
from trainer.job.review.cards import card_of, neighbours_of
from trainer.job.review.images import data_uris, texts_of
from trainer.job.review.page import page
from trainer.job.shared.ranking import little_shared
from trainer.job.shared.suspected import Suspected, checked_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.dataset import Data
    from trainer.job.review.page import Neighbour
    from trainer.job.shared.ranking import By
    from trainer.job.shared.suspected import Examine, SavedData
    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder

FILE = "review.html"


class Review(Job):
    """Writes `review.html`: a card for each of the `number` most suspect labels of `run`.

    Each shows the image or text, its label, the suggested one with its probability, why the label
    is suspect, and the `neighbours` nearest training images by the model's features. The page
    stands alone, keeps decisions in the browser and saves them as `corrections.csv`, which
    `dataset.corrections` reads. `by`, `window` and `runs` rank labels as in job=examples.
    """

    def __init__(
        self,
        *,
        number: int = 300,
        by: By = "auto",
        window: list[float] | None = None,
        neighbours: int = 3,
    ) -> None:
        within("job.number", number, "[1, inf)")
        within("job.neighbours", neighbours, "[0, 20]")
        self.number = number
        self.by: By = by
        self.window = checked_window(window)
        self.neighbours = neighbours

    def __call__(
        self,
        *,
        saved: str | None,
        several_saved: list[str],
        saved_data: SavedData,
        examine: Examine,
        folder: RunFolder,
        console: Console,
    ) -> dict[str, Any]:
        """Rank the labels and write the page."""
        found = Suspected(saved, several_saved, saved_data, examine, self.by, self.window)
        if found.data.target != "class":
            raise ConfigError(
                f"job=review needs one class per image, {found.run} has targets of kind "
                f"{found.data.target}"
            )
        for each in little_shared(found.sources):
            console.warn(each)
        _, rows, _ = found.ranked(self.number)
        rows = [row for row in rows if row.get("suggested")][: self.number]
        ids = [int(row["id"]) for row in rows]
        near = self.nearest(found, ids, console)
        shown = [*ids, *(each.id for own in near.values() for each in own)]
        source, kind = found.data.train.images, found.data.kind
        texts = texts_of(source, shown) if isinstance(source, Texts) else {}
        images = {} if texts else data_uris(source, shown)
        pairs = zip(rows, ids, strict=True)
        cards = [card_of(row, found.by, near.get(i, ()), kind) for row, i in pairs]
        title = f"{found.run}: {count(len(cards), 'label')} to review"
        path = folder.path / FILE
        path.write_text(page(title, classes_of(found.data), cards, images, texts), encoding="utf-8")
        console.say(f"{count(len(cards), 'card')}, {path.stat().st_size / 1e6:.1f} MB")
        console.say(f"review        {path.absolute()}")
        console.say("then          dataset.corrections=corrections.csv, saved from the page")
        return {"cards": len(cards), "review": str(path)}

    def nearest(
        self, found: Suspected, ids: Sequence[int], console: Console
    ) -> Mapping[int, list[Neighbour]]:
        """The nearest training images by id; none where the run has no model to look with."""
        if not self.neighbours:
            return {}
        try:
            return neighbours_of(found.sources[0].look(), found.data, ids, self.neighbours)
        except CheckpointError as error:
            console.warn(f"no nearest images are shown: {error}")
            return {}


def classes_of(data: Data) -> list[str]:
    """The classes that a label may be: not the threshold class, which the images do not have."""
    return [name for i, name in enumerate(data.classes) if i != data.threshold]
