"""What a folder of JPEG images costs: decoding beside training, and decoding once.

    python scripts/bench_folder.py                    # about six minutes, of CIFAR-10's JPEG files

A part of the files is unpacked. Each rival has a process, in which torch has one thread, and as
many loader processes as `--workers` says; they take turns, epoch by epoch. All have the same
images, network (a residual one of 8 layers), batch, SGD with momentum and fresh order each epoch;
no augmentation, no validation.

decode     the images of an epoch as uint8 batches, and nothing else
  bare       torchvision's ImageFolder and PILToTensor in a DataLoader
  stream     the runner's loader=stream
open       the whole folder, from the command to its pixels in memory, and the channel statistics
  serial     decoded by one process, as loader.workers=0 does
  first      decoded by the loader's processes, and kept
  second     as a run before has kept it
train      epochs
  bare memory   a loop by hand over uint8 tensors in memory, with the fused optimizer: the limit
  bare decode   the same loop over the DataLoader of `decode`
  timm          timm's loader, optimizer, scheduler and meters, in the loop of its training script
  memory        the runner, loader=memory
  stream        the runner, loader=stream

A figure is the median over the repeats of images per second, with the lowest and the highest.
Ratios are formed within each repeat. The runner's epoch is all of it, with metrics, difficulty
store and log; the checkpoint that follows is not in it.
"""

import argparse
import multiprocessing
import os
import platform
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from figures import spread
from rivals import CLASSES, RACES, Setting

RATIOS = {
    "decode": (("stream", "bare", 0.95),),
    "open": (("first", "serial", None), ("second", "serial", None)),
    "train": (
        ("memory", "bare memory", None),
        ("memory", "timm", 1.2),
        ("stream", "bare decode", None),
        ("stream", "timm", None),
    ),
}


def serve(race: str, name: str, setting: Setting, orders: Connection) -> None:
    """A rival's process: an epoch whenever it is told to."""
    torch.set_num_threads(1)
    rival = RACES[race][name](setting)
    while orders.recv():
        orders.send(rival.speed())


def run(race: str, setting: Setting, repeats: int) -> dict[str, list[float]]:
    """Images per second of each rival in each repeat, after an epoch to warm up."""
    context = multiprocessing.get_context("spawn")
    ends: dict[str, Connection] = {}
    started = []
    for number, name in enumerate(RACES[race]):
        ends[name], other = context.Pipe()
        own = Path(setting.folder) / f"{race}-{number}"
        own.mkdir()
        arguments = race, name, setting._replace(folder=str(own)), other
        started.append(context.Process(target=serve, args=arguments))
        started[-1].start()
        other.close()  # so that a rival that dies ends the race
    speeds: dict[str, list[float]] = {name: [] for name in ends}
    for _ in range(repeats + 1):
        for name, end in ends.items():
            end.send(True)
            speeds[name].append(end.recv())
    for end, process in zip(ends.values(), started, strict=True):
        end.send(False)
        process.join()
    return {name: values[1:] for name, values in speeds.items()}


def show(race: str, speeds: dict[str, list[float]]) -> None:
    """Two tables: images per second, and ratios."""
    print(f"\n| {race} | images/s |\n| --- | --- |")
    for name, values in speeds.items():
        print(f"| {name} | {spread(values, ',.0f')} |")
    print(f"\n| {race} | ratio | goal |\n| --- | --- | --- |")
    for own, other, goal in RATIOS[race]:
        ratios = [a / b for a, b in zip(speeds[own], speeds[other], strict=True)]
        print(f"| {own} / {other} | {spread(ratios, '.2f')} | {goal or ''} |", flush=True)


def unpacked(archive: Path, images: int, folder: Path) -> Path:
    """The first `images` / 10 training images of each class, as class folders."""
    root = folder / "images"
    with tarfile.open(archive) as tar:
        tar.extractall(root, members=chosen(tar, images // CLASSES), filter="data")
    return next(root.glob("*/train"))


def chosen(tar: tarfile.TarFile, number: int) -> Iterator[tarfile.TarInfo]:
    """So many training images of each class."""
    taken: Counter[str] = Counter()
    for member in tar:
        part, kind = Path(member.name).parts[-3:-1] if member.isfile() else ("", "")
        if part == "train" and taken[kind] < number:
            taken[kind] += 1
            yield member


def versions() -> str:
    """What was measured with, and on."""
    import PIL
    import timm
    import torchvision

    return (
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}, timm {timm.__version__}"
    )


def main() -> None:
    """All races, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("races", nargs="*", choices=[*RACES, []], default=[])
    parser.add_argument("--archive", type=Path, default="../shared/data/cifar10-jpeg.tar.gz")
    parser.add_argument("--images", type=int, default=6400)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(versions())
    print(f"{options.images} images, batch {options.batch_size}, {options.workers} workers, one")
    print(f"thread a process; {options.repeats} repeats, median (lowest to highest)")
    with tempfile.TemporaryDirectory() as name:
        root = unpacked(options.archive, options.images, Path(name))
        sizes = options.images, options.batch_size, options.workers
        for race in options.races or RACES:
            show(race, run(race, Setting(str(root), *sizes, name), options.repeats))


if __name__ == "__main__":
    main()
