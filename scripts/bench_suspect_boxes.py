"""Which wrong boxes job=examples finds: another class, a label removed, a box moved.

    python scripts/bench_suspect_boxes.py

`--images` canvases of 64 x 64 pixels with digits and clutter are written as PNG files and COCO's
JSON; of the training objects 10 % are corrupted, a third of them each way: by a random other class,
by leaving the box out, and by moving it a third of its side to the left, the right, up or down. SSD
trains on that, and the suspects of its best checkpoint are compared with what was corrupted. Of as
many suspects as there are corrupted objects, the share that is corrupted is precision and recall
alike. A removed box is found by a suspect that overlaps it by half. Runs are kept in `--out`.
"""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
from PIL import Image
from race import deviation, machine, parser, table
from rivals import make_run

from trainer.dataset import Split
from trainer.dataset.digits_canvas import DigitsCanvas
from trainer.job.examples.objects import Suspect, objects_of, suspects
from trainer.trained.examined import examine

RATE = 0.1
WAYS = "class", "removed", "moved"
SIDE = 64
MOVES = np.array([[1, 0, 1, 0], [-1, 0, -1, 0], [0, 1, 0, 1], [0, -1, 0, -1]]) / 3

Corrupted = dict[int, tuple[str, int, np.ndarray]]  # object → way, image, the true edges


def moved(edges: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Edges [4] moved by a third of the side, in a random direction that stays on the canvas."""
    sides = np.tile(edges[2:] - edges[:2], 2)
    found = [edges + move * sides for move in rng.permutation(MOVES)]
    return next(new for new in found if new.min() >= 0 and new.max() <= SIDE)


def corrupt(rows: list[list[float]], seed: int) -> tuple[list[list[float]], Corrupted]:
    """Rows of image, class, edges with `RATE` of them corrupted; a removed one has class 0."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(rows))[: round(RATE * len(rows))]
    rows, corrupted = [list(row) for row in rows], {}
    for place, at in enumerate(chosen.tolist()):
        way, (image, kind, *edges) = WAYS[place % len(WAYS)], rows[at]
        corrupted[at] = way, int(image), np.array(edges)
        if way == "moved":
            rows[at][2:] = moved(np.array(edges), rng).tolist()
        else:
            other = (kind - 1 + rng.integers(1, 10)) % 10 + 1
            rows[at][1] = 0 if way == "removed" else float(other)
    return rows, corrupted


def write(folder: Path, split: Split, rows: list[list[float]]) -> None:
    """Write a split's images, and rows of image, class, edges as COCO's JSON."""
    folder.mkdir(parents=True)
    for i, image in enumerate(split.images.read(split.ids.tolist())):
        Image.fromarray(image[0].numpy()).save(folder / f"{i:04}.png")
    boxes = [
        {"image_id": int(i), "category_id": int(kind), "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for i, kind, x0, y0, x1, y1 in rows
        if kind
    ]
    images = [{"id": i, "file_name": f"{i:04}.png"} for i in range(len(split))]
    names = [{"id": c + 1, "name": str(c)} for c in range(10)]
    content = {"images": images, "categories": names, "annotations": boxes}
    (folder / "_annotations.coco.json").write_text(json.dumps(content))


def rows_of(split: Split) -> list[list[float]]:
    """A row of image, class, edges for each box of a split."""
    labels = split.labels[split.ids]
    return [[i, *row] for i, own in enumerate(labels.tolist()) for row in own if row[0]]


def trained(given: Namespace, root: Path, seed: int) -> Path:
    """Train on a folder, unless that was done before; return the run."""
    run = root / "run"
    if not (run / "result.json").exists():
        command = [sys.executable, "-m", "trainer", "quiet=true", "threads=1", f"seed={seed}"]
        command += [f"hydra.run.dir={run}", "dataset=coco_folder", f"dataset.root={root}"]
        command += [f"dataset.size={SIDE}", "dataset.channels=1", "dataset.cache=null"]
        command += ["model=ssd", "mining=hard_negative", f"epochs={given.epochs}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, *given.overrides], check=True, env=environment)
    return run


def points(found: Suspect, objects: dict[tuple[int, int], int], gone: Corrupted) -> int | None:
    """The corrupted object that a suspect points at, if there is one."""
    if found.box is not None:
        at = objects[found.image, found.box]
        return at if at in gone else None
    for at, (way, image, edges) in gone.items():
        if way == "removed" and image == found.image and iou(edges, found.edges) >= 0.5:
            return at
    return None


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """The intersection over union of two boxes [4]."""
    both = np.prod((np.minimum(one, other)[2:] - np.maximum(one, other)[:2]).clip(0))
    return float(both / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - both))


def measure(given: Namespace, seed: int) -> dict[str, float]:
    """Corrupt, train, and judge the suspects."""
    root = given.out / f"{seed}"
    canvases = DigitsCanvas(
        target="boxes", size=SIDE, clutter=3, examples=given.images, val_fraction=0.0
    )
    data = canvases.open(0)
    rows, gone = corrupt(rows_of(data.train), seed)
    if not root.exists():
        write(root / "train", data.train, rows)
        write(root / "test", data.test, rows_of(data.test))
    seen = examine(make_run(root / "scratch"), str(trained(given, root, seed)), "run", ("train",))
    ids, records = seen["train"].ids, seen["train"].records
    objects: dict[tuple[int, int], int] = {}  # image and place among its labels → object
    place = {int(i): row for row, i in enumerate(ids)}
    counts: dict[int, int] = {}
    for at, (image, kind, *_) in enumerate(rows):
        if kind and int(image) in place:
            nth = counts[int(image)] = counts.get(int(image), -1) + 1
            objects[place[int(image)], nth] = at
    gone = {
        at: (way, place[image], edges) for at, (way, image, edges) in gone.items() if image in place
    }
    ranked = [points(each, objects, gone) for each in suspects(records, objects_of(records))]
    hits = {at for at in ranked[: len(gone)] if at is not None}
    every = {at for at in ranked if at is not None}
    shares = {
        way: np.mean([at in hits for at, (own, *_) in gone.items() if own == way]) for way in WAYS
    }
    right = sum(at is not None for at in ranked) / max(len(ranked), 1)
    whole = {"suspects": len(ranked), "precision": right, "recall": len(every) / len(gone)}
    found = {"corrupted": len(gone), "found": len(hits) / len(gone), **shares, **whole}
    return {name: float(value) for name, value in found.items()}


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parser(__doc__)
    arguments.add_argument("--out", type=Path, default=Path("outputs/bench_suspect_boxes"))
    arguments.add_argument("--images", type=int, default=1000)
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--seeds", type=int, default=1)
    arguments.add_argument("overrides", nargs="*", help="of the run")
    given = arguments.parse_args()
    print(machine("torch", "torchvision", "numpy"))
    every = [measure(given, seed) for seed in range(given.seeds)]
    formats = {"corrupted": ".0f", "suspects": ".0f"}
    rows = [
        [name, deviation([each[name] for each in every], formats.get(name, ".3f"))]
        for name in every[0]
    ]
    table(["of the corrupted objects", "value"], rows)


if __name__ == "__main__":
    main()
