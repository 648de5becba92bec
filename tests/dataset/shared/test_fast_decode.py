"""JPEG files decoded faster: the same files are read and refused, with almost the same pixels."""

import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, JpegImagePlugin
from sklearn.datasets import load_sample_image
from torture_parts import images as torture

from trainer.core.errors import DataError
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared import decode as decoding
from trainer.dataset.shared import fast_decode
from trainer.dataset.shared.decode import decode
from trainer.dataset.shared.fast_decode import fast_pixels_of
from trainer.dataset.shared.letterbox import Fit
from trainer.loader.memory import pixels_of

BEHIND = (10, 200, 30)
decode_fast = partial(decode, pixels=fast_pixels_of)


def photo(
    path: Path, mode: str = "RGB", side: int = 150, orientation: int = 1, **options: int
) -> Path:
    image = Image.fromarray(load_sample_image("china.jpg")).resize((side * 3 // 2, side))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.convert(mode).save(path, "JPEG", quality=92, exif=exif, **options)
    return path


def difference(path: Path, shape: tuple[int, int, int], way: Fit = "cover") -> np.ndarray:
    exact = decode(path, shape, BEHIND, way=way).astype(int)
    return np.abs(decode_fast(path, shape, BEHIND, way=way) - exact)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_differ_by_a_level_at_most(tmp_path: Path, mode: str) -> None:
    for orientation in range(1, 9):
        path = photo(tmp_path / "x.jpg", mode, side=60, orientation=orientation)
        for channels, height, width in ((3, 41, 43), (1, 60, 90), (3, 130, 61)):
            for way in ("cover", "pad"):
                found = difference(path, (channels, height, width), way)
                assert found.max() <= (1 if channels == 3 or mode == "L" else 2)
                assert found.mean() < 0.3


@pytest.mark.parametrize(("side", "factor"), [(35, 8), (40, 4), (71, 4), (100, 2), (142, 2)])
def test_large_photos_are_reduced_while_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, factor: int
) -> None:
    """A mean absolute error of 1.5 of 255 at most, also where the size is no multiple of 8."""
    monkeypatch.setattr(fast_decode, "decoder", lambda: pytest.fail("decoded whole"))
    reduced: list[float] = []
    draft = JpegImagePlugin.JpegImageFile.draft

    def watched(image: JpegImagePlugin.JpegImageFile, mode: str, size: tuple[int, int]) -> object:
        before, found = image.width, draft(image, mode, size)
        reduced.append(round(before / image.width))
        return found

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", watched)
    for name in ("RGB", "L"):
        path = photo(tmp_path / "x.jpg", name, side=427, orientation=6)
        assert difference(path, (3, side, side)).mean() < 1.5
    assert reduced == [factor] * 2


@pytest.mark.parametrize("kind", ["RGB", "L", "progressive"])
def test_no_more_is_decoded_than_down_to_a_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    """It has the pixels of the whole, decoded at its own size, reduced, and turned."""
    stopped: list[bool] = []
    stop = fast_decode.stop_below
    ways = lambda *given: stopped.append(stop(*given)) or stopped[-1], lambda *_: False
    mode, options = ("RGB", {"progressive": True}) if kind == "progressive" else (kind, {})
    for orientation in range(1, 9):
        path = photo(tmp_path / "x.jpg", mode, side=400, orientation=orientation, **options)
        for top, left, side, size in ((3, 9, 77, 50), (130, 21, 240, 40), (0, 0, 60, 60)):
            pieces = []
            for way in ways:
                monkeypatch.setattr(fast_decode, "stop_below", way)
                with Image.open(path) as image:
                    box, turned = (top, left, side, side), decoding.turn_of(image)
                    pieces.append(fast_decode.fast_part(image, box, (size, size), 3, turned))
            assert pieces[0] is not None
            assert np.array_equal(*pieces)
    assert any(stopped) == (kind != "progressive")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("box", "size"), [((28, 5, 100, 255), (8, 32)), ((331, 120, 300, 137), (1, 32))]
)
def test_a_piece_made_much_smaller_has_the_pixels_of_the_whole_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    box: tuple[int, int, int, int],
    size: tuple[int, int],
) -> None:
    """Also of rows that depend on much below, or that Pillow resizes before columns."""
    path = tmp_path / "x.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (1500, 300), np.uint8)
    Image.fromarray(noise).save(path, quality=75)
    pieces = []
    for stop in (fast_decode.stop_below, lambda *_: False):
        monkeypatch.setattr(fast_decode, "stop_below", stop)
        with Image.open(path) as image:
            pieces.append(fast_decode.fast_part(image, box, size, 1, None))
    assert pieces[0] is not None
    assert np.array_equal(*pieces)


def test_damage_below_a_piece_does_not_refuse_a_file_that_is_read_whole(tmp_path: Path) -> None:
    """Done with its rows, a decoder looks for a marker, and this is none; else it resumes."""
    path = photo(tmp_path / "x.jpg", "L", side=120, restart_marker_rows=1)
    data = path.read_bytes()
    row = data.rindex(b"\xff\xd4")  # of blocks: one of the last
    path.write_bytes(data[: row - 9] + b"\xff\x93" + data[row - 7 :])
    assert decode(path, (1, 120, 180)).shape == (1, 120, 180)
    with Image.open(path) as image:
        assert fast_decode.fast_part(image, (0, 0, 50, 50), (10, 10), 1, None) is not None


@pytest.mark.parametrize("size", [40, 150])
def test_a_file_that_is_cut_off_below_a_piece_is_refused(tmp_path: Path, size: int) -> None:
    path = photo(tmp_path / "x.jpg", side=400)
    path.write_bytes(path.read_bytes()[:-9])

    def read() -> None:
        with decoding.open_image(path) as image:
            if fast_decode.fast_part(image, (0, 0, 150, 150), (size, size), 3, None) is None:
                image.load()  # as is done then

    with pytest.raises(DataError, match="truncated"):
        read()


@pytest.mark.parametrize(
    ("name", "mode"), [("JPEG", "CMYK"), ("PNG", "I;16"), ("PNG", "RGBA"), ("TIFF", "F")]
)
def test_everything_else_is_left_to_pillow(tmp_path: Path, name: str, mode: str) -> None:
    path = tmp_path / "x.jpg"
    torture.picture(mode).save(path, name)
    assert np.array_equal(decode_fast(path, (3, 9, 7)), decode(path, (3, 9, 7)))


def outcome(read) -> np.ndarray | str:
    try:
        return read()
    except DataError as error:
        return str(error)


def test_damaged_files_are_read_or_refused_alike_and_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """torchvision's libjpeg would write a line for damage that it ignores."""
    monkeypatch.setattr("threading.active_count", lambda: 1)  # a library's thread says nothing
    rng, path = random.Random(0), photo(tmp_path / "x.jpg", side=40)
    body, refused = path.read_bytes(), 0
    for _ in range(200):
        path.write_bytes(torture.damaged(body, [("JPEG", body)], rng))
        exact = outcome(lambda: decode(path, (3, 31, 33)))
        fast = outcome(lambda: decode_fast(path, (3, 31, 33)))
        if isinstance(exact, str):
            refused += 1
            assert fast == exact
        else:
            assert isinstance(fast, np.ndarray)
            assert np.abs(exact.astype(int) - fast).max() <= 1
    assert 0 < refused < 200
    assert capfd.readouterr().err == ""


def test_an_image_of_too_many_pixels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = photo(tmp_path / "x.jpg", side=40)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2399)
    with pytest.raises(DataError, match=r"it has 60 x 40 pixels; 2,399 are read at most"):
        decode_fast(path, (3, 9, 9))


def test_a_torchvision_without_the_function_leaves_all_to_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = photo(tmp_path / "x.jpg", side=40)
    monkeypatch.setattr(torch.ops, "image", object())
    assert np.array_equal(decode_fast(path, (3, 31, 33)), decode(path, (3, 31, 33)))


def test_the_cache_keeps_both_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        photo(tmp_path / "data" / name / "x.jpg")
    pixels = {}
    for how in ("exact", "fast", "exact"):
        settings = {"root": str(tmp_path / "data"), "cache": str(tmp_path / "cache"), "size": 64}
        images = ImageFolder(**settings, decode=how).load().train.images  # pyright: ignore
        pixels.setdefault(how, []).append(pixels_of(images, 0))
    assert torch.equal(*pixels["exact"])
    assert not torch.equal(pixels["exact"][0], pixels["fast"][0])
    assert len(list((tmp_path / "cache" / "trainer").iterdir())) == 2
