"""Pictures of detections: images with true and found boxes, and curves of precision and recall."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.dataset.shared.decode import printable
from trainer.report.boxes import COLUMNS, RIGHT, SIDE, WRONG, Outline, outlined, true_outlines
from trainer.report.images import thumbnails
from trainer.report.plots import legend_name, new_axes, render
from trainer.task.shared.average_precision import HALF, HIT, RECALLS, PrecisionRecall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from trainer.dataset import Split
    from trainer.training.evaluate import Evaluation

NUMBER = 16  # images with boxes
LEAST = 0.3  # score of a found box that is shown
NAMED = 10  # classes with a curve of their own


def box_pictures(
    split: Split, evaluation: Evaluation, classes: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """`detections` and `precision_recall`, uint8 [H, W, 3]; nothing where labels are no boxes.

    Of the first images of a split: true boxes are green, found ones blue where they are right (by
    an intersection over union of 0.5) and red where they are not.
    """
    if "verdict" not in evaluation.records or not len(split):
        return {}
    number = min(NUMBER, len(split))
    images = split.images.read(split.ids[:number].tolist()).numpy()
    paths = getattr(split.images, "paths", None)
    drawn, captions = [], []
    for row in range(number):
        outlines = of_image(evaluation.records, row, classes)
        drawn.append(outlined(images[row], outlines))
        name = [] if paths is None else [printable(Path(str(paths[split.ids[row]])).name)]
        captions.append([*name, said(evaluation.records, row)])
    curves = PrecisionRecall.of_records(evaluation.records, len(classes))
    sheet = thumbnails(np.stack(drawn), captions, longest=SIDE, columns=COLUMNS)
    return {"detections": sheet, "precision_recall": plotted(curves, classes)}


def of_image(records: dict[str, Tensor], row: int, classes: Sequence[str]) -> list[Outline]:
    """The boxes to draw on an image: true ones first."""
    outlines = true_outlines(records["objects"][row].tolist(), classes)
    hits = records["verdict"][row, :, 0, HALF] == HIT
    scores, kinds = records["scores"][row].tolist(), records["classes"][row].tolist()
    found = zip(records["boxes"][row].tolist(), scores, kinds, hits.tolist(), strict=True)
    for edges, score, kind, hit in found:
        if kind and score >= LEAST:
            text = f"{classes[kind - 1]} {score:.0%}"
            outlines.append(Outline(edges, RIGHT if hit else WRONG, text, below=True))
    return outlines


def said(records: dict[str, Tensor], row: int) -> str:
    """How many of an image's boxes are found, and how many others there are."""
    shown = (records["scores"][row] >= LEAST) & (records["classes"][row] > 0)
    hits = (records["verdict"][row, :, 0, HALF] == HIT) & shown
    true = int((records["objects"][row, :, 0] > 0).sum())
    return f"{int(hits.sum())} of {true} found, {int((shown & ~hits).sum())} wrong"


def plotted(curves: PrecisionRecall, classes: Sequence[str]) -> np.ndarray:
    """Plot precision over recall at an intersection over union of 0.5: the mean and the classes.

    Of more than NAMED classes, those with the lowest average precision have a curve.
    """
    precision, ap = curves.precision[:, 0, HALF].numpy(), curves.ap("all", HALF).numpy()
    axes = new_axes("recall", "precision (IoU 0.5)")
    known = np.flatnonzero(~np.isnan(ap))
    for c in known[np.argsort(ap[known], kind="stable")][:NAMED]:
        axes.plot(RECALLS, precision[c], lw=1, label=f"{legend_name(classes[int(c)])} {ap[c]:.3f}")
    if len(known):
        mean = precision[known].mean(0)
        axes.plot(RECALLS, mean, "k", lw=2.5, label=f"all {len(known)}: {ap[known].mean():.3f}")
        axes.figure.legend(title="average precision", loc="outside right upper")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    return render(axes)
