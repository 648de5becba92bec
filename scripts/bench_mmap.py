"""A set of images four times as large as the memory that the process may use.

    sudo python scripts/bench_mmap.py                 # ten minutes or more, and 9 GB of disk

A control group limits the memory of the process and its workers, page cache included, to `--limit`;
so at most a quarter of the decoded set is in memory at a time, and the rest comes from the disk.
The set is JPEG files of `--side` x `--side` pixels: links to 500 made-up photographs.

make     decoding all of it into the file of the cache, with two loader processes
epoch    all images once, and nothing else, each time from a cold file:
  read        the file from front to end, 8 MB at a time: the disk's speed
  map         its images in random order, copied by two threads out of a memory map, of which the
              kernel is told before
  pread       the same, read as the loader does, without checksums
  shuffled    batches of loader=memory loader.cache=mmap in random order
  in blocks   the same by sampler=block_shuffle
  in order    the same in the order of the data set, as for validation
train    200 steps of a run by the command line, within the same limit

The rivals of `epoch` take turns. Figures are medians with the lowest and the highest.
"""

import argparse
import json
import mmap
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from photos import photo
from race import machine, parser, spread, table, turns

DISTINCT = 500  # photographs
BATCH = 64
BLOCK = 2**23  # bytes read at once
FIRST = 48  # where the images begin in the file
GROUPS = Path("/sys/fs/cgroup")


@contextmanager
def control_group(limit: int) -> Iterator[Path]:
    """Make a control group whose processes share `limit` bytes of memory; remove it at the end."""
    first = (GROUPS / "memory").is_dir()  # version 1
    group = (GROUPS / "memory" if first else GROUPS) / f"trainer-bench-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit))
    except OSError as error:
        sys.exit(
            f"{group} cannot be made: {error.strerror}; it takes root and the memory controller"
        )
    try:
        yield group
    finally:
        group.rmdir()


def linked(root: Path, number: int, side: int) -> None:
    """Write `number` JPEG files in two classes: links to the photographs."""
    for i in range(number):
        path = root / "ab"[i % 2] / f"{i:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < DISTINCT:
            photo(side, side, i).save(path, quality=90)
        else:
            path.hardlink_to(root / "ab"[i % 2] / f"{i % DISTINCT:07}.jpg")


def own_memory() -> float:
    """Return the megabytes of memory that the process has for itself: no pages of files."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e3


class Readers:
    """What the epochs of a file of images are read by."""

    def __init__(self, path: Path, feed: Any, images: int, size: int) -> None:
        self.file = os.open(path, os.O_RDONLY)
        self.feed = feed
        self.images = images
        self.size = size  # bytes of an image
        self.map = np.memmap(path, np.uint8, "r", FIRST, (images, size))
        self.map._mmap.madvise(mmap.MADV_RANDOM)  # pyright: ignore
        self.rng = np.random.default_rng(0)
        self.own = 0.0

    def cold(self, read: Callable[[], object]) -> tuple[float, float]:
        """Return the MB/s of an epoch, the file not being in memory, and per processor second."""
        os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_DONTNEED)
        began, used = time.perf_counter(), time.process_time()
        read()
        took = time.perf_counter() - began, time.process_time() - used
        return self.images * self.size / 1e6 / took[0], self.images * self.size / 1e6 / took[1]

    def front_to_end(self) -> None:
        """Read the file in large blocks."""
        os.lseek(self.file, 0, os.SEEK_SET)
        while os.read(self.file, BLOCK):
            pass

    def by_threads(self, read: Callable[[np.ndarray], None]) -> None:
        """Call `read` for each batch of a new order."""
        order = self.rng.permutation(self.images)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(read, [order[i : i + BATCH] for i in range(0, self.images, BATCH)]))

    def pread(self, ids: np.ndarray) -> None:
        """Read the images of a batch as the loader does, without its checksums."""
        self.feed.kept.read_runs(np.empty((len(ids), self.size), np.uint8), ids)

    def mapped(self, ids: np.ndarray) -> None:
        """Copy the images of a batch out of the memory map."""
        for i in np.sort(ids):
            start = FIRST + int(i) * self.size
            os.posix_fadvise(self.file, start, self.size, os.POSIX_FADV_WILLNEED)
        _ = self.map[ids]

    def blocks(self, split: Any) -> np.ndarray:
        """Return an order by sampler=block_shuffle."""
        from trainer.sampler.block_shuffle import BlockShuffle

        return BlockShuffle().rows(split, self.rng)[0].numpy()

    def epoch(self, order: np.ndarray) -> None:
        """Take all batches from the loader."""
        import torch

        from trainer.core.plan import Plan

        for _ in self.feed.batches(Plan.of(torch.from_numpy(order), BATCH)):
            self.own = max(self.own, own_memory())


def in_group(group: Path, root: Path, cache: Path, side: int, repeats: int) -> dict[str, Any]:
    """Decode, and read epochs, in a process within the group; return the figures."""
    (group / "cgroup.procs").write_text(str(os.getpid()))
    import torch

    from trainer.dataset.image_folder import ImageFolder
    from trainer.loader.memory import Memory
    from trainer.run.memory import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(1)
    split = ImageFolder(root=str(root), cache=str(cache), size=side).load().train
    began = time.perf_counter()
    feed = Memory(workers=2, cache="mmap").open(split, torch.device("cpu"))
    made = time.perf_counter() - began
    (path,) = (cache / "trainer").glob("disk-*")
    images, size = len(split), 3 * side * side
    readers = Readers(path, feed, images, size)
    rivals = {
        "read": readers.front_to_end,
        "pread": lambda: readers.by_threads(readers.pread),
        "map": lambda: readers.by_threads(readers.mapped),
        "shuffled": lambda: readers.epoch(readers.rng.permutation(images)),
        "in blocks": lambda: readers.epoch(readers.blocks(split)),
        "in order": lambda: readers.epoch(np.arange(images)),
    }
    timed = {name: partial(readers.cold, read) for name, read in rivals.items()}
    speeds = turns(timed, repeats, warm_up=0)
    about = {"images": images, "bytes": images * size, "made": made, "own": readers.own}
    return about | {"speeds": speeds}


def trained(group: Path, root: Path, cache: Path, side: int, folder: Path) -> float:
    """Return the images per second of 200 steps of a run in the group, started from the shell."""
    settings = (
        *("dataset=image_folder", f"dataset.root={root}", f"dataset.cache={cache}"),
        *(f"dataset.size={side}", "loader=memory", "loader.cache=mmap", "model=mlp"),
        *("model.hidden=[16]", f"batch_size={BATCH}", f"eval_batch_size={BATCH}", "steps=200"),
        *("device=cpu", "threads=1"),
        *("dataset.val_fraction=0", "quiet=true", f"hydra.run.dir={folder}"),
    )
    enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    command = "sh", "-c", enter, str(group), sys.executable, "-m", "trainer", *settings
    subprocess.run(command, check=True)
    return json.loads((folder / "result.json").read_text())["images_per_second"]


def report(found: dict, limit: int) -> None:
    """Print the tables."""
    size, speeds = found["bytes"], found["speeds"]
    print(f"limit {limit / 1e9:.2f} GB, decoded {size / 1e9:.2f} GB: {size / limit:.1f} times")
    speed = found["images"] / found["made"]
    print(f"make: {speed:,.0f} images/s, {size / 1e6 / found['made']:,.0f} MB/s")
    print(f"memory of its own at most {found['own']:,.0f} MB")
    rows = [
        (name, spread([speed for speed, _ in v], ",.0f"), spread([cpu for _, cpu in v], ",.0f"))
        for name, v in speeds.items()
    ]
    table(["epoch", "MB/s", "MB a second of processor time"], rows)
    pairs = ("pread", "map"), ("shuffled", "pread"), ("shuffled", "read"), ("in order", "read")
    table(
        ["epoch", "ratio"],
        [
            (
                f"{a} / {b}",
                spread([x[0] / y[0] for x, y in zip(speeds[a], speeds[b], strict=True)], ".2f"),
            )
            for a, b in pairs
        ],
    )


def main() -> None:
    """Make the set, then decode, read and train in processes within the limit."""
    arguments = parser(__doc__, repeats=3)
    arguments.add_argument("--limit", type=int, default=2 * 10**9, help="bytes")
    arguments.add_argument("--side", type=int, default=224)
    arguments.add_argument("--folder", default=None, help="on the disk to measure")
    arguments.add_argument("--inside", nargs=3, default=None, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.inside:
        group, root, cache = map(Path, options.inside)
        print(json.dumps(in_group(group, root, cache, options.side, options.repeats)))
        return
    print(machine("torch", "pillow"))
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        control_group(options.limit) as g,
    ):
        root, cache = Path(folder) / "images", Path(folder) / "cache"
        linked(root, -(-4 * options.limit // (3 * options.side**2)), options.side)
        own = [str(each) for each in (g, root, cache)]
        command = [sys.executable, __file__, "--side", str(options.side)]
        command += ["--repeats", str(options.repeats), "--inside", *own]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        report(json.loads(out.splitlines()[-1]), options.limit)
        speed = trained(g, root, cache, options.side, Path(folder) / "run")
        print(f"train: {speed:,.0f} images/s with a small mlp, 200 steps from the command line")


if __name__ == "__main__":
    main()
