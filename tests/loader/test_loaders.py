"""Every loader returns the batches of a slow loop over the plan, bit for bit."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.dataset import Split
from trainer.dataset.base import Pixels
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared import parallel
from trainer.loader import Loader, memory
from trainer.loader.auto import Auto
from trainer.loader.memory import Memory
from trainer.loader.stream import Stream, StreamFeed

CPU = torch.device("cpu")
LOADERS: dict[str, Callable[[], Loader]] = {
    "memory": Memory,
    "stream, no worker": lambda: Stream(workers=0),
    "stream, 1 worker": lambda: Stream(workers=1),
    "stream, 2 workers": lambda: Stream(workers=2, prefetch=1),
}

# On a single core torch warns about two workers.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def plain_plan() -> Plan:
    """11 rows with ids from 3 to 19, two of them repeated, in batches of 4, 4 and 3."""
    ids = torch.tensor([7, 3, 19, 7, 4, 12, 5, 18, 11, 6, 3])
    return Plan.of(ids, 4).weighted(torch.arange(11.0))


def blended_plan() -> Plan:
    """8 rows that blend two examples each, in batches of 3, 3 and 2; two added rows."""
    first = torch.tensor([7, 3, 19, 7, 4, 12, 5, 9])
    second = torch.tensor([8, 3, 4, 10, 16, 0, 17, 9])
    share = torch.tensor([1.0, 0.5, 0.1, 0.7, 1 / 3, 0.9, 0.25, 0.6])
    plan = Plan.of(torch.stack([first, second], 1), 3, torch.stack([share, 1 - share], 1))
    return plan.with_added(torch.tensor([2, 14]), 0.5)


PLANS = {"K=1": plain_plan, "K=2": blended_plan}


def slow(split: Split, plan: Plan, start: int) -> Iterator[Batch]:
    """The batches of a plan from step `start` on, read row by row."""
    bounds = plan.bounds.tolist()
    for first, last in zip(bounds[start:-1], bounds[start + 1 :], strict=True):
        images = []
        for row in range(first, last):
            pair = plan.ids[row].tolist()
            parts = [split.images.read([i])[0] for i in pair]
            if len(parts) == 2:
                parts = [sum(p.float() * s for p, s in zip(parts, plan.shares[row], strict=True))]
            images.append(parts[0])
        ids = plan.ids[first:last]
        columns = (plan.shares, plan.ids, plan.weight, plan.count)
        fields = (column[first:last] for column in columns)
        yield Batch(torch.stack(images), split.labels[ids], *fields)  # pyright: ignore


def check_same(batches: Iterator[Batch], expected: Iterator[Batch]) -> int:
    """Assert that all batches agree in every field's bits and dtype; return their number."""
    number = 0
    for batch, reference in zip(batches, expected, strict=True):
        for one, other in zip(astuple(batch), astuple(reference), strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)
        number += 1
    return number


@pytest.fixture
def split(noise: Callable[..., Split]) -> Split:
    return replace(noise(20, (3, 6, 5)), ids=torch.arange(3, 20))


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("loader", LOADERS)
def test_batches_equal_those_of_a_slow_loop(
    split: Split, loader: str, plan: str, start: int
) -> None:
    feed = LOADERS[loader]().open(split, CPU)
    rows = PLANS[plan]()
    steps = check_same(feed.batches(rows, start), slow(split, rows, start))
    assert steps == 3 - start


def test_a_blended_row_by_hand() -> None:
    """¼ of 200 and ¾ of 100 is 125."""
    pixels = torch.tensor([200, 100], dtype=torch.uint8)[:, None, None, None]
    split = Split(Pixels(pixels), torch.tensor([4, 5]), torch.arange(2))
    plan = Plan.of(torch.tensor([[0, 1]]), 1, torch.tensor([[0.25, 0.75]]))
    (batch,) = Memory().open(split, CPU).batches(plan)
    assert batch.images.tolist() == [[[[125]]]]
    assert batch.labels.tolist() == [[4, 5]]
    assert batch.shares.tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize("loader", ["memory", "stream, no worker"])
def test_labels_of_any_shape(split: Split, loader: str) -> None:
    """Masks [M, H, W] become [B, K, H, W]."""
    masks = torch.arange(20 * 4).reshape(20, 2, 2)
    feed = LOADERS[loader]().open(replace(split, labels=masks), CPU)
    batch = next(feed.batches(plain_plan()))
    assert batch.labels.shape == (4, 1, 2, 2)
    assert batch.labels[1, 0].tolist() == [[12, 13], [14, 15]]


@pytest.mark.parametrize("loader", ["memory", "stream, no worker"])
def test_masks_become_int64_and_float_targets_keep_their_dtype(split: Split, loader: str) -> None:
    """A uint8 label would overflow in a subtraction, and losses reject it."""
    masks = torch.arange(20 * 4, dtype=torch.uint8).reshape(20, 2, 2)
    masks[3] = 255
    feed = LOADERS[loader]().open(replace(split, labels=masks), CPU)
    batch = next(feed.batches(plain_plan()))
    assert batch.labels.dtype == torch.int64
    assert batch.labels[:2, 0].tolist() == [[[28, 29], [30, 31]], [[255, 255], [255, 255]]]
    for labels in (torch.rand(20, 4), torch.rand(20, 1, 2, 2)):
        feed = LOADERS[loader]().open(replace(split, labels=labels), CPU)
        batch = next(feed.batches(plain_plan()))
        assert batch.labels.dtype == torch.float32
        assert torch.equal(batch.labels[:, 0], labels[[7, 3, 19, 7]])
    numbers = torch.rand(20)  # one for each example: outputs are [B, 1]
    batch = next(LOADERS[loader]().open(replace(split, labels=numbers), CPU).batches(plain_plan()))
    assert torch.equal(batch.labels, numbers[[7, 3, 19, 7], None, None])


@pytest.mark.parametrize("loader", LOADERS)
def test_one_plan_after_another(split: Split, loader: str) -> None:
    """Workers persist over epochs and after a plan that is abandoned halfway."""
    feed = LOADERS[loader]().open(split, CPU)
    for plan in (plain_plan(), blended_plan(), plain_plan()):
        assert check_same(feed.batches(plan), slow(split, plan, 0)) == 3
        left = feed.batches(plan)
        assert torch.equal(next(left).index, plan.ids[: plan.bounds[1]])
        left.close()  # pyright: ignore
    plan = blended_plan()
    assert check_same(feed.batches(plan, 1), slow(split, plan, 1)) == 2


@pytest.mark.parametrize("loader", LOADERS)
def test_an_empty_plan_has_no_batches(split: Split, loader: str) -> None:
    feed = LOADERS[loader]().open(split, CPU)
    assert list(feed.batches(Plan.of(torch.empty(0, dtype=torch.int64), 4))) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 50 uniform grey images."""
    for i in range(100):
        path = tmp_path / "ab"[i // 50] / f"{i:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 3), i).save(path)
    return tmp_path


@pytest.mark.parametrize("loader", LOADERS)
def test_files_are_decoded(folder: Path, loader: str) -> None:
    split = ImageFolder(root=str(folder), channels=1, size=[3, 4]).load().train
    plan = Plan.of(torch.tensor([70, 3, 99, 12, 3]), 2)
    feed = LOADERS[loader]().open(split, CPU)
    assert check_same(feed.batches(plan), slow(split, plan, 0)) == 2
    assert next(feed.batches(plan)).images.flatten(1).unique(dim=1).flatten().tolist() == [70, 3]


@pytest.mark.parametrize("loader", ["memory", "stream, 1 worker"])
def test_skipped_files_are_not_read(folder: Path, loader: str) -> None:
    (folder / "a" / "007.png").write_bytes(b"damaged")
    data = ImageFolder(root=str(folder), corrupt="skip", val_fraction=0.0).open(0)
    feed = LOADERS[loader]().open(data.train, CPU)
    seen = torch.cat([batch.images for batch in feed.batches(Plan.of(data.train.ids, 16))])
    assert len(seen) == len(data.train) == 79
    assert 7 not in seen.unique()


@pytest.mark.parametrize("loader", LOADERS)
def test_a_damaged_file_is_reported_in_one_line(folder: Path, loader: str) -> None:
    """Also in a worker: the message has no traceback."""
    split = ImageFolder(root=str(folder)).load().train
    (folder / "a" / "007.png").write_bytes(b"damaged")
    # No local variable: a reference cycle would keep the workers alive, 5 s each to end.
    with pytest.raises(DataError, match=r"\A[^\n]*007\.png[^\n]*\Z"):
        list(LOADERS[loader]().open(split, CPU).batches(Plan.of(torch.arange(20), 4)))


class Counting:
    """Images that count how often each one is read."""

    shape: tuple[int, int, int] = (1, 2, 2)

    def __init__(self) -> None:
        self.reads = [0] * 10

    def __len__(self) -> int:
        return 10

    def read(self, ids: Sequence[int]) -> Tensor:
        for i in ids:
            self.reads[i] += 1
        return torch.zeros(len(ids), 1, 2, 2, dtype=torch.uint8)


def test_memory_reads_images_once_for_all_splits() -> None:
    images, loader = Counting(), Memory()
    labels = torch.zeros(10, dtype=torch.int64)
    for ids in (torch.arange(7), torch.arange(7, 10)):
        feed = loader.open(Split(images, labels, ids), CPU)
        for _ in range(2):
            assert sum(len(batch) for batch in feed.batches(Plan.of(ids, 4))) == len(ids)
    assert images.reads == [1] * 10


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Memory decode at most 16 images at once, in up to two processes."""
    monkeypatch.setattr(memory, "AT_ONCE", (16, 2**20))
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_reads_the_same_pixels_with_any_number_of_processes(
    folder: Path, small_chunks: None, workers: int
) -> None:
    images = ImageFolder(root=str(folder), channels=1, size=[3, 4]).load().train.images
    pixels = memory.pixels_of(images, workers)
    assert pixels.shape == (100, 1, 3, 4)
    assert pixels.flatten(1).unique(dim=1).flatten().tolist() == list(range(100))


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_names_a_damaged_file_in_one_line(
    folder: Path, small_chunks: None, workers: int
) -> None:
    (folder / "b" / "077.png").write_bytes(b"damaged")
    images = ImageFolder(root=str(folder)).load().train.images
    with pytest.raises(DataError, match=r"\A[^\n]*077\.png[^\n]*\Z"):
        memory.pixels_of(images, workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_names_the_examples_of_an_unexpected_error(small_chunks: None, workers: int) -> None:
    class Broken(Counting):
        def __len__(self) -> int:
            return 40

    message = r"\Aexamples 0, 1, 2, 3, 4 and 11 more cannot be read: IndexError: [^\n]*\Z"
    images = Broken()
    images.reads = []
    with pytest.raises(DataError, match=message):
        memory.pixels_of(images, workers)


@pytest.mark.parametrize(("size", "chunk"), [(2**20, 16), (50, 4), (11, 1)])
def test_memory_limits_images_and_bytes_per_chunk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: int, chunk: int
) -> None:
    monkeypatch.setattr(memory, "AT_ONCE", (16, size))
    images = (
        ImageFolder(root=str(folder), channels=1, size=[3, 4]).load().train.images
    )  # of 12 bytes
    sizes, read = [], images.read
    monkeypatch.setattr(images, "read", lambda ids: sizes.append(len(ids)) or read(ids))
    memory.pixels_of(images, 0)
    assert sizes[0] == chunk
    assert sum(sizes) == 100


def test_stream_converts_ids_one_step_at_a_time() -> None:
    """Lists for a whole epoch of ten million examples would take 0.4 GB."""
    ids = torch.arange(1000)
    feed = Stream(workers=0).open(Split(Counting(), ids, ids), CPU)
    assert isinstance(feed, StreamFeed)
    feed.sampler.plan, feed.sampler.start = Plan.of(ids, 4), 10
    steps = iter(feed.sampler)
    assert isinstance(steps, Generator)
    assert (next(steps), len(feed.sampler)) == (([[40, 41, 42, 43]], None), 240)


def test_stream_reads_only_the_rows_of_the_plan() -> None:
    images = Counting()
    split = Split(images, torch.zeros(10, dtype=torch.int64), torch.arange(10))
    list(Stream(workers=0).open(split, CPU).batches(Plan.of(torch.tensor([1, 1, 4]), 2)))
    assert images.reads == [0, 2, 0, 0, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(("height", "feed_class"), [(10, "MemoryFeed"), (11, "StreamFeed")])
def test_auto_picks_by_size(noise: Callable[..., Split], height: int, feed_class: str) -> None:
    """10 images of 1 × 10 × 10 bytes and 8 bytes of label just fit; a height of 11 does not."""
    split = noise(10, (1, height, 10))
    feed = Auto(workers=0, memory_gb=1.08e-6).open(split, CPU)
    assert type(feed).__name__ == feed_class
    plan = Plan.of(torch.arange(10), 4)
    assert check_same(feed.batches(plan), slow(split, plan, 0)) == 3


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda: Stream(workers=-1), "workers"),
        (lambda: Stream(prefetch=0), "prefetch"),
        (lambda: Stream(timeout=-1.0), "timeout"),
        (lambda: Auto(memory_gb=-1.0), "memory_gb"),
        (lambda: Auto(workers=-1), "workers"),
        (lambda: Memory(workers=-1), "workers"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], Loader], setting: str) -> None:
    with pytest.raises(ValueError, match=rf"loader\.{setting} must be in"):
        make()


@pytest.mark.parametrize("name", LOADERS)
def test_several_labels_stay_bool(noise: Callable[..., Split], name: str) -> None:
    """Their type tells them from class ids; integer labels become int64."""
    labels = torch.arange(60).reshape(20, 3) % 2 == 0
    split = replace(noise(20), labels=labels)
    for batch in LOADERS[name]().open(split, CPU).batches(plain_plan()):
        assert batch.labels.dtype == torch.bool
        assert torch.equal(batch.labels, labels[batch.index])
