"""Training examples that one strategy gets right in the end and another does not.

From the difficulty stores: right is each example's latest record, in a run of each seed. These are
images that both have trained on, so it shows what a strategy learns, not what it generalises to.
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
HALF = 0.5  # of the seeds must differ


@dataclass(frozen=True)
class Example:
    """One that two groups disagree on."""

    id: int
    label: int
    seeds: int  # in which both groups have trained on it
    right: int  # of them where the group was right
    base_right: int  # and the baseline
    loss: float  # mean over both, in the end
    prediction: int  # the most common wrong one


@dataclass(frozen=True)
class Disagreement:
    """A group against the baseline, the clearest and hardest first."""

    label: str
    gained: list[Example]  # the group is right, the baseline is not
    lost: list[Example]  # the other way round
    gains: int  # in all
    losses: int


@dataclass(frozen=True)
class Records:
    """The last records of a run by dataset id, [M], NaN where there is none."""

    correct: np.ndarray
    prediction: np.ndarray
    loss: np.ndarray
    labels: np.ndarray  # [M]


def records_of(group: Group) -> dict[int, Records]:
    """The records of each run by its seed; of those that have a difficulty store of classes."""
    found = {}
    for run in group.runs:
        try:
            held = history.open(run.folder)
            if held.labels is None or "prediction" not in held.fields or not held.epochs:
                continue
            correct, prediction, loss = (
                spread(held, name) for name in ("correct", "prediction", "loss")
            )
            found[run.seed] = Records(correct, prediction, loss, held.labels)
        except (DataError, OSError, ValueError, IndexError):
            continue
    return found


def spread(held: History, name: str) -> np.ndarray:
    """The latest record of a field by dataset id."""
    values = np.full(held.size, np.nan, np.float32)
    ordinary = held.ordinary()
    values[held.ids[ordinary]] = held.latest(name)[ordinary]
    return values


def disagree(
    label: str, ours: Mapping[int, Records], base: Mapping[int, Records], number: int
) -> Disagreement | None:
    """Where two groups differ; None where no seed has records of the same data set in both."""
    pairs = [(ours[s], base[s]) for s in ours if s in base and same(ours[s], base[s])]
    pairs = [pair for pair in pairs if same(pair[0], pairs[0][0])]
    if not pairs:
        return None
    both = np.stack([~np.isnan(a.correct) & ~np.isnan(b.correct) for a, b in pairs])
    right = np.stack([a.correct == 1 for a, _ in pairs]) & both
    base_right = np.stack([b.correct == 1 for _, b in pairs]) & both
    seeds, won, held = both.sum(0), right.sum(0), base_right.sum(0)
    loss = np.nan_to_num(mean_of([r.loss for pair in pairs for r in pair]), posinf=1e6)
    made = []
    for difference in (won - held, held - won):
        share = difference / np.maximum(seeds, 1)
        order = np.lexsort((-loss, -share))  # all seeds before some, then the harder first
        ids = order[share[order] >= HALF]
        shown = [example(int(i), pairs, seeds, won, held, loss) for i in ids[:number]]
        made.append((shown, len(ids)))
    (gained, gains), (lost, losses) = made
    return Disagreement(label, gained, lost, gains, losses)


def same(a: Records, b: Records) -> bool:
    """Whether two runs are of the same examples and labels."""
    return np.array_equal(a.labels, b.labels) and a.labels.dtype.kind in "iu"


def mean_of(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The mean [M] of what is known, 0 where nothing is."""
    held = np.stack(arrays)
    known = ~np.isnan(held)
    return np.where(known, held, 0).sum(0) / np.maximum(known.sum(0), 1)


def example(
    i: int,
    pairs: Sequence[tuple[Records, Records]],
    seeds: np.ndarray,
    won: np.ndarray,
    held: np.ndarray,
    loss: np.ndarray,
) -> Example:
    """What is told of one."""
    label = int(pairs[0][0].labels[i])
    guesses = [r.prediction[i] for pair in pairs for r in pair]
    wrong = [int(g) for g in guesses if not np.isnan(g) and int(g) != label]
    common = max(wrong, key=wrong.count) if wrong else label
    return Example(i, label, int(seeds[i]), int(won[i]), int(held[i]), float(loss[i]), common)


def thumbnails(data: "Data", ids: Sequence[int]) -> dict[int, str]:
    """PNG files as data URIs by dataset id."""
    if not ids:
        return {}
    images = data.train.images.read(list(ids)).numpy()
    return {i: data_uri(pixels) for i, pixels in zip(ids, images, strict=True)}


def data_uri(pixels: np.ndarray) -> str:
    """An image uint8 [C, H, W] as a small PNG in a URI."""
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
