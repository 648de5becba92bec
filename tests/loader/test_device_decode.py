"""loader.decode=device: workers read, the device decodes. No GPU: the CPU's decoder stands in."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from sklearn.datasets import load_sample_image
from torch import Tensor

from trainer.augmentation.random_resized_crop import RandomResizedCrop
from trainer.core.errors import ConfigError, DataError
from trainer.core.plan import Plan
from trainer.dataset import Split
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.fast_decode import MODES, decoder
from trainer.dataset.shared.windows import Cutter, EpochCut
from trainer.loader.shared import device_decode
from trainer.loader.shared.device_decode import (
    Decoder,
    device_decoder,
    groups,
    trial_file,
    turned_upright,
)
from trainer.loader.stream import DeviceFeed, Stream

CPU = torch.device("cpu")
LEVELS = {"channels": 5, "size": 2, "decode": 1}
PLAN = Plan.of(torch.tensor([3, 0, 9, 7, 8, 1, 2, 4, 6, 5, 3]), 4)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph in each of eight orientations, and a CMYK, a grey and a PNG file."""
    folder = tmp_path_factory.mktemp("photos")
    photo = Image.fromarray(load_sample_image("flower.jpg"))
    for i in range(10):
        path = folder / "ab"[i % 2] / (f"{i}.png" if i == 9 else f"{i}.jpg")
        path.parent.mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = i % 8 + 1
        mode = {3: "L", 8: "CMYK"}.get(i, "RGB")
        photo.resize((90 + 5 * i, 70)).convert(mode).save(path, quality=95, exif=exif)
    return folder


def split_of(root: Path, **settings: Any) -> Split:
    return (
        ImageFolder(root=str(root), cache=None, fit="uncut", crop=40, **{"size": None} | settings)
        .load()
        .train
    )


def on_cpu(channels: int) -> Decoder:
    decoder()
    decode = torch.ops.image.decode_jpeg
    mode = MODES["L" if channels == 1 else "RGB"]
    return lambda files: [decode(file, mode, False) for file in files]


def device_feed(split: Split, decode: Decoder | None = None, workers: int = 0) -> DeviceFeed:
    loader = Stream(workers=workers, decode="device")
    return DeviceFeed(split, CPU, loader, decode or on_cpu(split.images.shape[0]))


def cut_by(cutter: Cutter) -> EpochCut:
    bounds = PLAN.bounds
    return EpochCut(cutter, 1, 2, lambda i: torch.arange(int(bounds[i]), int(bounds[i + 1])))


@pytest.mark.parametrize("settings", [{}, {"channels": 1}, {"size": 50}, {"decode": "fast"}])
@pytest.mark.parametrize("cutter", [RandomResizedCrop(size=40), None])
def test_pieces_are_those_that_workers_would_cut(
    root: Path, settings: dict[str, Any], cutter: Cutter | None
) -> None:
    """Within a level of rounding: each time that it is resized, or made grey otherwise."""
    split = split_of(root, **settings)
    cut = None if cutter is None else cut_by(cutter)
    host = Stream(workers=0).open(split, CPU).batches(PLAN, cut=cut)
    device = device_feed(split).batches(PLAN, cut=cut)
    for one, other in zip(host, device, strict=True):
        assert one.images.shape == other.images.shape
        assert torch.equal(one.labels, other.labels)
        most = max((LEVELS[name] for name in settings), default=1)
        assert difference(one.images, other.images) <= most


@pytest.mark.parametrize("how", Image.Transpose)
def test_pixels_are_turned_as_pillow_turns_them(how: Image.Transpose) -> None:
    pixels = torch.arange(24, dtype=torch.uint8).view(1, 4, 6)
    want = np.asarray(Image.fromarray(pixels[0].numpy()).transpose(how))
    assert np.array_equal(turned_upright(pixels, how)[0].numpy(), want)


def difference(one: Tensor, other: Tensor) -> int:
    return int((one.int() - other.int()).abs().max())


def test_a_worker_sends_the_same(root: Path) -> None:
    split, cut = split_of(root), cut_by(RandomResizedCrop(size=40))
    batches = [device_feed(split, workers=n).batches(PLAN, 1, cut) for n in (0, 1)]
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one.images, other.images)


def test_a_file_that_the_device_refuses_is_left_to_pillow(root: Path) -> None:
    split, cut = split_of(root), cut_by(RandomResizedCrop(size=40))
    refused: list[int] = []

    def refuse_long(files: list[Tensor]) -> list[Tensor]:
        if max(map(len, files)) == longest:
            refused.append(len(files))
            raise RuntimeError("nvJPEG cannot decode it")
        return on_cpu(3)(files)

    jpegs = (path for path in root.rglob("*.jpg") if path.name != "8.jpg")
    longest = max(path.stat().st_size for path in jpegs)
    want = list(device_feed(split).batches(PLAN, cut=cut))
    got = list(device_feed(split, refuse_long).batches(PLAN, cut=cut))
    assert 1 in refused
    assert len(refused) > 1
    assert max(difference(a.images, b.images) for a, b in zip(got, want, strict=True)) <= 1


def test_a_damaged_file_is_named(root: Path, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").write_bytes((root / "a" / "0.jpg").read_bytes())
    path = tmp_path / "b" / "0.jpg"
    path.write_bytes(path.read_bytes()[:700])
    feed = device_feed(split_of(tmp_path))
    with pytest.raises(DataError, match=r"\Acannot read the image [^\n]*b/0\.jpg: [^\n]*\Z"):
        next(iter(feed.batches(Plan.of(torch.arange(2), 2))))


def test_memory_that_runs_out_is_said(root: Path) -> None:
    def out_of_memory(files: list[Tensor]) -> list[Tensor]:
        raise torch.OutOfMemoryError("no memory")

    with pytest.raises(torch.OutOfMemoryError):
        next(iter(device_feed(split_of(root), out_of_memory).batches(PLAN)))


def test_few_pixels_are_decoded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_decode, "AT_ONCE", 100)
    assert list(groups([60, 40, 1, 200, 0, 30])) == [[0, 1], [2], [3], [4, 5]]


def test_it_is_refused_where_it_cannot_be(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader, split = Stream(workers=0, decode="device"), split_of(root)
    with pytest.raises(ConfigError, match=r"decodes on a CUDA device, and this run's is cpu; take"):
        loader.open(split, CPU)
    monkeypatch.setattr(torch.ops, "image", object())
    with pytest.raises(ConfigError, match=r"torchvision cannot decode on cuda \(.*\); take"):
        loader.open(split, torch.device("cuda"))
    stored = ImageFolder(root=str(root), cache=None, size=40).load().train
    with pytest.raises(ConfigError, match=r"needs dataset\.fit=uncut; set it, or take"):
        loader.open(stored, torch.device("cuda"))


def test_the_devices_decoder_is_torchvisions(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for all files of a batch, in the mode of the channels; tried when it is opened."""
    asked: list[tuple[int, int, str]] = []
    plain = on_cpu(3)

    def decode_jpegs_cuda(files: list[Tensor], mode: int, device: torch.device) -> list[Tensor]:
        asked.append((len(files), mode, str(device)))
        return plain(files)

    monkeypatch.setattr(torch.ops, "image", SimpleNamespace(decode_jpegs_cuda=decode_jpegs_cuda))
    decode = device_decoder(3, torch.device("cuda:1"))
    assert asked == [(1, 3, "cuda:1")]
    assert len(decode([trial_file()] * 5)) == 5
    assert asked[1] == (5, 3, "cuda:1")
