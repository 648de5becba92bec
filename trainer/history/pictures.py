"""Pictures of the difficulty store: the hardest examples, the data map, what was forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.report.images import thumbnails
from trainer.report.plots import axes_of, drawn

if TYPE_CHECKING:
    from trainer.dataset import Data
    from trainer.history.analysis import DataMap, Forgetting, History

NUMBER = 32  # thumbnails
POINTS = 100_000  # of the data map; of more examples every so many is shown


def pictures(held: History, data: Data, last: int = 5) -> dict[str, np.ndarray]:
    """`hardest`, `data_map` and `forgetting` as uint8 [H, W, 3]; those that the records allow.

    Hard is a high mean loss in the `last` epochs. Without a single record there are none.
    """
    hardest = held.hardest(NUMBER, last)
    if not len(hardest):
        return {}
    images = data.train.images.read(hardest.tolist()).numpy()
    made = {"hardest": thumbnails(images, captions(held, data, hardest, last))}
    if {"confidence", "correct"} <= held.fields.keys():
        made["data_map"] = data_map(held.data_map())
    if "correct" in held.fields:
        seen = ~np.isnan(held.latest("correct"))
        made["forgetting"] = forgetting(held.forgetting(), seen)
    return made


def captions(held: History, data: Data, ids: np.ndarray, last: int) -> list[list[str]]:
    """Lines for each example: label and latest prediction where there are classes, loss, id."""
    places = held.places(ids)
    losses = held.mean("loss", last)[places]
    lines = [[f"loss {loss:.2f}", f"id {i}"] for loss, i in zip(losses, ids, strict=True)]
    if held.labels is None or "prediction" not in held.fields:
        return lines
    labels, predictions = held.labels[ids], held.latest("prediction")[places]
    names = data.classes
    return [
        [f"label {names[int(y)]}", f"seen as {names[int(p)]}", *rest]
        for y, p, rest in zip(labels, predictions, lines, strict=True)
    ]


def data_map(of: DataMap) -> np.ndarray:
    """A point for each example: hard to learn below, easy above, ambiguous on the right."""
    from matplotlib import colormaps

    seen = np.flatnonzero(~np.isnan(of.mean))
    at = seen[:: 1 + len(seen) // POINTS]
    level = np.round(of.correctness[at], 1)
    axes = axes_of("spread of p_y over the epochs", "mean of p_y over the epochs")
    for part in np.unique(level)[::-1]:  # one colour at a time is twice as fast as a scatter
        some = at[level == part]
        colour = colormaps["viridis"](float(part))
        axes.plot(of.spread[some], of.mean[some], ".", ms=3, color=colour, label=f"{part:.1f}")
    axes.set_ylim(-0.02, 1.02)
    axes.set_title(f"{len(at):,} of {len(seen):,} examples" if len(at) < len(seen) else "")
    if len(at):
        axes.figure.legend(title="correct", loc="outside right upper")
    return drawn(axes)


def forgetting(of: Forgetting, seen: np.ndarray) -> np.ndarray:
    """How many of the examples seen [n] were forgotten how often; those never learned apart."""
    counts = np.bincount(of.events[seen & of.learned], minlength=1)
    never = int((seen & ~of.learned).sum())
    axes = axes_of("times forgotten", "examples")
    axes.bar(np.arange(len(counts)), counts)
    axes.bar([len(counts)], [never], color="tab:red", label=f"never learned: {never:,}")
    ticks = range(0, len(counts), 1 + len(counts) // 15)
    axes.set_xticks([*ticks, len(counts)], [*map(str, ticks), "never\nlearned"])
    axes.set_yscale("symlog", linthresh=1)
    axes.legend()
    return drawn(axes)
