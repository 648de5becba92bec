"""Which wrong boxes job=examples finds: of another class, without a label, or moved.

    python scripts/bench_suspect_boxes.py -- batch_size=16 optimizer.lr=2e-3 schedule=cosine_decay

1,000 canvases of 64 x 64 pixels with digits and clutter, a fifth of them for testing, are written
as PNG and COCO's JSON. Of the training objects 10 % are corrupted, a third of them each way: by a
random other class, by leaving the box out, and by moving it a third of its side. SSD trains on
that. Of as many suspects of its best checkpoint as there are corrupted objects, the share that is
found is given; a removed box is found by a suspect that overlaps it by half. `--out` keeps runs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from race import machine, parser, table
from rivals import make_run
from torchvision.ops import box_iou

from trainer.dataset import Split
from trainer.dataset.digits_canvas import DigitsCanvas
from trainer.job.examples.objects import Suspect, objects_of, suspects
from trainer.trained.examined import examine

RATE = 0.1
WAYS = "class", "removed", "moved"
SIDE = 64
MOVES = np.array([[1, 0, 1, 0], [-1, 0, -1, 0], [0, 1, 0, 1], [0, -1, 0, -1]]) / 3

Rows = list[list[float]]  # image, class, x0, y0, x1, y1


def moved(edges: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Edges [4] moved by a third of the side, in a random direction that stays on the canvas."""
    sides = np.tile(edges[2:] - edges[:2], 2)
    found = [edges + move * sides for move in rng.permutation(MOVES)]
    return next(new.tolist() for new in found if new.min() >= 0 and new.max() <= SIDE)


def corrupted(rows: Rows, seed: int) -> tuple[Rows, dict[int, str]]:
    """Rows with `RATE` of them corrupted, and in which way; a removed one has class 0."""
    rng = np.random.default_rng(seed)
    rows, ways = [list(row) for row in rows], {}
    for place, at in enumerate(rng.permutation(len(rows))[: round(RATE * len(rows))].tolist()):
        way = ways[at] = WAYS[place % len(WAYS)]
        if way == "moved":
            rows[at][2:] = moved(np.array(rows[at][2:]), rng)
        else:
            other = (rows[at][1] - 1 + rng.integers(1, 10)) % 10 + 1
            rows[at][1] = 0 if way == "removed" else float(other)
    return rows, ways


def write(folder: Path, split: Split, rows: Rows) -> None:
    """Write a split's images, and the rows as COCO's JSON."""
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


def rows_of(split: Split) -> Rows:
    """A row for each box of a split."""
    labels = split.labels[split.ids].tolist()
    return [[i, *row] for i, own in enumerate(labels) for row in own if row[0]]


def train(root: Path, overrides: list[str]) -> None:
    """Train on a folder."""
    command = [sys.executable, "-m", "trainer", f"hydra.run.dir={root}/run", "quiet=true"]
    command += ["dataset=coco_folder", f"dataset.root={root}", f"dataset.size={SIDE}", "threads=1"]
    command += ["dataset.channels=1", "dataset.cache=null", "model=ssd", "mining=hard_negative"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "epochs=10", *overrides], check=True, env=environment)


def pointed_at(found: Suspect, image: int, rows: Rows, truth: Rows, ways: dict[int, str]) -> int:
    """The corrupted row that a suspect box of an image points at; −1 without one."""
    if found.box is not None:
        at = [at for at, row in enumerate(rows) if row[0] == image and row[1]][found.box]
        return at if at in ways else -1
    own = torch.tensor(found.edges)[None]
    gone = [at for at, way in ways.items() if way == "removed" and truth[at][0] == image]
    near = [at for at in gone if box_iou(own, torch.tensor([truth[at][2:]])).item() >= 0.5]
    return near[0] if near else -1


def main() -> None:
    """Corrupt, train, and judge the suspects."""
    arguments = parser(__doc__)
    arguments.add_argument("--out", type=Path, default=Path("outputs/bench_suspect_boxes"))
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("overrides", nargs="*", help="of the run")
    given = arguments.parse_args()
    root = given.out / f"{given.seed}"
    data = DigitsCanvas(target="boxes", size=SIDE, clutter=3, val_fraction=0.0).open(0)
    truth = rows_of(data.train)
    rows, ways = corrupted(truth, given.seed)
    if not (root / "run" / "result.json").exists():
        write(root / "train", data.train, rows)
        write(root / "test", data.test, rows_of(data.test))
        train(root, [f"seed={given.seed}", *given.overrides])
    seen = examine(make_run(root / "scratch"), str(root / "run"), "run", ("train",))["train"]
    ids = seen.ids.tolist()
    ways = {at: way for at, way in ways.items() if truth[at][0] in ids}
    ranked = suspects(seen.records, objects_of(seen.records))
    found = [pointed_at(each, ids[each.image], rows, truth, ways) for each in ranked]
    print(machine("torch", "torchvision"))
    right = sum(at >= 0 for at in found)
    print(f"{len(found)} suspects, {right} of them right; {len(ways)} objects corrupted")
    first = set(found[: len(ways)])
    parts = {way: [at in first for at, own in ways.items() if own == way] for way in WAYS}
    parts["all"] = [at in first for at in ways]
    table(["corrupted", "objects", "found"], [[k, len(v), sum(v)] for k, v in parts.items()])


if __name__ == "__main__":
    main()
