"""dataset.fit=uncut: pieces are cut out of images that keep their aspect ratio."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import digest, fitted, make_run, read_json, train

import trainer
from trainer.augmentation.base import Geometric
from trainer.augmentation.horizontal_flip import HorizontalFlip
from trainer.augmentation.random_resized_crop import RandomResizedCrop
from trainer.core.errors import ConfigError, Interrupted
from trainer.core.seed import ExampleRandom, StepId
from trainer.dataset.image_folder import ImageFolder
from trainer.loader.stream import Stream
from trainer.run.crops import check_uncut

CUT = "augmentation=[random_resized_crop,horizontal_flip]", "dataset.crop=10"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs in each of two classes, upright, of 20 to 31 pixels by 18."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(24):
        path = folder / "ab"[i % 2] / f"{i:02}.jpg"
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (5, 6, 3), np.uint8) // 2 + i % 2 * 90
        size = (20 + i // 2, 18)[:: 1 - i % 3 // 2 * 2]
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path, quality=95)
    return folder


def settings(root: Path, *others: str) -> list[str]:
    return [
        *("dataset=image_folder", f"dataset.root={root}", "dataset.cache=null", "model=mlp"),
        *("dataset.fit=uncut", *CUT, "augmentation.random_resized_crop.size=10", "batch_size=8"),
        *("dataset.val_fraction=0.2", "device=cpu", "epochs=2", *others),
    ]


@pytest.mark.parametrize("size", ["null", "14"])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_loaders_workers_and_an_interruption_change_nothing(
    root: Path, tmp_path: Path, size: str
) -> None:
    own = settings(root, f"dataset.size={size}", "mixer=mixup", "mining=hard_example")
    whole = digest(fitted(tmp_path / "whole", *own, "loader=memory"))
    for workers in (0, 1, 4)[: 3 if size == "null" else 1]:
        stream = "loader=stream", f"loader.workers={workers}"
        assert digest(fitted(tmp_path / f"{workers}", *own, *stream)) == whole
    stopping = [*own, "loader=stream", "loader.workers=0", "checkpoint.every=1st"]
    with pytest.raises(Interrupted):
        fitted(tmp_path / "stopped", *stopping, stop_after=2)
    assert digest(fitted(tmp_path / "stopped", *stopping)) == whole


def test_the_next_augmentation_draws_the_numbers_that_it_would_have_drawn(
    root: Path, tmp_path: Path
) -> None:
    """Pieces are mirrored as by the same augmentations of images that are stored cut."""
    fit = fitted(tmp_path / "run", *settings(root, "mixer=none", "epochs=1"))
    plan = fit.planner.plan(0)
    first = StepId(0, 0, 0)
    batch = next(iter(fit.train_feed.batches(plan, cut=fit.step.cut(plan, first))))
    assert batch.images.shape == (8, 3, 10, 10)
    plain = fit.step.forward.inputs(batch.images)
    got = fit.step.prepare(batch, first, 0).images
    cut = RandomResizedCrop(size=10)(
        torch.rand(8, 3, 30, 30), (draws := ExampleRandom(0, 0, torch.arange(8)))
    )
    flipped = HorizontalFlip()(torch.arange(10.0).expand(8, 3, 10, 10), draws)
    mirrored = flipped[:, 0, 0, 0] > 0
    assert cut.shape == (8, 3, 10, 10)
    assert 0 < mirrored.sum() < 8
    want = torch.where(mirrored[:, None, None, None], plain.flip(3), plain)
    torch.testing.assert_close(got, want)


def test_a_run_is_judged_by_the_middle_and_used_by_every_job(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(folder, *settings(root)) == 0
    about = read_json(folder / "data.json")
    assert (about["shape"], about["stored"], about["fit"]) == ([3, 10, 10], [11, 11], "cover")
    for job in ("evaluate", "predict"):
        assert train(tmp_path / job, f"job={job}", f"run={folder}") == 0
    same = read_json(tmp_path / "evaluate" / "result.json")["test"]["loss"]
    assert same == read_json(folder / "result.json")["test"]["loss"]
    tta = "job.tta=flip"
    assert train(tmp_path / "tta", "job=evaluate", f"run={folder}", tta) == 0
    run = make_run(tmp_path / "read", *settings(root))
    stored, model = run.data.train.images, trainer.load(folder)
    path = str(stored.paths[3])  # pyright: ignore
    image = model.preprocess(stored.read([3])[0])
    assert (model.preprocess(path) - image).abs().max() * min(model.trained_on.std) <= 1.01 / 255
    own = "distill=soft_target", f"distill.teacher={folder}"
    assert train(tmp_path / "student", *settings(root, *own)) == 0


@pytest.mark.parametrize("job", ["preview", "trial", "find_lr", "find_batch_size"])
def test_jobs_that_train_cut_pieces(
    root: Path, tmp_path: Path, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    batches = Stream.open

    def watched(self: Stream, *arguments):
        feed = batches(self, *arguments)
        own = feed.batches

        def noted(plan, start=0, cut=None):
            asked.append(cut is not None)
            return own(plan, start, cut)

        feed.batches = noted
        return feed

    monkeypatch.setattr(Stream, "open", watched)
    few = {
        "find_lr": ["job.steps=6"],
        "find_batch_size": ["job.start=8", "job.largest=8", "job.repeats=1"],
        "trial": [],
    }.get(job, [])
    stream = "loader=stream", "loader.workers=0"
    assert train(tmp_path / job, *settings(root, f"job={job}", *stream, *few)) == 0
    assert any(asked)


class Sized(Geometric):
    """Cuts, but not out of images of many sizes."""

    size = 10, 10

    def draw(self, draws, size):
        return None

    def move(self, images, parameters, *, nearest, fill):
        return images[..., :10, :10]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["dataset.crop=null"], r"dataset\.fit=uncut needs dataset\.crop"),
        (["dataset.size=8"], r"dataset\.size=8 is the short side .* than dataset\.crop=10; raise"),
        (["dataset.size=[16,16]"], r"dataset\.size=\[16, 16\] would fix the aspect ratio"),
        (["dataset.crop_ratio=0"], r"dataset\.crop_ratio must be in \(0, 1\], got 0"),
        (
            ["dataset.crop_ratio=1e-6"],
            r"crop=10 with dataset\.crop_ratio=1e-06 is the middle of",
        ),
        (
            ["dataset.crop=20000"],
            r"crop=20000 with dataset\.crop_ratio=0\.875 is the middle of",
        ),
        (
            ["augmentation=[horizontal_flip,random_resized_crop]"],
            r"augmentation=random_resized_crop cuts .* must come first; put it first",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(
    root: Path, tmp_path: Path, changes: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_run(tmp_path, *settings(root, *changes)).model  # noqa: B018


def test_labels_with_places_are_refused(root: Path) -> None:
    data = ImageFolder(root=str(root), cache=None, fit="uncut", crop=10, size=None)
    split = data.load().train
    boxes = replace(split, labels=torch.zeros(len(split.labels), 2, 5))
    with pytest.raises(ConfigError, match=r"which are boxes; set dataset\.fit=auto dataset\.crop="):
        data.cut_to(boxes)


def test_an_augmentation_that_cannot_cut_whole_images_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cannot cut pieces .* it does not define windows"):
        check_uncut([Sized()])
    with pytest.raises(ValueError, match=r"does not cut pieces out of images stored uncut"):
        Sized().windows(ExampleRandom(0, 0, torch.arange(1)), *torch.ones(2, 1))


def test_without_a_piece_training_sees_the_middle(root: Path, tmp_path: Path) -> None:
    plain = [item for item in settings(root) if "resized_crop.size" not in item]
    fit = fitted(tmp_path / "run", *plain, "epochs=1")
    plan = fit.planner.plan(0)
    assert fit.step.cut(plan, StepId(0, 0, 0)) is None
    batch = next(iter(fit.train_feed.batches(plan)))
    assert batch.images.shape[2:] == (11, 11)
    assert fit.data.shape == (3, 10, 10)
