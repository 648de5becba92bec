"""dataset.crop: images are stored larger than what the model sees of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import digest, fitted, make_run, read_json, train

import trainer
from trainer.core.errors import ConfigError, Interrupted
from trainer.dataset.image_folder import ImageFolder

SIZES = "dataset.size=16", "dataset.crop=10", "augmentation.random_resized_crop.size=10"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of 24 x 20 pixels in each of two classes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(24):
        path = folder / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (5, 6, 3), np.uint8) // 2 + i % 2 * 90
        Image.fromarray(pixels).resize((24, 20), Image.Resampling.BICUBIC).save(path)
    return folder


def settings(root: Path, *others: str) -> list[str]:
    return [
        *("dataset=image_folder", f"dataset.root={root}", "dataset.cache=null", "model=mlp"),
        *("augmentation=[random_resized_crop,horizontal_flip]", "mixer=cutmix", "batch_size=8"),
        *("dataset.val_fraction=0.2", "device=cpu", "epochs=2", *SIZES, *others),
    ]


def test_a_run_trains_on_pieces_and_judges_by_the_middle(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(folder, *settings(root)) == 0
    about = read_json(folder / "data.json")
    assert (about["shape"], about["stored"]) == ([3, 10, 10], [16, 16])
    model, path = trainer.load(folder), root / "b" / "01.png"
    with Image.open(path) as image:
        stored = ImageFolder(root=str(root), size=16, cache=None).load().train.images.read([12])
        middle = model.preprocess(stored[0, :, 3:13, 3:13])
        assert torch.equal(model.preprocess(path), middle)
        assert torch.equal(model.preprocess(image), middle)
    assert middle.shape == (1, 3, 10, 10)
    for job in ("evaluate", "predict", "export", "preview"):
        own = {"export": ["job.format=state_dict"], "preview": settings(root)}.get(job, [])
        assert (
            train(tmp_path / job, f"job={job}", *own, *([f"run={folder}"][: job != "preview"])) == 0
        )
    same = read_json(tmp_path / "evaluate" / "result.json")["test"]["loss"]
    assert same == pytest.approx(read_json(folder / "result.json")["test"]["loss"], abs=1e-6)


def test_workers_and_an_interruption_change_nothing(root: Path, tmp_path: Path) -> None:
    whole = digest(fitted(tmp_path / "whole", *settings(root, "loader=memory")))
    for workers in (0, 1):
        own = "loader=stream", f"loader.workers={workers}"
        assert digest(fitted(tmp_path / f"{workers}", *settings(root, *own))) == whole
    own = settings(root, "loader=memory", "checkpoint.every=1st")
    with pytest.raises(Interrupted):
        fitted(tmp_path / "stopped", *own, stop_after=2)
    assert digest(fitted(tmp_path / "stopped", *own)) == whole


def test_without_a_piece_cut_out_training_sees_the_middle(root: Path, tmp_path: Path) -> None:
    """Whether an augmentation runs or not, and in the passes before training."""
    plain = "augmentation.random_resized_crop.size=null", "init=lsuv"
    others = [item for item in settings(root, *plain) if "resized_crop.size=10" not in item]
    run = make_run(tmp_path / "run", *others, "mixer=none")
    batch = next(iter(run.open_feed(run.data.train).batches(run.planner.plan(0))))
    assert batch.images.shape[2:] == (16, 16)
    assert run.forward.inputs(batch.images).shape[2:] == (10, 10)
    assert run.data.shape == (3, 10, 10)
    assert run.sample(4).shape == (4, 3, 10, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["dataset.crop=20"], r"dataset\.crop=20x20 is larger than the images, 16x16; raise"),
        (["dataset.crop=0"], r"dataset\.crop must be null, a side or \[height, width\], got 0"),
        (["dataset.crop=9"], r"random_resized_crop\.size=10x10 and dataset\.crop=9x9: the model"),
        (["dataset.crop=null"], r"random_resized_crop\.size=10x10 and dataset\.crop=null: the"),
    ],
)
def test_sizes_that_do_not_fit_are_named(
    root: Path, tmp_path: Path, changes: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_run(tmp_path, *settings(root, *changes)).model  # noqa: B018
