"""Pictures of the difficulty store: the hardest examples, the data map, forgetting.

The data map (Swayamdipta et al. 2020) plots the mean over the epochs of p_y, the probability that
the model gives to an example's label, against its spread.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.core.text import count, listed
from trainer.dataset.shared.decode import printable
from trainer.report.boxes import COLUMNS, SIDE, outlined, true_outlines
from trainer.report.images import thumbnails, titled
from trainer.report.plots import new_axes, render

if TYPE_CHECKING:
    from trainer.dataset import Data
    from trainer.history.analysis import DataMap, Forgetting, History

NUMBER = 32  # thumbnails of a sheet
POINTS = 100_000  # points of the data map; of more examples, every k-th is shown
TICKS = 15  # numbers below the histogram


def pictures(history: History, data: Data, last: int = 5) -> dict[str, np.ndarray]:
    """Draw `hardest` images, `data_map` and `forgetting` if the fields exist; uint8 [H, W, 3].

    The hardest examples have the highest mean loss in the `last` epochs; those that are lately
    wrong stand apart from those that are right by now. The result is empty if no example has a
    record.
    """
    hardest = history.hardest(len(history.ids), last)
    if not len(hardest):
        return {}
    drawn = {}
    if data.kind == "image":
        parts = apart(history, hardest, last)
        sheets = [(title, sheet_of(history, data, ids[:NUMBER], last)) for title, ids in parts]
        if sheets:  # none is wrong, and none harder than another
            drawn["hardest"] = titled(sheets)
    if {"confidence", "correct"} <= history.fields.keys():
        drawn["data_map"] = data_map(history.data_map())
    if "correct" in history.fields:
        seen = ~np.isnan(history.latest("correct"))
        drawn["forgetting"] = forgetting(history.forgetting(), seen)
    return drawn


def apart(history: History, hardest: np.ndarray, last: int) -> list[tuple[str, np.ndarray]]:
    """Return those of the ids [k] that are lately wrong and those lately right, with a title each.

    The latter are those whose mean loss is above that of all: hard on average.
    """
    epochs = min(last, history.epochs)
    about = f"mean loss of the last {epochs} epochs" if epochs > 1 else "loss of the last epoch"
    if "correct" not in history.fields:
        return [(f"Highest {about}", hardest)]
    places = history.positions_of(hardest)
    wrong = history.latest("correct")[places] == 0
    losses = history.mean("loss", last)[places]
    every = count(len(hardest), "example", form=",")
    parts = [
        ("Lately wrong: the latest prediction is not the label", hardest[wrong]),
        ("Hard on average, but lately right", hardest[~wrong & (losses > losses.mean())]),
    ]
    return [
        (f"{title} ({len(ids):,} of {every}); highest {about} first", ids)
        for title, ids in parts
        if len(ids)
    ]


def sheet_of(history: History, data: Data, ids: np.ndarray, last: int) -> np.ndarray:
    """Draw the examples of dataset ids [k] above their captions, under the files' names."""
    images = data.train.images
    paths = getattr(images, "paths", None)
    lines = captions(history, data, ids, last)
    if paths is not None:
        names = [printable(Path(str(paths[i])).name) for i in ids]
        lines = [[name, *rest] for name, rest in zip(names, lines, strict=True)]
    pixels = images.read(ids.tolist()).numpy()
    if data.target != "boxes":
        return thumbnails(pixels, lines)
    boxes = data.train.labels[ids].tolist()
    pairs = zip(pixels, boxes, strict=True)
    drawn = [outlined(image, true_outlines(own, data.classes)) for image, own in pairs]
    return thumbnails(np.stack(drawn), lines, longest=SIDE, columns=COLUMNS)


def captions(history: History, data: Data, ids: np.ndarray, last: int) -> list[list[str]]:
    """Return the caption of each of the ids [k]: loss, id, and a classifier's two classes first.

    With several labels: all of them, and the class whose answer is the least likely.
    """
    if history.labels is not None and "doubt" in history.fields:
        return several_captions(history, data, ids, last)
    positions = history.positions_of(ids)
    losses = history.mean("loss", last)[positions]
    lines = [[f"loss {loss:.2f}, id {i}"] for loss, i in zip(losses, ids, strict=True)]
    if history.labels is None or "prediction" not in history.fields:
        return lines
    labels, predictions = history.labels[ids], history.latest("prediction")[positions]
    names = data.classes
    return [
        [f"label {class_name(names, y)}", f"lately {class_name(names, p)}", *rest]
        for y, p, rest in zip(labels, predictions, lines, strict=True)
    ]


def several_captions(history: History, data: Data, ids: np.ndarray, last: int) -> list[list[str]]:
    """Return the caption of each of the ids [k]: labels, the class in doubt, loss and id."""
    positions = history.positions_of(ids)
    losses = history.mean("loss", last)[positions]
    doubts = [class_name(data.classes, c) for c in history.latest("doubt")[positions]]
    labels = [] if history.labels is None else listed(data.classes, history.labels[ids].tolist())
    return [
        [f"labels {names}", f"in doubt {doubt}", f"loss {loss:.2f}, id {i}"]
        for names, doubt, loss, i in zip(labels, doubts, losses, ids, strict=True)
    ]


def class_name(classes: tuple[str, ...], index: float) -> str:
    """Return the name of a class; its number if a store has one that does not exist, "" for NaN."""
    if np.isnan(index):
        return ""
    return classes[int(index)] if 0 <= index < len(classes) else f"{index:.0f}"


def data_map(dynamics: DataMap) -> np.ndarray:
    """Plot a point per example: easy ones at the top, hard at the bottom, ambiguous on the right.

    Colours are correctness. Returns uint8 [H, W, 3].
    """
    from matplotlib import colormaps

    seen = np.flatnonzero(~np.isnan(dynamics.mean))
    shown = seen[:: 1 + len(seen) // POINTS]
    level = np.round(dynamics.correctness[shown], 1)
    axes = new_axes("spread of p_y over the epochs", "mean of p_y over the epochs")
    for part in np.unique(level)[::-1]:  # one plot per colour is twice as fast as a scatter
        points = shown[level == part]
        x, y = dynamics.spread[points], dynamics.mean[points]
        axes.plot(x, y, ".", ms=3, color=colormaps["viridis"](float(part)), label=f"{part:.1f}")
    axes.set_ylim(-0.02, 1.02)
    axes.set_title(f"{len(shown):,} of {len(seen):,} examples" if len(shown) < len(seen) else "")
    if len(shown):
        axes.figure.legend(title="correct", loc="outside right upper")
    return render(axes)


def forgetting(counts: Forgetting, seen: np.ndarray) -> np.ndarray:
    """Plot how many of the examples `seen` [n] were forgotten how often; uint8 [H, W, 3].

    Examples that were never learned have a bar of their own.
    """
    examples = np.bincount(counts.events[seen & counts.learned], minlength=1)
    never = int((seen & ~counts.learned).sum())
    axes = new_axes("times forgotten", "examples")
    axes.bar(np.arange(len(examples)), examples)
    axes.bar([len(examples)], [never], color="tab:red", label=f"never learned: {never:,}")
    ticks = range(0, len(examples), 1 + len(examples) // TICKS)
    axes.set_xticks([*ticks, len(examples)], [*map(str, ticks), "never\nlearned"])
    axes.set_yscale("symlog", linthresh=1)
    axes.legend()
    return render(axes)
