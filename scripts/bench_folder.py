"""The cost of a folder of JPEG images: decoding during training, and decoding once.

    python scripts/bench_folder.py                    # about six minutes, on CIFAR-10's JPEG files

A part of the files is unpacked. Each rival has a process, in which torch has one thread, and
`--workers` loader processes; they take turns, epoch by epoch. All have the same images, network
(a ResNet of 8 layers), batch size, SGD with momentum and a new order in each epoch; no augmentation
and no validation.

list       `--listed` empty files in 1,000 class folders, as classes and file names
  bare       torchvision's ImageFolder
  runner     the runner's image_folder
decode     the images of an epoch as uint8 batches, and nothing else
  bare       torchvision's ImageFolder and PILToTensor in a DataLoader
  stream     the runner's loader=stream
photos     made-up JPEG files of 500 x 375 pixels (110 kB) brought to 224 x 224, in one process
light photos  the same with a lower quality (55 kB)
large photos  of 4000 x 3000 pixels (5 MB)
large light photos  the same with a lower quality (2 MB)
real photos     scikit-learn's two photographs brought to 500 x 375 pixels (29 kB)
enlarged photos  and to 4000 x 3000 (0.7 MB)
  recipe     torchvision's: Pillow, RandomResizedCrop, PILToTensor
  exact      the runner's decoding of the middle
  fast       the runner's decoding of the middle with dataset.decode=fast
  pieces     the runner's random pieces of the originals: dataset.fit=uncut, loader=stream
  fast pieces   the same with dataset.decode=fast
  stored     random pieces of images stored with a short side of 400: loader=memory, not decoding
stored photos  two ways to store those of 500 x 375, pieces cut out on the CPU
  ragged     one after another, a piece at a time: the runner's
  padded     to one size, all pieces at once
open       the whole folder, from the command to pixels in memory and the channel statistics
  serial     decoded by one process, as with loader.workers=0
  first      decoded by the loader's processes, and cached
  second     read from the cache of an earlier run
train      epochs
  bare memory   a hand-written loop over uint8 tensors in memory, fused optimizer: the limit
  bare decode   the same loop over the DataLoader of `decode`
  timm          timm's loader, optimizer, scheduler and meters, in the loop of its training script
  memory        the runner, loader=memory
  stream        the runner, loader=stream

Figures are medians over the repeats of images per second, with the lowest and the highest. Ratios
are formed within each repeat. The runner's epoch includes metrics, difficulty store and log, but
not the checkpoint that follows.
"""

import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from folder_rivals import CLASSES, RACES
from photos import SIZES, photos
from race import Race, machine, parser, ratios, spread, table
from rivals import Setting


def of_recipe(goal: float) -> tuple[tuple[str, str, float | None], ...]:
    """What of a race of photographs is compared with torchvision's recipe, and the goals."""
    pairs = {"exact": None, "fast": None, "pieces": None, "fast pieces": goal, "stored": None}
    return tuple((name, "recipe", wanted) for name, wanted in pairs.items())


RATIOS = {
    "list": (("runner", "bare", 0.67),),
    "decode": (("stream", "bare", 0.95),),
    "photos": of_recipe(1.8),
    "light photos": of_recipe(1.8),
    "large photos": of_recipe(8),
    "large light photos": of_recipe(8),
    "real photos": of_recipe(1.8),
    "enlarged photos": of_recipe(8),
    "stored photos": (("ragged", "padded", None),),
    "open": (("first", "serial", None), ("second", "serial", None)),
    "train": (
        ("memory", "bare memory", None),
        ("memory", "timm", 1.2),
        ("stream", "bare decode", None),
        ("stream", "timm", None),
    ),
}


def show(race: str, speeds: dict[str, list[float]]) -> None:
    """Print two tables: images per second, and ratios."""
    table([race, "images/s"], [(name, spread(v, ",.0f")) for name, v in speeds.items()])
    rows = [
        (f"{own} / {other}", spread(ratios(speeds[own], speeds[other]), ".2f"), goal or "")
        for own, other, goal in RATIOS[race]
    ]
    table([race, "ratio", "goal"], rows)


def unpacked(archive: Path, images: int, folder: Path) -> Path:
    """Unpack the first `images` / 10 training images of each class; return their folder."""
    root = folder / "images"
    with tarfile.open(archive) as tar:
        tar.extractall(root, members=chosen(tar, images // CLASSES), filter="data")
    return next(root.glob("*/train"))


def chosen(tar: tarfile.TarFile, number: int) -> Iterator[tarfile.TarInfo]:
    """Yield the first `number` training images of each class."""
    counts: Counter[str] = Counter()
    for member in tar:
        part, label = Path(member.name).parts[-3:-1] if member.isfile() else ("", "")
        if part == "train" and counts[label] < number:
            counts[label] += 1
            yield member


def empty_files(number: int, root: Path) -> Path:
    """Make empty files named as ImageNet's, spread over 1,000 class folders; return the root."""
    for label in range(1000):
        folder = root / f"n{label * 7919:08d}"
        folder.mkdir(parents=True)
        for i in range(label, number, 1000):
            (folder / f"{folder.name}_{i * 7919 % 100003}.JPEG").touch()
    return root


def main() -> None:
    """Run all races, one after the other."""
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("races", nargs="*", choices=[*RACES, []], default=[])
    arguments.add_argument("--archive", type=Path, default="../shared/data/cifar10-jpeg.tar.gz")
    arguments.add_argument("--images", type=int, default=6400)
    arguments.add_argument("--listed", type=int, default=200_000)
    arguments.add_argument("--batch-size", type=int, default=128)
    arguments.add_argument("--workers", type=int, default=2)
    options = arguments.parse_args()
    print(machine("torch", "torchvision", "pillow", "timm"))
    print(f"{options.images} images, batch {options.batch_size}, {options.workers} loader workers")
    print(f"one thread per process; {options.repeats} repeats, median (lowest to highest)")
    with tempfile.TemporaryDirectory() as folder:
        roots = {
            "list": cache(lambda: empty_files(options.listed, Path(folder) / "listed")),
            **{name: cache(partial(photos, name, Path(folder) / name)) for name in SIZES},
            "": cache(lambda: unpacked(options.archive, options.images, Path(folder))),
        }
        for name in options.races or RACES:
            root = str(roots.get(name, roots[""])())
            setting = Setting(root, options.images, options.batch_size, workers=options.workers)
            with Race(dict(RACES[name])) as race:
                show(name, race.run(setting, options.repeats))


if __name__ == "__main__":
    main()
