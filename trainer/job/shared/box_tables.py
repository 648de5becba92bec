"""Found boxes as a table and in COCO's format, in pixels of the image as it is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.dataset.shared.letterbox import in_files
from trainer.report.csv_file import write_csv

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from trainer.dataset import Split

HEADER = ("id", "class", "score", "x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class Found:
    """The boxes found in N images: edges in pixels of each one's own height and width."""

    ids: list[int]  # [N]
    paths: list[str] | None  # [N], where images are files
    sizes: np.ndarray  # [N, 2], height and width
    boxes: np.ndarray  # [N, K, 4]
    scores: np.ndarray  # [N, K]
    classes: np.ndarray  # [N, K], from 1; 0 is padding

    @classmethod
    def of_split(cls, split: Split, records: dict[str, Tensor]) -> Found:
        """The boxes in the records of a split's examples."""
        ids, images = split.ids, split.images
        paths = getattr(images, "paths", None)
        boxes, scores, kinds = (records[n].numpy() for n in ("boxes", "scores", "classes"))
        sizes = np.tile(np.array(images.shape[1:]), (len(ids), 1))
        if paths is not None:
            sizes = images.sizes()[ids.numpy()]  # pyright: ignore
            boxes = in_files(boxes, sizes, images.shape[1:], images.way)  # pyright: ignore
            paths = paths[ids.numpy()].tolist()
        return cls(ids.tolist(), paths, sizes, boxes, scores, kinds)

    def rows(self) -> list[tuple[int, int]]:
        """The places (image, box) of the boxes, padding left out."""
        return [(int(n), int(k)) for n, k in zip(*np.nonzero(self.classes), strict=True)]

    def write_table(self, path: Path, names: Sequence[str]) -> None:
        """Write `id`, `path` where images are files, `class`, `score` and edges of each box."""
        header = [HEADER[0], *([] if self.paths is None else ["path"]), *HEADER[1:]]
        rows: list[Sequence[Any]] = [header]
        for n, k in self.rows():
            about = [self.ids[n], *([] if self.paths is None else [self.paths[n]])]
            numbers = [self.scores[n, k], *self.boxes[n, k]]
            name = names[self.classes[n, k] - 1]
            rows.append([*about, name, *(f"{float(number):.6g}" for number in numbers)])
        write_csv(path, rows)

    def write_coco(self, path: Path, names: Sequence[str]) -> None:
        """Write COCO's JSON: the images, the categories from 1, and the boxes as annotations."""
        images = [
            {
                "id": i,
                "file_name": str(i) if self.paths is None else self.paths[n],
                "height": int(self.sizes[n, 0]),
                "width": int(self.sizes[n, 1]),
            }
            for n, i in enumerate(self.ids)
        ]
        categories = [{"id": c, "name": name} for c, name in enumerate(names, start=1)]
        annotations = [self.annotation(number, *at) for number, at in enumerate(self.rows(), 1)]
        content = {"images": images, "categories": categories, "annotations": annotations}
        path.write_text(json.dumps(content), encoding="utf-8")

    def annotation(self, number: int, n: int, k: int) -> dict[str, Any]:
        """A box as an annotation."""
        x0, y0, x1, y1 = (float(edge) for edge in self.boxes[n, k])
        return {
            "id": number,
            "image_id": self.ids[n],
            "category_id": int(self.classes[n, k]),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
            "score": float(self.scores[n, k]),
        }
