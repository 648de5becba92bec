"""Digits on canvases: masks, boxes and clean canvases that agree with the pixels."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from trainer.core.errors import ConfigError
from trainer.core.seed import generator
from trainer.dataset import Data
from trainer.dataset.digits import Digits
from trainer.dataset.digits_canvas import (
    INK,
    DigitsCanvas,
    add_noise,
    bounding_boxes,
    layout,
    paste,
)
from trainer.dataset.shared.scattered import resized


def opened(seed: int = 0, **settings: Any) -> Data:
    return DigitsCanvas(**settings).open(seed)


@pytest.fixture(scope="module")
def data() -> Data:
    """Without noise, so that pixels are those of the digits."""
    return opened(noise=0.0)


def test_sizes_types_and_classes(data: Data) -> None:
    """1000 · 0.2 canvases for testing, 0.1 of the other 800 for validation."""
    assert (len(data.train), len(data.val), len(data.test)) == (720, 80, 200)
    assert data.shape == (1, 32, 32)
    assert data.classes == ("background", *"0123456789")
    assert data.target == "mask"
    for split, number in ((data.train, 800), (data.test, 200)):
        assert split.labels.shape == (number, 32, 32)
        assert split.labels.dtype == torch.uint8
        assert len(split.images) == number
        assert split.labels.unique().tolist() == list(range(11))


def test_a_mask_is_the_ink_of_its_digits(data: Data) -> None:
    """Every canvas has five digits, each with the pixels of a digit of its class."""
    source = load_digits()
    bright = np.round(source.images * 255 / 16).astype(np.uint8)
    known = {
        (int(y), (x * (x >= INK)).tobytes()) for x, y in zip(bright, source.target, strict=True)
    }
    images, masks = data.test.images.read(range(40))[:, 0].numpy(), data.test.labels[:40].numpy()
    assert ((masks > 0) == (images >= INK)).all()
    for image, mask in zip(images, masks, strict=True):
        matches = 0
        for top in range(25):
            for left in range(25):
                window = slice(top, top + 8), slice(left, left + 8)
                label = int(mask[window].max())
                ink = image[window] * (image[window] >= INK)
                matches += bool(label and (label - 1, ink.tobytes()) in known)
        assert matches >= 5  # five tiles, and some that match when shifted


def test_canvases_for_testing_share_no_digit_with_the_others() -> None:
    """With one digit on a canvas of its own size."""
    data = opened(size=8, digits=1, noise=0.0)
    test_images, rest = (
        {image.numpy().tobytes() for image in split.images.read(range(number))}
        for split, number in ((data.test, 200), (data.train, 800))
    )
    plain = Digits().open(0)
    test_digits, other_digits = (
        {x.numpy().tobytes() for x in plain.test.images.read(ids)}
        for ids in (plain.test.ids.tolist(), plain.train.ids.tolist() + plain.val.ids.tolist())
    )
    assert test_images <= test_digits
    assert rest <= other_digits
    assert not test_images & rest


def test_digits_are_used_equally_often() -> None:
    """359 test digits on 6000 · 0.2 = 1200 canvases: 3 or 4 times each."""
    data = opened(size=8, digits=1, examples=6000, noise=0.0)
    images = data.test.images.read(range(1200)).flatten(1)
    _, numbers = images.unique(dim=0, return_counts=True)
    assert len(numbers) == 359
    assert set(numbers.tolist()) == {3, 4}


def test_canvases_are_the_same_for_every_seed() -> None:
    one, other = opened(0), opened(1)
    for name in ("train", "test"):
        first, second = getattr(one, name), getattr(other, name)
        assert torch.equal(first.labels, second.labels)
        number = range(len(first.labels))
        assert torch.equal(first.images.read(number), second.images.read(number))
    assert not torch.equal(one.val.ids, other.val.ids)


def test_boxes_by_hand() -> None:
    """Ink in rows 2 to 3, columns 1 to 4 of a tile at (10, 20): x 21 to 25, y 12 to 14."""
    ink = np.zeros((1, 8, 8), bool)
    ink[0, 2, 1], ink[0, 3, 4] = True, True
    assert bounding_boxes(ink, np.array([[10, 20]])).tolist() == [[21, 12, 25, 14]]


def test_a_box_encloses_the_ink_tightly() -> None:
    data = opened(target="box", digits=1, noise=0.0)
    assert data.target == "vector"
    assert data.classes == ()
    assert data.train.labels.dtype == torch.float32
    assert data.train.labels.shape == (800, 4)
    images = data.train.images.read(range(50))[:, 0]
    for image, box in zip(images, data.train.labels[:50] * 32, strict=True):
        rows, columns = (image >= INK).nonzero().unbind(1)
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box.tolist() == [float(edge) for edge in edges]


def test_the_clean_canvas_is_the_canvas_without_noise(data: Data) -> None:
    noisy = opened(target="clean", noise=0.1)
    assert noisy.target == "image"
    assert noisy.train.labels.dtype == torch.float32
    assert noisy.train.labels.shape == (800, 1, 32, 32)
    number = range(800)
    clean = data.train.images.read(number).float() / 255
    assert torch.equal(noisy.train.labels, clean)
    black = noisy.train.images.read(number)[clean == 0].float() / 255
    # Half of normal numbers of deviation 0.1 are cut at 0; the others' mean is 0.1 · √(2/π).
    assert (black == 0).float().mean() == pytest.approx(0.5, abs=0.02)
    assert black[black > 0].mean() == pytest.approx(0.1 * (2 / np.pi) ** 0.5, abs=2e-3)


def test_noise_by_hand() -> None:
    grey = np.full((1, 100, 100), 128, np.uint8)
    assert add_noise(grey, 0.0, np.random.default_rng(0)) is grey
    noisy = add_noise(grey, 0.1, np.random.default_rng(0)).astype(float)
    assert noisy.mean() == pytest.approx(128, abs=1)
    assert noisy.std() == pytest.approx(25.5, abs=0.6)
    assert add_noise(grey, 100.0, np.random.default_rng(0)).max() == 255


def test_pasting_by_hand() -> None:
    tiles = np.array([[[[1, 2]], [[3, 4]]]], np.uint8)  # two tiles of 1 × 2
    assert paste(tiles, np.array([[[0, 1], [2, 0]]]), 3).tolist() == [
        [[0, 1, 2], [0, 0, 0], [3, 4, 0]]
    ]


def test_scaled_digits_have_square_blocks_of_pixels() -> None:
    data = opened(size=48, digits=2, scale=3, noise=0.0)
    image, mask = data.test.images.read([0])[0, 0], data.test.labels[0]
    assert data.shape == (1, 48, 48)
    for canvas in (image, mask):
        rows = canvas.bool().any(1).nonzero()[:, 0]
        tall = canvas[rows[0] :].unfold(0, 3, 3)[0]
        assert (tall == tall[:, :1]).all()


def test_tiles_do_not_overlap_and_are_uniformly_placed() -> None:
    """A single tile of 2 on a side of 5 has 16 equally likely places."""
    corners = layout(300, 5, 8, 32, generator(0, 0))
    assert corners.min() >= 0
    assert corners.max() <= 24
    for a in range(5):
        for b in range(a):
            assert (np.abs(corners[:, a] - corners[:, b]).max(1) >= 8).all()
    single = layout(16_000, 1, 2, 5, generator(0, 1))[:, 0]
    counts = np.bincount(single[:, 0] * 4 + single[:, 1], minlength=16)
    assert abs(counts - 1000).max() < 130  # deviation 31


def test_digits_that_do_not_fit_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.dataset.digits_canvas.TRIES", 50)
    with pytest.raises(ConfigError, match=r"dataset\.digits=17 .* dataset\.size=32"):
        opened(digits=17, examples=10)


def test_without_a_test_split() -> None:
    data = opened(test_fraction=0.0, examples=50)
    assert (len(data.train), len(data.val), len(data.test)) == (45, 5, 0)


def test_masks_allow_a_subset_but_no_other_degradation() -> None:
    data = opened(subset=10, examples=50)
    assert len(data.train) == 10
    for settings in ({"imbalance": 2.0}, {"label_noise": 0.1}, {"threshold_class": True}):
        with pytest.raises(ConfigError, match=rf"dataset.{next(iter(settings))}\S* needs a class"):
            opened(examples=50, **settings)
    with pytest.raises(ConfigError, match=r"dataset\.classes needs a class label per image"):
        opened(classes=[1, 2], examples=50)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 7}, r"dataset\.size must be at least 8 · dataset\.scale, got 7"),
        ({"size": 32, "scale": 5}, r"dataset\.size"),
        ({"digits": 0}, r"dataset\.digits"),
        ({"scale": 0}, r"dataset\.scale"),
        ({"examples": 0}, r"dataset\.examples"),
        ({"noise": -0.1}, r"dataset\.noise"),
        ({"target": "box", "digits": 2}, r"dataset\.target=box needs dataset\.digits=1, got 2"),
        ({"clutter": 1}, r"dataset\.clutter=1 needs dataset\.target=boxes, got mask"),
        ({"target": "boxes", "clutter": -1}, r"dataset\.clutter must be .*-1"),
        ({"target": "boxes", "sides": (10, 40)}, r"dataset\.sides must be .*=32, got \[10,40\]"),
        ({"target": "boxes", "scale": 2}, r"dataset\.scale=2 has no effect .*dataset\.sides"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DigitsCanvas(**settings)


def test_several_labels_are_the_digits_on_a_canvas() -> None:
    """The mask of the same canvas shows the digits: class c + 1 is the digit c."""
    masks, several = opened(digits=3), opened(digits=3, target="labels")
    assert several.target == "multilabel"
    assert several.classes == tuple("0123456789")
    for name in ("train", "test"):
        ours, theirs = getattr(several, name), getattr(masks, name)
        assert torch.equal(ours.images.pixels, theirs.images.pixels)
        shown = [(mask.unique()[1:] - 1).tolist() for mask in theirs.labels]
        assert [row.nonzero()[:, 0].tolist() for row in ours.labels] == shown
    assert set(several.train.labels.sum(1).tolist()) == {1, 2, 3}
    assert torch.equal(several.class_counts(), several.train.labels[several.train.ids].sum(0))


@pytest.fixture(scope="module")
def boxes() -> Data:
    return opened(target="boxes", size=64, noise=0.0, examples=200)


def test_boxes_have_a_class_and_enclose_the_ink_of_a_digit(boxes: Data) -> None:
    """Without clutter all bright pixels are in a box, and each edge touches one."""
    assert boxes.target == "boxes"
    assert boxes.classes == tuple("0123456789")
    assert boxes.train.labels.shape == (160, 5, 5)
    images = boxes.train.images.read(range(160))[:, 0] >= INK
    assert set((boxes.train.labels[..., 0] > 0).sum(1).tolist()) == {1, 2, 3, 4, 5}
    sides = set()
    for image, rows in zip(images, boxes.train.labels.int().tolist(), strict=True):
        left = image.clone()
        for kind, x0, y0, x1, y1 in rows:
            if kind:
                inside = image[y0:y1, x0:x1]
                for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                    assert edge.any()
                left[y0:y1, x0:x1] = False
                sides.add(max(x1 - x0, y1 - y0))
        assert not left.any()
    assert (min(sides), max(sides)) == (10, 18)


def test_the_class_of_a_box_is_that_of_its_digit() -> None:
    """A digit of 8 x 8 on a canvas of 16 x 16: the window that holds it is a known image."""
    data = opened(target="boxes", size=16, digits=1, sides=(8, 8), noise=0.0, examples=100)
    source = Digits().load().train
    images = source.images.read(range(len(source)))
    known = {x.numpy().tobytes(): int(y) for x, y in zip(images, source.labels, strict=True)}
    canvases = data.train.images.read(range(80))[:, 0]
    for canvas, box in zip(canvases, data.train.labels[:, 0], strict=True):
        windows = canvas.unfold(0, 8, 1).unfold(1, 8, 1).flatten(0, 1)
        whole = [w.numpy().tobytes() for w in windows if w.sum() == canvas.sum()]
        assert {known[w] for w in whole if w in known} == {int(box[0]) - 1}


def test_clutter_changes_canvases_and_adds_no_box(boxes: Data) -> None:
    cluttered = opened(target="boxes", size=64, noise=0.0, examples=200, clutter=2)
    outside = 0
    images = cluttered.train.images.read(range(160))[:, 0] >= INK
    for image, rows in zip(images, cluttered.train.labels.int().tolist(), strict=True):
        for _, x0, y0, x1, y1 in rows:
            image[y0:y1, x0:x1] = False
        outside += int(image.any())
    assert outside > 150
    assert len(cluttered.class_counts()) == 10
    assert 380 < cluttered.class_counts().sum() < 480  # 3 on each of 144 canvases
    assert torch.equal(boxes.test.labels[0], cluttered.test.labels[0])  # drawn before the clutter


@pytest.mark.parametrize("side", [8, 10, 13, 18])
def test_tiles_are_scaled_as_torch_does(side: int) -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (5, 8, 8)).astype(np.uint8)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(tiles)[:, None].double(), (side, side), mode="bilinear"
    )[:, 0]
    assert (torch.from_numpy(resized(tiles, side)).double() - expected).abs().max() < 0.5 + 1e-9
