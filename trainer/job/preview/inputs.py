"""The first images that a run would train on, with their targets, and the class counts.

`inputs.png` shows the images after augmentation and mixing, with labels and shares below. A mask is
overlaid on its image, with a colour per class; a target image is shown next to its input; boxes are
drawn. Texts are in `inputs.csv`, after augmentation.
"""

from __future__ import annotations

from colorsys import hsv_to_rgb
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from trainer.augmentation.shared.taken import cut_of, taken
from trainer.core.forward import Forward, centre
from trainer.core.plan import Plan, class_counts
from trainer.core.seed import ExampleRandom, StepId
from trainer.core.text import count, listed
from trainer.dataset.shared.boxes import per_class
from trainer.dataset.shared.words import read_back
from trainer.report import boxes as drawing
from trainer.report.csv_file import write_csv
from trainer.report.images import COLUMNS, EDGE, SIDE, thumbnails
from trainer.report.lettering import LINE, draw_text, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trainer.core.batch import Batch
    from trainer.dataset import Data
    from trainer.run.inputs import Inputs

NUMBER = 32  # pictures in the grid
OPACITY = 0.6  # of a mask over its image
TURN = 0.618034  # golden ratio: step on the hue circle from class to class
SHADES = (0.9, 1.0), (0.9, 0.65), (0.45, 1.0)  # saturation and value, cycled through
IGNORED = 128  # grey level of pixels without a class
SWATCH = 120  # width in pixels of a legend entry
COUNTED_AT_ONCE = 1000  # masks per chunk


def write_inputs(folder: Path, inputs: Inputs, plan: Plan) -> None:
    """Write the first batch as `inputs.png` and `inputs.csv`."""
    batch = first_batch(inputs, plan)
    target = inputs.data.target
    batch = batch.select(slice(NUMBER // 2 if target in ("mask", "image", "boxes") else NUMBER))
    names = inputs.data.classes
    if inputs.data.kind == "text":
        texts = read_back(batch.images.tolist(), inputs.data.vocabulary)
        write_texts(folder / "inputs.csv", batch, names, texts)
        return
    images = bytes_of(batch.images)
    captions = captions_of(batch, names)
    if target == "mask":
        colours = palette(names)
        masks = batch.labels[:, 0].cpu().numpy()
        images, captions = pairs(images, overlay(images, masks, colours), captions)
        picture = np.concatenate(
            [thumbnails(images, captions), legend(names, colours, len(images))]
        )
    elif target == "boxes":
        picture = with_boxes(images, batch.labels[:, 0], names)
    elif target == "image":
        images, captions = pairs(images, bytes_of(batch.labels[:, 0]), captions)
        picture = thumbnails(images, captions)
    else:
        picture = thumbnails(images, captions)
    Image.fromarray(picture).save(folder / "inputs.png")
    write_table(folder / "inputs.csv", batch, names)


def with_boxes(images: np.ndarray, labels: Tensor, names: tuple[str, ...]) -> np.ndarray:
    """Draw images uint8 [N, 3, H, W] with their boxes [N, M, 5]; grey ones count nothing."""
    boxes = labels.cpu().tolist()
    drawn = [
        drawing.outlined(x, drawing.true_outlines(y, names))
        for x, y in zip(images, boxes, strict=True)
    ]
    numbers = [sum(row[0] > 0 for row in own) for own in boxes]
    captions = [[count(number, "box", plural="boxes")] for number in numbers]
    return thumbnails(np.stack(drawn), captions, longest=drawing.SIDE, columns=drawing.COLUMNS)


def first_batch(inputs: Inputs, plan: Plan) -> Batch:
    """Return the first batch of the first epoch, augmented and mixed, pixels in [0, 1]."""
    augmentations = taken(inputs.augmentation, uncut=inputs.data.uncut)
    rows = int(plan.bounds[1])
    cut = cut_of(augmentations, inputs.seed, 0, lambda _: torch.arange(rows))
    batch = next(iter(inputs.open_feed(inputs.data.train).batches(plan, cut=cut)))
    images = Forward.unit(batch.images)
    draws = ExampleRandom(inputs.seed, 0, torch.arange(len(images)), images.device)
    fill = float(inputs.task.ignore_index or 0)
    for augmentation in augmentations:
        augmentation.prepare(inputs.data.train)
        images, labels = augmentation.with_labels(
            images, batch.labels, draws, fill=fill, min_visible=inputs.task.min_visible
        )
        batch = replace(batch, labels=labels)
    images = centre(images, inputs.data.crop)
    return inputs.mixer(batch.with_images(images), StepId(inputs.seed, 0, 0))


def bytes_of(images: Tensor) -> np.ndarray:
    """Convert images [N, C, H, W] in [0, 1] to uint8 [N, 3, H, W]."""
    pixels = images.detach().cpu().clamp(0, 1).mul(255).round().byte()
    return (pixels if pixels.shape[1] == 3 else pixels[:, :1].expand(-1, 3, -1, -1)).numpy()


def captions_of(batch: Batch, names: tuple[str, ...]) -> list[list[str]]:
    """Return the lines below each image: classes and shares, or target values and own share.

    The share of a class is that of all examples that have it among their labels.
    """
    captions = []
    for labels, shares in zip(batch.labels, batch.shares.tolist(), strict=True):
        own_share = [] if shares[0] == 1 else [f"own share: {shares[0]:.0%}"]
        if labels.dtype == torch.bool and labels.ndim == 2:
            blended = torch.tensor(shares) @ labels.float().cpu()
            parts = zip(names, blended.tolist(), strict=True)
            captions.append([f"{name}: {share:.0%}" for name, share in parts if share > 0])
        elif labels.ndim == 1 and not labels.is_floating_point():
            parts = zip(labels.tolist(), shares, strict=True)
            captions.append([f"{names[y]}: {share:.0%}" for y, share in parts if share > 0])
        elif labels.ndim <= 2:
            values = [f"{value:.2f}" for value in labels.flatten().tolist()[:4]]
            captions.append([" ".join(values[:2]), " ".join(values[2:]), *own_share])
        else:
            captions.append(own_share)
    return captions


def pairs(
    images: np.ndarray, others: np.ndarray, captions: list[list[str]]
) -> tuple[np.ndarray, list[list[str]]]:
    """Interleave images [N, 3, H, W] with `others` [N, 3, H, W], which get empty captions."""
    both = np.stack([images, others], 1).reshape(-1, *images.shape[1:])
    return both, [lines for caption in captions for lines in (caption, [])]


def palette(names: tuple[str, ...]) -> np.ndarray:
    """Choose a colour per class, uint8 [C, 3]; black if the first is `background`."""
    rgb = [hsv_to_rgb(i * TURN % 1, *SHADES[i % len(SHADES)]) for i in range(len(names))]
    colours = np.round(np.array(rgb) * 255).astype(np.uint8)
    if names[0] == "background":
        colours[0] = 0
    return colours


def overlay(images: np.ndarray, masks: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Overlay masks [N, H, W] on images uint8 [N, 3, H, W]; pixels without a class are grey."""
    known = masks < len(colours)
    tint = colours[np.where(known, masks, 0)].transpose(0, 3, 1, 2)
    mixed = (1 - OPACITY) * images + OPACITY * tint
    return np.where(known[:, None], mixed.round(), IGNORED).astype(np.uint8)


def legend(names: tuple[str, ...], colours: np.ndarray, cells: int) -> np.ndarray:
    """Draw the class colours, as wide as a grid of `cells` thumbnails; uint8 [H, W, 3]."""
    width = min(COLUMNS, cells) * (SIDE + 2 * EDGE)
    columns = max(1, width // SWATCH)
    entries = [*zip(names, colours.tolist(), strict=True), ("no class", [IGNORED] * 3)]
    rows = -(-len(entries) // columns)
    canvas = Image.new("RGB", (width, rows * (LINE + 4) + 4), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (name, colour) in enumerate(entries):
        left, top = i % columns * SWATCH + 4, i // columns * (LINE + 4) + 2
        draw.rectangle((left, top, left + LINE, top + LINE), fill=tuple(colour), outline="black")
        draw_text(draw, (left + LINE + 4, top), shortened(name, SWATCH - LINE - 12))
    return np.asarray(canvas)


def write_table(path: Path, batch: Batch, names: tuple[str, ...]) -> None:
    """Write a row per image and mixed example: label, share, dataset id.

    The label of a mask or of boxes lists its classes, that of a vector its values; a target image
    has none.
    """
    rows = [
        [i, described(label, names), f"{float(batch.shares[i, k]):.4f}", int(batch.index[i, k])]
        for i, labels in enumerate(batch.labels)
        for k, label in enumerate(labels[: batch.shares.shape[1]])
    ]
    write_csv(path, [["image", "label", "share", "id"], *rows])


def write_texts(path: Path, batch: Batch, names: tuple[str, ...], texts: Sequence[str]) -> None:
    """Write a row per text: its words, label, dataset id."""
    rows = zip(texts, batch.labels[:, 0], batch.index[:, 0].tolist(), strict=True)
    cells = [[text, described(label, names), i] for text, label, i in rows]
    write_csv(path, [["text", "label", "id"], *cells])


def described(label: Tensor, names: tuple[str, ...]) -> str:
    """Format a label: class names, or the values of a vector; empty for a target image.

    Several labels are joined by `;`.
    """
    if label.dtype == torch.bool and label.ndim == 1:
        return listed(names, [label.tolist()])[0]
    if label.ndim == 3:
        return ""
    if label.is_floating_point() and label.ndim == 2:  # boxes
        return ", ".join(names[int(kind) - 1] for kind in label[:, 0].tolist() if kind > 0)
    if label.is_floating_point():
        return " ".join(f"{value:g}" for value in label.flatten().tolist())
    return ", ".join(names[c] for c in label.unique().tolist() if c < len(names))


def write_counts(folder: Path, data: Data, plan: Plan) -> None:
    """Write `classes.csv`: examples, pixels of masks, or boxes, per class, in split and epoch."""
    labels, names = data.train.labels, data.classes
    if not names:
        return
    if data.target == "mask":
        head = "pixels", "pixels in an epoch"
        drawn = pixel_counts(plan.ids[:, 0], labels, len(names))
    elif data.target == "boxes":
        head = "boxes", "boxes in an epoch"
        drawn = per_class(labels[plan.ids[:, 0]], len(names))
    else:
        head = "examples", "rows in an epoch"
        drawn = class_counts(plan, labels, len(names))
    counts = zip(names, data.class_counts(), drawn, strict=True)
    rows = [[name, int(count), f"{float(per_epoch):.10g}"] for name, count, per_epoch in counts]
    write_csv(folder / "classes.csv", [["class", *head], *rows])


def pixel_counts(ids: Tensor, masks: Tensor, classes: int) -> Tensor:
    """Count the pixels [C] of each class in the masks [M, H, W] of rows with ids [R]."""
    counts = torch.zeros(classes, dtype=torch.int64)
    for part in ids.split(COUNTED_AT_ONCE):
        counts += masks[part].flatten().bincount(minlength=classes)[:classes]
    return counts
