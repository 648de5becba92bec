"""Training examples that one group of runs classifies correctly and the baseline does not.

Taken from the latest records of the difficulty stores, over runs with the same seed. Both have
trained on these images, so this shows what is learned, not how it generalises.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trainer import history
from trainer.core.errors import DataError
from trainer.history.analysis import History
from trainer.job.compare.groups import Group

if TYPE_CHECKING:
    from trainer.dataset import Data

SIDE = 64  # pixels of a thumbnail
MIN_SHARE = 0.5  # of the seeds that must disagree


@dataclass(frozen=True)
class Example:
    """An example on which two groups disagree."""

    id: int
    label: int
    seeds: int  # for which both groups have trained on it
    right: int  # of these seeds, how often the group is right
    base_right: int  # and how often the baseline is
    loss: float  # the mean over both groups, at the end of training
    prediction: int  # the most common wrong one


@dataclass(frozen=True)
class Disagreement:
    """A group against the baseline; examples by share of seeds, then by loss."""

    label: str
    gained: list[Example]  # the group is right, the baseline is not
    lost: list[Example]  # the other way round
    gains: int  # total number, of which `gained` lists the first
    losses: int  # likewise for `lost`


@dataclass(frozen=True)
class Records:
    """The latest records of a run, each [M] by dataset id; NaN where there is none."""

    correct: np.ndarray
    prediction: np.ndarray
    loss: np.ndarray
    labels: np.ndarray


def records_of(group: Group) -> dict[int, Records]:
    """Read the records, by seed, of runs whose difficulty store has predicted classes."""
    records = {}
    for run in group.runs:
        try:
            opened = history.open(run.folder)
            if opened.labels is None or "prediction" not in opened.fields or not opened.epochs:
                continue
            correct, prediction, loss = (
                latest_by_id(opened, field) for field in ("correct", "prediction", "loss")
            )
            records[run.seed] = Records(correct, prediction, loss, opened.labels)
        except (DataError, OSError, ValueError, IndexError):
            continue
    return records


def latest_by_id(opened: History, field: str) -> np.ndarray:
    """Return the latest record of a field by dataset id, [M]; NaN where there is none."""
    values = np.full(opened.size, np.nan, np.float32)
    ordinary = opened.ordinary()
    values[opened.ids[ordinary]] = opened.latest(field)[ordinary]
    return values


def disagree(
    label: str, ours: Mapping[int, Records], base: Mapping[int, Records], number: int
) -> Disagreement | None:
    """List the first `number` examples each way; None if no seed has comparable records."""
    pairs = [(ours[s], base[s]) for s in ours if s in base and same_examples(ours[s], base[s])]
    pairs = [pair for pair in pairs if same_examples(pair[0], pairs[0][0])]
    if not pairs:
        return None
    both = np.stack([~np.isnan(a.correct) & ~np.isnan(b.correct) for a, b in pairs])
    right = np.stack([a.correct == 1 for a, _ in pairs]) & both
    base_right = np.stack([b.correct == 1 for _, b in pairs]) & both
    seeds, ours_right, theirs_right = both.sum(0), right.sum(0), base_right.sum(0)
    loss = np.nan_to_num(nan_mean([r.loss for pair in pairs for r in pair]), posinf=1e6)
    directions = []
    for difference in (ours_right - theirs_right, theirs_right - ours_right):
        share = difference / np.maximum(seeds, 1)
        order = np.lexsort((-loss, -share))  # by the share of seeds, then by loss
        ids = order[share[order] >= MIN_SHARE]
        counts = seeds, ours_right, theirs_right
        shown = [describe_example(int(i), pairs, counts, loss) for i in ids[:number]]
        directions.append((shown, len(ids)))
    (gained, gains), (lost, losses) = directions
    return Disagreement(label, gained, lost, gains, losses)


def same_examples(a: Records, b: Records) -> bool:
    """Whether two runs have the same examples and class labels."""
    return np.array_equal(a.labels, b.labels) and a.labels.dtype.kind in "iu"


def nan_mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the element-wise mean [M] of arrays [M], ignoring NaN; 0 where all are NaN."""
    stacked = np.stack(arrays)
    known = ~np.isnan(stacked)
    return np.where(known, stacked, 0).sum(0) / np.maximum(known.sum(0), 1)


def describe_example(
    i: int,
    pairs: Sequence[tuple[Records, Records]],
    counts: tuple[np.ndarray, np.ndarray, np.ndarray],
    loss: np.ndarray,
) -> Example:
    """Describe the example with dataset id i, with its most common wrong prediction."""
    label = int(pairs[0][0].labels[i])
    guesses = [r.prediction[i] for pair in pairs for r in pair]
    wrong = [int(g) for g in guesses if not np.isnan(g) and int(g) != label]
    common = max(wrong, key=wrong.count) if wrong else label
    seeds, right, base_right = (int(count[i]) for count in counts)
    return Example(i, label, seeds, right, base_right, float(loss[i]), common)


def thumbnails(data: "Data", ids: Sequence[int]) -> dict[int, str]:
    """Encode training images as data URIs, by dataset id; of texts there are none."""
    if not ids or data.kind == "text":
        return {}
    images = data.train.images.read(list(ids)).numpy()
    return {i: data_uri(pixels) for i, pixels in zip(ids, images, strict=True)}


def data_uri(pixels: np.ndarray) -> str:
    """Encode an image uint8 [C, H, W] as the data URI of a small PNG."""
    colours = pixels if len(pixels) == 3 else pixels[:1].repeat(3, 0)
    image = Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0)))
    scale = SIDE / max(image.size)
    if scale < 1:
        image = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        )
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
