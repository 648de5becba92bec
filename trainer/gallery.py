"""Pictures of the difficulty store: the hardest examples, the data map, what was forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from trainer import history

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from trainer.dataset import Data
    from trainer.difficulty import DataMap, Forgetting, History
    from trainer.report import Report
    from trainer.run import Run

NUMBER = 32  # thumbnails
COLUMNS = 8
SIDE = 96  # pixels of a thumbnail's longer side
LINE = 12  # pixels of a line of text
WIDTH = 15  # characters of a line
POINTS = 100_000  # of the data map; of more examples every so many is shown


def show(run: Run, report: Report, step: int) -> None:
    """At the end of a run: the pictures into its `examples/` and into TensorBoard."""
    folder = run.folder.path
    made = pictures(history.open(folder), run.data)
    if not made:
        run.console.say("no example was seen unmixed: no pictures of the hardest")
    for name, pixels in made.items():
        path = folder / "examples" / f"{name}.png"
        report.log.attempt("examples/*.png", Image.fromarray(pixels).save, path)
        report.log.show("image", f"examples/{name}", pixels, step)


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


def thumbnails(images: np.ndarray, texts: list[list[str]]) -> np.ndarray:
    """Images uint8 [N, C, H, W], each with its lines of text below; [H, W, 3]."""
    scale = SIDE / max(images.shape[2:])
    width, height = (max(1, round(side * scale)) for side in images.shape[:1:-1])
    cell = SIDE + 4, height + 4 + LINE * max(len(lines) for lines in texts)
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * cell[0], rows * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    for i, (pixels, lines) in enumerate(zip(images, texts, strict=True)):
        left, top = i % columns * cell[0] + 2, i // columns * cell[1] + 2
        colours = pixels if len(pixels) == 3 else pixels[:1].repeat(3, 0)
        image = Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0)))
        sheet.paste(image.resize((width, height), method), (left, top))
        for j, line in enumerate(lines):
            text = line[:WIDTH].encode("latin-1", "replace").decode("latin-1")  # PIL's own font
            draw.text((left, top + height + j * LINE), text, fill="black")
    return np.asarray(sheet)


def axes_of(x: str, y: str) -> Axes:
    """Axes of a figure that is drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot(xlabel=x, ylabel=y)


def drawn(axes: Axes) -> np.ndarray:
    """The figure of the axes as uint8 [H, W, 3]."""
    canvas = axes.figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # pyright: ignore


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
