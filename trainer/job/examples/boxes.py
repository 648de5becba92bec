"""The files about objects: `objects.csv`, `suspects.csv`, and pictures of both."""

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
from trainer.job.examples.objects import KINDS, objects_of, suspects
from trainer.job.shared.example_rows import write_rows
from trainer.report.boxes import CUT, cut_out
from trainer.report.images import thumbnails

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trainer.dataset import Data
    from trainer.job.examples.objects import Objects, Suspect
    from trainer.job.shared.example_rows import Row
    from trainer.trained.examined import Examined

SHOWN = 64  # objects in a picture
EDGES = ("x0", "y0", "x1", "y1")
WIDE = (*EDGES, *(f"found_{edge}" for edge in EDGES))  # columns that the console leaves out


@dataclass(frozen=True)
class ObjectFiles:
    """What a run's model finds in its training images, against their labels."""

    data: Data
    seen: Examined  # with records

    @cached_property
    def sizes(self) -> np.ndarray:
        """Height and width of the files, [M, 2]."""
        return getattr(self.data.train.images, "sizes")()  # noqa: B009  (of files alone)

    def write(self, folder: Path, number: int) -> tuple[list[Row], list[Row]]:
        """Write the files; return the rows of the hardest objects and of the suspects.

        `number` rows at most are in a file.
        """
        records = self.seen.records
        found = objects_of(records)
        hardest = found.hardest()[:number]
        suspected = suspects(records, found)[:number]
        rows = [self.object_row(rank, found, i) for rank, i in enumerate(hardest, start=1)]
        doubts = [self.suspect_row(rank, each) for rank, each in enumerate(suspected, start=1)]
        write_rows(folder / "objects.csv", rows)
        write_rows(folder / "suspects.csv", doubts)
        places = [(int(found.image[i]), found.edges[i]) for i in hardest[:SHOWN]]
        captions = [
            [f"{row['class']} {float(row['score']):.0%}", f"id {row['id']}"] for row in rows
        ]
        self.picture(folder / "objects.png", places, captions)
        places = [(each.image, each.edges) for each in suspected[:SHOWN]]
        captions = [[row["suspect"], said(row), f"id {row['id']}"] for row in doubts]
        self.picture(folder / "suspects.png", places, captions)
        return rows, doubts

    def object_row(self, rank: int, found: Objects, i: int) -> Row:
        """The row of an object."""
        about = {
            "rank": str(rank),
            "id": str(self.seen.ids[found.image[i]]),
            "box": str(found.box[i]),
            "class": self.name(found.kind[i]),
            "score": f"{found.score[i]:.3f}",
            "other": self.name(found.other[i]),
            "other_score": f"{found.other_score[i]:.3f}",
        }
        return about | self.place(int(found.image[i]), found.edges[i])

    def suspect_row(self, rank: int, suspect: Suspect) -> Row:
        """The row of a suspect box; of a loose one with the edges that are found."""
        about = {
            "rank": str(rank),
            "suspect": suspect.kind,
            "id": str(self.seen.ids[suspect.image]),
            "box": "" if suspect.box is None else str(suspect.box),
            "class": self.name(suspect.label),
            "suggested": self.name(suspect.suggested),
            "suspicion": f"{suspect.suspicion:.3f}",
        }
        place = self.place(suspect.image, suspect.edges)
        found = dict.fromkeys((f"found_{edge}" for edge in EDGES), "")
        if suspect.found is not None:
            own = self.place(suspect.image, suspect.found)
            found = {f"found_{edge}": own[edge] for edge in EDGES}
        path = {"path": place.pop("path")} if "path" in place else {}
        return about | place | found | path

    def name(self, kind: int) -> str:
        """The name of a class from 1; empty for 0."""
        return self.data.classes[kind - 1] if kind else ""

    def place(self, image: int, edges: np.ndarray) -> Row:
        """The edges of a box in pixels of the stored image, and the image's path if it has one."""
        images, i = self.data.train.images, int(self.seen.ids[image])
        paths = getattr(images, "paths", None)
        if paths is not None:
            way = getattr(images, "way")  # noqa: B009  (of files alone)
            edges = in_files(edges[None, None], self.sizes[[i]], images.shape[1:], way)[0, 0]
        row = {edge: f"{value:.6g}" for edge, value in zip(EDGES, edges.tolist(), strict=True)}
        return row if paths is None else row | {"path": printable(paths[i])}

    def picture(
        self, path: Path, places: Sequence[tuple[int, np.ndarray]], captions: list[list[str]]
    ) -> None:
        """Draw the boxes (image, edges) cut out of their images, if there are any."""
        if not places:
            return
        images = self.data.train.images
        cuts = [
            cut_out(images.read([int(self.seen.ids[image])])[0].numpy(), edges.tolist())
            for image, edges in places
        ]
        sheet = thumbnails(np.stack(cuts), captions[: len(cuts)], longest=CUT)
        Image.fromarray(sheet).save(path)


def said(row: Row) -> str:
    """What is suspect about a box, for a picture."""
    if row["suspect"] == "wrong":
        return f"{row['class']} or {row['suggested']}?"
    return row["suggested"] if row["suspect"] == "missing" else row["class"]


def sentence(rows: Sequence[Row]) -> str:
    """How many boxes are suspect, by kind."""
    kinds = Counter(row["suspect"] for row in rows)
    parts = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS)
    return f"{count(len(rows), 'box', plural='boxes')} suspect: {parts}"
