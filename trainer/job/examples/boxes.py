"""The files about objects: `objects.csv`, `forgotten.csv`, `suspects.csv`, and their pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trainer.core.text import count
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.letterbox import in_files
from trainer.history.objects import LEARNED
from trainer.job.examples.objects import KINDS, objects_of, suspects
from trainer.job.shared.example_rows import LATELY, write_rows
from trainer.report.boxes import CUT, cut_out
from trainer.report.images import thumbnails

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trainer.dataset import Data
    from trainer.history.objects import ObjectRecords
    from trainer.job.examples.objects import Suspect
    from trainer.job.shared.example_rows import Row
    from trainer.trained.examined import Examined

SHOWN = 64  # objects in a picture
EDGES = ("x0", "y0", "x1", "y1")
WIDE = (*EDGES, *(f"found_{edge}" for edge in EDGES))  # columns that the console leaves out


@dataclass(frozen=True)
class ObjectFiles:
    """The objects in a run's training images: their records, and what its model finds of them."""

    data: Data
    records: ObjectRecords
    seen: Examined | None  # with records; None without a model

    @cached_property
    def sizes(self) -> np.ndarray:
        """Height and width of the files, [M, 2]."""
        return getattr(self.data.train.images, "sizes")()  # noqa: B009  (of files alone)

    @cached_property
    def found(self) -> dict[tuple[int, int], Row]:
        """What the model finds of each object, by the dataset id and the place of the box."""
        if self.seen is None:
            return {}
        own = objects_of(self.seen.records)
        ids = self.seen.ids[own.image].tolist()
        return {
            (i, box): {
                "score": f"{score:.3f}",
                "other": self.name(other),
                "other_score": f"{other_score:.3f}",
            }
            for i, box, score, other, other_score in zip(
                ids, own.box.tolist(), own.score, own.other, own.other_score, strict=True
            )
        }

    def write_objects(self, folder: Path, name: str, places: np.ndarray) -> list[Row]:
        """Write `name`.csv and .png of the objects at places [k]; return the rows."""
        records = self.records
        rows = [self.object_row(rank, i) for rank, i in enumerate(places.tolist(), start=1)]
        write_rows(folder / f"{name}.csv", rows)
        captions = [[row["class"], f"loss {row['last_loss']}", f"id {row['id']}"] for row in rows]
        shown = places[:SHOWN]
        cuts = list(zip(records.ids[shown].tolist(), records.edges[shown], strict=True))
        self.picture(folder / f"{name}.png", cuts, captions)
        return rows

    def write_suspects(self, folder: Path, number: int) -> list[Row]:
        """Write `suspects.csv` and its picture of at most `number` boxes; return the rows."""
        if self.seen is None:
            return []
        records = self.seen.records
        suspected = suspects(records, objects_of(records))[:number]
        ids = self.seen.ids[[each.image for each in suspected]].tolist()
        pairs = list(zip(ids, suspected, strict=True))
        rows = [self.suspect_row(rank, *pair) for rank, pair in enumerate(pairs, start=1)]
        write_rows(folder / "suspects.csv", rows)
        captions = [[row["suspect"], said(row), f"id {row['id']}"] for row in rows]
        cuts = [(i, each.edges) for i, each in pairs[:SHOWN]]
        self.picture(folder / "suspects.png", cuts, captions)
        return rows

    def object_row(self, rank: int, i: int) -> Row:
        """The row of an object: its records, what the model finds of it, its place."""
        own = self.records
        key = int(own.ids[i]), int(own.box[i])
        times = str(own.forgetting.events[i]) if own.forgetting.learned[i] else "unlearned"
        about = {
            "rank": str(rank),
            "id": str(key[0]),
            "box": str(key[1]),
            "class": self.name(own.kind[i]),
            "lately": LATELY.get(float(own.latest[i] >= LEARNED), ""),
            "forgotten": times,
            "loss": f"{own.loss[i]:.3f}",
            "last_loss": f"{own.last_loss[i]:.3f}",
            "p_y": f"{own.confidence[i]:.3f}",
        }
        return about | self.found.get(key, {}) | self.place(key[0], own.edges[i])

    def suspect_row(self, rank: int, image: int, suspect: Suspect) -> Row:
        """The row of a suspect box in an image by id; of a loose one with the edges found."""
        about = {
            "rank": str(rank),
            "suspect": suspect.kind,
            "id": str(image),
            "box": "" if suspect.box is None else str(suspect.box),
            "class": self.name(suspect.label),
            "suggested": self.name(suspect.suggested),
            "suspicion": f"{suspect.suspicion:.3f}",
        }
        place = self.place(image, suspect.edges)
        found = dict.fromkeys((f"found_{edge}" for edge in EDGES), "")
        if suspect.found is not None:
            own = self.place(image, suspect.found)
            found = {f"found_{edge}": own[edge] for edge in EDGES}
        path = {"path": place.pop("path")} if "path" in place else {}
        return about | place | found | path

    def name(self, kind: int) -> str:
        """The name of a class from 1; empty for 0."""
        return self.data.classes[kind - 1] if kind else ""

    def place(self, i: int, edges: np.ndarray) -> Row:
        """The edges of a box in pixels of the stored image, and the image's path if it has one."""
        images = self.data.train.images
        paths = getattr(images, "paths", None)
        if paths is not None:
            way = getattr(images, "way")  # noqa: B009  (of files alone)
            edges = in_files(edges[None, None], self.sizes[[i]], images.shape[1:], way)[0, 0]
        row = {edge: f"{value:.6g}" for edge, value in zip(EDGES, edges.tolist(), strict=True)}
        return row if paths is None else row | {"path": printable(paths[i])}

    def picture(
        self, path: Path, places: Sequence[tuple[int, np.ndarray]], captions: list[list[str]]
    ) -> None:
        """Draw the boxes (id of the image, edges) cut out of their images, if there are any."""
        if not places:
            return
        images = self.data.train.images
        cuts = [cut_out(images.read([i])[0].numpy(), edges.tolist()) for i, edges in places]
        sheet = thumbnails(np.stack(cuts), captions[: len(cuts)], longest=CUT)
        Image.fromarray(sheet).save(path)


def said(row: Row) -> str:
    """What is suspect about a box, for a picture."""
    if row["suspect"] == "wrong":
        return f"{row['class']} or {row['suggested']}?"
    return row["suggested"] if row["suspect"] == "missing" else row["class"]


def forgotten_sentence(records: ObjectRecords) -> str:
    """How many objects were learned and lost again, and how many are lost by now."""
    number, events = len(records.ids), records.forgetting.events
    return (
        f"{int((events > 0).sum())} of {count(number, 'object')} were forgotten after they were "
        f"learned; {int(records.lost().sum())} are lost by now"
    )


def sentence(rows: Sequence[Row]) -> str:
    """How many boxes are suspect, by kind."""
    kinds = Counter(row["suspect"] for row in rows)
    parts = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS)
    return f"{count(len(rows), 'box', plural='boxes')} suspect: {parts}"
