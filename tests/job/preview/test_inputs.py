"""Pictures and tables of a run's inputs, for every kind of target."""

import csv
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import make_run

from trainer.core.duration import Clock
from trainer.core.seed import StepId
from trainer.job.preview.inputs import (
    first_batch,
    overlay,
    palette,
    pixel_counts,
    write_counts,
    write_inputs,
)
from trainer.report.images import EDGE, SIDE
from trainer.report.lettering import LINE

CELL = SIDE + 2 * EDGE
CANVAS = ("dataset=digits_canvas", "dataset.examples=80", "dataset.digits=1", "model=unet")
MASK = CANVAS
BOX = (*CANVAS, "dataset.target=box", "task=regression", "loss=mse", "model=mlp")
CLEAN = (*CANVAS, "dataset.target=clean", "task=regression", "loss=mse")
STRONG = ("augmentation=[random_crop,horizontal_flip]", "mixer=cutmix", "mixer.per_image=true")


def previewed(folder, *overrides: str) -> Any:
    """Write the inputs and counts of a run; returns the run."""
    run = make_run(folder, "device=cpu", *overrides)
    write_inputs(folder, run.inputs(), run.planner.plan(0))
    write_counts(folder, run.data, run.planner.plan(0))
    return run


def rows(path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "overrides",
    [
        [*MASK, *STRONG],
        [*CLEAN, *STRONG],
        [*BOX, "augmentation=color_jitter", "mixer=mixup"],
        ["augmentation=light", "mixer=ricap"],
    ],
    ids=["mask", "image", "vector", "class"],
)
def test_the_first_batch_is_that_of_the_first_step(tmp_path, overrides):
    """Images and targets are augmented and mixed alike; only the standardisation is missing."""
    run = make_run(tmp_path, "device=cpu", *overrides)
    plan = run.planner.plan(0)
    shown = first_batch(run, plan)
    stored = next(iter(run.loader.open(run.data.train, run.device).batches(plan)))
    seen = run.assemble_step(Clock(1, 10)).step.prepare(stored, StepId(0, 0, 0), 0)
    torch.testing.assert_close(run.forward.standardise(shown.images.clone()), seen.images)
    assert shown.labels.equal(seen.labels)
    assert shown.shares.equal(seen.shares)
    assert shown.index.equal(seen.index)
    assert shown.images.min() >= 0
    assert shown.images.max() <= 1


def test_class_labels_are_listed_with_their_shares(tmp_path):
    run = previewed(tmp_path, "mixer=mixup")
    table = rows(tmp_path / "inputs.csv")
    assert len(table) == 2 * 32
    assert {row["label"] for row in table} == set(run.data.classes)
    assert float(table[0]["share"]) + float(table[1]["share"]) == pytest.approx(1, abs=1e-3)
    picture = np.asarray(Image.open(tmp_path / "inputs.png"))
    assert picture.shape == (4 * (CELL + 2 * LINE), 8 * CELL, 3)


def test_masks_are_listed_counted_and_overlaid(tmp_path):
    """The table has the classes of each mask; the picture has image and overlay side by side."""
    run = previewed(tmp_path, *MASK, *STRONG)
    table = rows(tmp_path / "inputs.csv")
    assert len(table) == 16
    batch = first_batch(run, run.planner.plan(0))
    for row, mask, share in zip(table, batch.labels[:, 0], batch.shares[:, 0], strict=False):
        classes = [run.data.classes[c] for c in mask.unique().tolist() if c != 255]
        assert row["label"].split(", ") == classes
        assert float(row["share"]) == pytest.approx(share.item(), abs=1e-4)
    assert len({row["share"] for row in table}) > 1
    counts = rows(tmp_path / "classes.csv")
    assert list(counts[0]) == ["class", "pixels", "pixels in an epoch"]
    assert sum(int(row["pixels"]) for row in counts) == 32 * 32 * len(run.data.train)
    assert all(row["pixels"] == row["pixels in an epoch"] for row in counts)
    picture = np.asarray(Image.open(tmp_path / "inputs.png"))
    assert picture.shape == (4 * (CELL + LINE) + 2 * (LINE + 4) + 4, 8 * CELL, 3)
    rows_of, columns = slice(EDGE, EDGE + SIDE), slice(CELL + EDGE, CELL + EDGE + SIDE)
    image, overlaid = picture[rows_of, rows_of].astype(int), picture[rows_of, columns].astype(int)
    mask = batch.labels[0, 0].numpy().repeat(4, 0).repeat(4, 1)
    colours = palette(run.data.classes)
    inked = (mask > 0) & (mask < 255)
    assert inked.any()
    expected = 0.4 * image[inked] + 0.6 * colours[mask[inked]]
    assert np.abs(overlaid[inked] - expected).max() <= 1
    assert (overlaid[mask == 255] == 128).all()


@pytest.mark.parametrize("overrides", [BOX, CLEAN], ids=["vector", "image"])
def test_regression_has_no_classes(tmp_path, overrides):
    run = previewed(tmp_path, *overrides)
    assert not (tmp_path / "classes.csv").exists()
    table = rows(tmp_path / "inputs.csv")
    first = first_batch(run, run.planner.plan(0)).labels[0, 0]
    if overrides is CLEAN:
        assert {row["label"] for row in table} == {""}
        picture = np.asarray(Image.open(tmp_path / "inputs.png"))
        shown = picture[EDGE : EDGE + SIDE, CELL + EDGE : CELL + EDGE + SIDE] / 255.0
        expected = first[0].numpy().repeat(4, 0).repeat(4, 1)
        assert np.abs(shown - expected[..., None]).max() < 0.01
    else:
        assert [float(v) for v in table[0]["label"].split()] == pytest.approx(first.tolist())
        assert len(table) == 32


def test_an_overlay_by_hand():
    """Class 0 over black, class 1 over white, and a pixel of no class."""
    colours = np.array([[100, 0, 0], [0, 50, 0]], np.uint8)
    image = np.array([0, 255, 77], np.uint8).reshape(1, 1, 1, 3).repeat(3, 1)
    overlaid = overlay(image, np.array([[[0, 1, 255]]]), colours)
    assert overlaid[0, :, 0].T.tolist() == [[60, 0, 0], [102, 132, 102], [128, 128, 128]]


def test_classes_have_distinct_colours():
    names = ("background", *map(str, range(20)))
    assert palette(names)[0].tolist() == [0, 0, 0]
    assert palette(names[1:])[0].any()
    colours = palette(names).astype(int)
    distances = np.abs(colours[:, None] - colours).sum(2) + 999 * np.eye(21, dtype=int)
    assert distances.min() > 40


def test_pixels_are_counted_per_row_of_the_epoch():
    """Rows 0, 1, 1: a mask drawn twice counts twice, and 255 is ignored."""
    masks = torch.tensor([[[0, 0], [1, 255]], [[2, 2], [2, 0]]], dtype=torch.uint8)
    assert pixel_counts(torch.tensor([0, 1, 1]), masks, 3).tolist() == [4, 1, 6]


def test_a_sampler_balances_the_counts_per_epoch(tmp_path):
    previewed(tmp_path, "sampler=oversample", "dataset.imbalance=10")
    counts = rows(tmp_path / "classes.csv")
    assert list(counts[0]) == ["class", "examples", "rows in an epoch"]
    assert len({row["examples"] for row in counts}) > 5
    assert len({row["rows in an epoch"] for row in counts}) == 1


def test_an_augmentation_is_prepared_with_the_training_split(tmp_path):
    """The principal colours are computed from the training images before the first call."""
    run = make_run(tmp_path, "device=cpu", "augmentation=pca_jitter")
    images = run.data.train.images
    coloured = type(images)(images.pixels.repeat(1, 3, 1, 1))
    run.data = replace(run.data, train=replace(run.data.train, images=coloured))
    assert first_batch(run, run.planner.plan(0)).images.shape == (32, 3, 8, 8)
