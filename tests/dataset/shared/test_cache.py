"""The cache of decoded images: same pixels, invalidated by any change, read as untrusted data."""

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from trainer.core.errors import DataError
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared import cache
from trainer.dataset.shared.cache import Cache, standard_folder
from trainer.dataset.shared.image_files import ImageFiles
from trainer.loader.memory import MemoryFeed, pixels_of

KEY = bytes(32)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of 20 JPEGs of noise, 8 × 8 pixels each."""
    rng = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "photos" / "ab"[i // 20] / f"{i:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return tmp_path / "photos"


class CountedRun:
    """Opens a folder's images as a run would, and counts the images it decodes."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.decoded, self.warnings = root, 0, []
        read = ImageFiles.read

        def counting(images: ImageFiles, ids: range) -> Tensor:
            self.decoded += len(ids)
            return read(images, ids)

        monkeypatch.setattr(ImageFiles, "read", counting)

    def pixels(self, folder: Path | str | None, **settings: object) -> Tensor:
        """All pixels of a run with the cache in a folder; resets `decoded`."""
        keep = None if folder is None else str(folder)
        data = ImageFolder(root=str(self.root), cache=keep, warn=self.warnings.append, **settings)  # pyright: ignore
        images = data.load().train.images
        self.decoded = 0
        return pixels_of(images, 0)


@pytest.fixture
def run(photos: Path, monkeypatch: pytest.MonkeyPatch) -> CountedRun:
    return CountedRun(photos, monkeypatch)


def only_file(folder: Path) -> Path:
    """The only file of a cache."""
    (path,) = (folder / "trainer").iterdir()
    return path


def test_file_format_by_hand(tmp_path: Path) -> None:
    """Magic number, key, bytes, SHA-256 of all three."""
    small_cache = Cache(tmp_path, pytest.fail)
    small_cache.write_file("x", KEY, torch.tensor([[1, 2], [3, 255]], dtype=torch.uint8))
    body = b"trainer cache 1\n" + KEY + b"\x01\x02\x03\xff"
    assert (tmp_path / "x.cache").read_bytes() == body + hashlib.sha256(body).digest()
    got = small_cache.read_file("x", KEY, (2, 2))
    assert got is not None
    assert got.tolist() == [[1, 2], [3, 255]]


def test_the_second_run_reads_the_same_pixels_without_decoding(
    run: CountedRun, tmp_path: Path
) -> None:
    bare = run.pixels(None)
    first = run.pixels(tmp_path / "kept")
    assert run.decoded == 40
    second = run.pixels(tmp_path / "kept")
    assert run.decoded == 0
    assert torch.equal(first, bare)
    assert torch.equal(second, bare)
    assert run.warnings == []


def test_without_a_folder_nothing_is_cached(run: CountedRun, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    run.pixels(None)
    run.pixels("auto")  # tests/everywhere.py sets no standard folder
    assert set(tmp_path.rglob("*")) == before


def white(path: Path) -> None:
    Image.new("RGB", (8, 8), (255, 255, 255)).save(path, "JPEG")


def rewrite(photos: Path) -> None:
    white(photos / "b" / "30.jpg")


def rewrite_preserving_mtime(photos: Path) -> None:
    """Write another image of the same number of bytes and restore the modification time."""
    path = photos / "b" / "30.jpg"
    stat, size = path.stat(), path.stat().st_size
    white(path)
    with path.open("ab") as file:
        file.write(bytes(size - path.stat().st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (size, stat.st_mtime_ns)


def add(photos: Path) -> None:
    white(photos / "a" / "new.jpg")


def remove(photos: Path) -> None:
    (photos / "a" / "07.jpg").unlink()


def rename(photos: Path) -> None:
    """Change the order of the images."""
    (photos / "a" / "07.jpg").rename(photos / "a" / "zz.jpg")


def exchange(photos: Path) -> None:
    """Swap the names of two files."""
    (photos / "a" / "07.jpg").rename(photos / "x")
    (photos / "b" / "30.jpg").rename(photos / "a" / "07.jpg")
    (photos / "x").rename(photos / "b" / "30.jpg")


@pytest.mark.parametrize(
    "change", [rewrite, rewrite_preserving_mtime, add, remove, rename, exchange]
)
def test_a_changed_folder_invalidates_and_replaces_the_cache(
    run: CountedRun, photos: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    before = run.pixels(tmp_path / "kept")
    file = only_file(tmp_path / "kept")
    change(photos)
    after = run.pixels(tmp_path / "kept")
    assert run.decoded == len(after)
    assert not torch.equal(after, before)
    assert torch.equal(after, run.pixels(None))
    assert only_file(tmp_path / "kept") == file
    run.pixels(tmp_path / "kept")
    assert run.decoded == 0


def test_each_setting_has_its_own_file(run: CountedRun, tmp_path: Path) -> None:
    for settings in ({}, {"size": 4}, {"channels": 1}):
        run.pixels(tmp_path / "kept", **settings)
        assert run.decoded == 40
    assert len(list((tmp_path / "kept" / "trainer").iterdir())) == 3
    assert run.pixels(tmp_path / "kept", size=4).shape == (40, 3, 4, 4)
    assert run.decoded == 0


def test_another_version_of_pillow_invalidates_the_cache(
    run: CountedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.pixels(tmp_path / "kept")
    monkeypatch.setattr("PIL.__version__", "99")
    run.pixels(tmp_path / "kept")
    assert run.decoded == 40


def flip(body: bytearray, at: int) -> bytes:
    body[at] ^= 1
    return bytes(body)


DAMAGE: dict[str, Callable[[bytearray], bytes]] = {
    "empty": lambda body: b"",
    "cut short": lambda body: bytes(body[:-1]),
    "cut in half": lambda body: bytes(body[: len(body) // 2]),
    "too long": lambda body: bytes(body) + b"x",
    "another magic number": lambda body: flip(body, 0),
    "another key": lambda body: flip(body, 20),
    "a bit of the first image": lambda body: flip(body, 48),
    "a bit of the last image": lambda body: flip(body, -33),
    "a bit of the sum": lambda body: flip(body, -1),
    "zeros, as a crash leaves them": lambda body: bytes(len(body)),
    "a pickle": lambda body: b"cos\nsystem\n(S'touch owned'\ntR.",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_rebuilt(run: CountedRun, tmp_path: Path, damage: str) -> None:
    wanted = run.pixels(tmp_path / "kept")
    path = only_file(tmp_path / "kept")
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[damage](bytearray(whole)))
    assert torch.equal(run.pixels(tmp_path / "kept"), wanted)
    assert run.decoded == 40
    assert path.read_bytes() == whole
    assert run.warnings == []


def test_a_folder_that_cannot_be_created_gives_one_warning(run: CountedRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data = ImageFolder(
        root=str(run.root), cache=str(tmp_path / "file" / "kept"), warn=run.warnings.append
    ).load()
    for images in (data.train.images, ImageFiles([run.root / "a" / "01.jpg"], (8, 8), 3)):
        images.cache = data.train.images.cache  # pyright: ignore  (one run has one cache)
        assert len(pixels_of(images, 0)) == len(images)
    (warning,) = run.warnings
    for part in (f"{tmp_path}/file/kept", "Not a directory", "dataset.cache=null"):
        assert part in warning


def test_a_full_disk_gives_one_warning_and_leaves_no_file(
    run: CountedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partial files are removed, and the pixels are returned all the same."""

    def full(_: Tensor) -> Iterator[memoryview]:
        yield memoryview(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "pieces", full)
    assert torch.equal(run.pixels(tmp_path / "kept"), run.pixels(None))
    (warning,) = run.warnings
    assert "No space left on device" in warning
    assert list((tmp_path / "kept" / "trainer").iterdir()) == []


def test_a_read_only_cache_is_still_read(
    run: CountedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.pixels(tmp_path / "kept")

    def refuse(*_: object, **settings: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr("os.utime", refuse)
    monkeypatch.setattr(cache, "write_whole", refuse)
    run.pixels(tmp_path / "kept")
    assert (run.decoded, run.warnings) == (0, [])


def test_concurrent_writers_leave_one_complete_file(tmp_path: Path) -> None:
    """Each writes its own values; a reader sees those of one writer, or nothing."""
    shape = (64, 3, 32, 32)
    caches = [Cache(tmp_path, pytest.fail) for _ in range(4)]
    seen: list[list[int]] = []

    def work(number: int) -> None:
        for _ in range(5):
            caches[number].write_file("x", KEY, torch.full(shape, number, dtype=torch.uint8))
            got = caches[number].read_file("x", KEY, shape)
            assert got is not None
            seen.append(got.unique().tolist())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 20
    assert all(len(values) == 1 for values in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["x.cache"]


def test_two_processes_cache_the_same_folder(photos: Path, tmp_path: Path) -> None:
    """Both read all pixels, and one cache file is left."""
    folder = tmp_path / "kept"
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            images = ImageFolder(root=str(photos), cache=str(folder), warn=pytest.fail).load()
            os._exit(0 if pixels_of(images.train.images, 0).shape == (40, 3, 8, 8) else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert only_file(folder).suffix == ".cache"


def test_channel_statistics_are_cached(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are cached bit for bit, per split, and recomputed after a change."""

    def opened(seed: int = 0, cache: Path | None = tmp_path / "kept") -> tuple[object, object]:
        data = ImageFolder(root=str(photos), cache=None if cache is None else str(cache)).open(seed)
        return data.mean, data.std

    bare, other = opened(cache=None), opened(1, cache=None)
    assert bare != other
    assert (opened(), opened(1)) == (bare, other)
    with monkeypatch.context() as context:
        context.setattr(ImageFiles, "read", lambda *_: pytest.fail("decoded again"))
        assert (opened(), opened(1)) == (bare, other)
    for i in range(20):
        white(photos / "a" / f"{i:02}.jpg")
    assert opened() == opened(cache=None) != bare


def test_the_list_of_unreadable_files_is_cached(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(60):
        white(photos / "a" / f"more{i}.jpg")
    (photos / "b" / "30.jpg").write_bytes(b"damaged")
    checked = []
    decodes = ImageFiles.decodes
    monkeypatch.setattr(ImageFiles, "decodes", lambda s, i: checked.append(i) or decodes(s, i))
    for expected in (100, 0):
        checked.clear()
        data = ImageFolder(root=str(photos), corrupt="skip", cache=str(tmp_path / "kept"))
        images = data.load().train.images
        assert images.skipped == [str(photos / "b" / "30.jpg")]  # pyright: ignore
        assert len(checked) == expected
        assert len(pixels_of(images, 0)) == 99
    assert len(list((tmp_path / "kept" / "trainer").iterdir())) == 2


def test_under_raise_a_damaged_image_stops_every_run(run: CountedRun, tmp_path: Path) -> None:
    (run.root / "b" / "30.jpg").write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(DataError, match=r"30\.jpg"):
            run.pixels(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


OLD = "pixels-" + "0" * 24


def test_only_files_unused_for_a_month_are_removed(tmp_path: Path) -> None:
    """Whatever else is called .cache or .unfinished is somebody's, a thesis perhaps."""
    ages = {
        f"{OLD}.cache": 31,
        "sums-" + "1" * 24 + ".cache": 29,
        f"{OLD}-{'0' * 16}.unfinished": 2,
        f"{OLD}-{'1' * 16}.unfinished": 0,
        f"{OLD}-{'2' * 16}.unfinished": 1 / 48,  # half an hour
        "thesis.cache": 400,
        "db.unfinished": 400,
        f"my-{OLD}.cache": 400,
    }
    for name, days in ages.items():
        (tmp_path / name).write_text("")
        at = (tmp_path / name).stat().st_mtime - 86400 * days
        os.utime(tmp_path / name, (at, at))
    Cache(tmp_path, pytest.fail).write_file("new", KEY, torch.zeros(1, dtype=torch.uint8))
    removed = {f"{OLD}.cache", *(f"{OLD}-{n * 16}.unfinished" for n in "02")}
    assert {path.name for path in tmp_path.iterdir()} == ages.keys() - removed | {"new.cache"}


@pytest.mark.parametrize("locks", [True, False])
def test_an_unfinished_file_stays_as_long_as_somebody_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """Or, where a file system has no locks, for a day."""

    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if not locks:
        monkeypatch.setattr("fcntl.flock", without)
    folder = os.open(tmp_path, os.O_RDONLY)
    with cache.appearing(folder, OLD) as file:
        at = os.fstat(file.fileno()).st_mtime - 3600
        os.utime(file.fileno(), (at, at))
        cache.remove_old_files(folder)
        assert [path.suffix for path in tmp_path.iterdir()] == [".unfinished"]
    os.close(folder)
    assert [path.name for path in tmp_path.iterdir()] == [f"{OLD}.cache"]


def test_it_has_a_folder_of_its_own_in_the_one_named(run: CountedRun, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "thesis.cache").write_text("mine")
    os.utime(tmp_path / "kept" / "thesis.cache", (0, 0))
    run.pixels(tmp_path / "kept")
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"thesis.cache", "trainer"}
    assert stat.S_IMODE((tmp_path / "kept" / "trainer").stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(tmp_path / "kept").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_a_folder_that_others_may_write_to_is_neither_read_nor_written(
    run: CountedRun, tmp_path: Path, mode: int
) -> None:
    run.pixels(tmp_path / "kept")
    before = only_file(tmp_path / "kept").stat().st_mtime_ns
    (tmp_path / "kept" / "trainer").chmod(mode)
    run.pixels(tmp_path / "kept")
    assert run.decoded == 40
    assert only_file(tmp_path / "kept").stat().st_mtime_ns == before
    (warning,) = run.warnings
    assert f"{tmp_path}/kept/trainer is not used: others may write to it (mode {mode:o})" in warning
    assert "dataset.cache=null" in warning


def test_a_folder_of_another_user_is_neither_read_nor_written(
    run: CountedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.pixels(tmp_path / "kept")
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    run.pixels(tmp_path / "kept")
    assert run.decoded == 40
    (warning,) = run.warnings
    assert "is not used: it belongs to user" in warning


def test_a_file_of_another_user_is_not_used(
    run: CountedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was put there before the folder's mode was mended."""
    run.pixels(tmp_path / "kept")
    with cache.open_private(tmp_path / "kept" / "trainer") as folder:
        name = only_file(tmp_path / "kept").name
        with cache.open_regular(name, folder=folder) as file:
            key = file.read(48)[16:]
        monkeypatch.setattr("os.geteuid", lambda: 12345)
        with cache.open_regular(name, folder=folder) as file:
            assert cache.read_whole(file, key, (40, 3, 8, 8)) is None
        monkeypatch.undo()
        with cache.open_regular(name, folder=folder) as file:
            assert cache.read_whole(file, key, (40, 3, 8, 8)) is not None


def make_link(path: Path) -> None:
    target = path.parent.parent / "elsewhere"
    path.rename(target)
    path.symlink_to(target)


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("make", [make_fifo, make_link])
def test_what_is_no_file_of_the_cache_is_replaced(
    run: CountedRun, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """A FIFO would be waited for."""
    run.pixels(tmp_path / "kept")
    path = only_file(tmp_path / "kept")
    make(path)
    run.pixels(tmp_path / "kept")
    assert run.decoded == 40
    assert path.is_file()
    assert not path.is_symlink()
    run.pixels(tmp_path / "kept")
    assert (run.decoded, run.warnings) == (0, [])


def test_reading_a_file_marks_it_as_used(tmp_path: Path) -> None:
    small_cache = Cache(tmp_path, pytest.fail)
    small_cache.write_file("x", KEY, torch.zeros(3, dtype=torch.uint8))
    os.utime(tmp_path / "x.cache", (0, 0))
    assert small_cache.read_file("x", KEY, (3,)) is not None
    assert (tmp_path / "x.cache").stat().st_mtime > 0


def test_the_standard_folder_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for value, expected in (("/x", "/x/trainer"), ("", "/home/me/.cache/trainer")):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert standard_folder() == Path(expected)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, by the XDG specification
    assert standard_folder() == Path("/home/me/.cache/trainer")


def test_cached_pixels_are_ordinary_memory(run: CountedRun, tmp_path: Path) -> None:
    """A later change of the cache file does not change them."""
    run.pixels(tmp_path / "kept")
    pixels = run.pixels(tmp_path / "kept")
    path = only_file(tmp_path / "kept")
    copy = pixels.clone()
    path.write_bytes(b"")
    assert torch.equal(MemoryFeed(pixels, torch.zeros(40), torch.device("cpu")).pixels, copy)
