"""What the augmentations cost, on the CPU, one thread.

    python scripts/bench_augmentation.py                     # about two minutes

1. Each of them on a batch of 512 RGB images of 32×32, beside torchvision's transform called image
   by image, as in a data set. Both draw their random parameters; torchvision's images are stacked.
   The two alternate, so that a drift of the machine meets both. Processor time, which is deaf to
   other jobs but for the caches that they take.
2. `augmentation=standard` beside a training step of ResNet-20: forward, backward, SGD.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
import yaml
from figures import quartiles
from torch import Tensor
from torchvision.transforms import v2

from trainer.augmentation import Augmentation
from trainer.config.build import build
from trainer.core.seed import ExampleRandom
from trainer.dataset import Split
from trainer.dataset.base import Pixels
from trainer.run.memory import keep_freed_memory

CONF = Path(__file__).parents[1] / "conf" / "augmentation"
SIDE, IMAGES, BATCH = 32, 512, 128
WARM_UP = 8  # rounds
BILINEAR = v2.InterpolationMode.BILINEAR
Transform = Callable[[Tensor], Tensor]


def shifted(image: Tensor) -> Tensor:
    """PCA jitter of an image: torchvision has none."""
    return image + (torch.eye(3) @ (0.1 * torch.randn(3) * torch.rand(3)))[:, None, None]


RIVALS: dict[str, Transform] = {
    "random_crop": v2.RandomCrop(SIDE, padding=4),
    "horizontal_flip": v2.RandomHorizontalFlip(),
    "vertical_flip": v2.RandomVerticalFlip(),
    "shift": v2.RandomAffine([0.0, 0.0], translate=(0.1, 0.1)),
    "rotate": v2.RandomRotation([-15.0, 15.0], BILINEAR),
    "random_scale": v2.RandomAffine([0.0, 0.0], scale=(0.8, 1.2), interpolation=BILINEAR),
    "affine": v2.RandomAffine([-10.0, 10.0], (0.1, 0.1), (0.9, 1.1), interpolation=BILINEAR),
    "random_resized_crop": v2.RandomResizedCrop(SIDE),
    "scale_jitter": v2.Compose(
        [v2.ScaleJitter((SIDE, SIDE)), v2.RandomCrop(SIDE, pad_if_needed=True)]
    ),
    "color_jitter": v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "pca_jitter": shifted,
    "gaussian_noise": v2.GaussianNoise(),
    "gaussian_blur": v2.GaussianBlur(5),
    "cutout": v2.RandomErasing(1.0, (0.25, 0.25), (1.0, 1.0)),  # a hole of 16, never clipped
    "random_erasing": v2.RandomErasing(),
    "auto_augment": v2.AutoAugment(),
    "rand_augment": v2.RandAugment(),
    "trivial_augment": v2.TrivialAugmentWide(),
    "augmix": v2.AugMix(),
}


def images_of(number: int) -> Tensor:
    """[number, 3, SIDE, SIDE] of noise."""
    return torch.rand(number, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def ready(node: dict[str, Any], name: str) -> Augmentation:
    """The augmentation, with what it needs of the data."""
    augmentation = build(node, f"augmentation.{name}", Augmentation)
    pixels = images_of(IMAGES).mul(255).to(torch.uint8)
    ids = torch.arange(IMAGES)
    augmentation.prepare(Split(Pixels(pixels), ids, ids))
    return augmentation


def milliseconds(call: Callable[[], object]) -> float:
    """Processor time of a call."""
    began = time.process_time()
    call()
    return (time.process_time() - began) * 1e3


def alternate(calls: list[Callable[[], object]], repeats: int) -> np.ndarray:
    """Milliseconds [calls, repeats], the calls in turn.

    The first rounds are not counted: in them the process takes memory that it keeps.
    """
    rounds = [[milliseconds(call) for call in calls] for _ in range(WARM_UP + repeats)]
    return np.array(rounds[WARM_UP:]).T


def operations(repeats: int) -> None:
    """Each augmentation beside torchvision's."""
    images, rows = images_of(IMAGES), torch.arange(IMAGES)
    print(f"\nms for {IMAGES} images of 3×{SIDE}×{SIDE}, medians [quartiles]\n")
    print("| augmentation | batched | torchvision, image by image | ratio |")
    print("| --- | --- | --- | --- |")
    for name, rival in RIVALS.items():
        own = ready(yaml.safe_load((CONF / f"{name}.yaml").read_text()), name)
        calls: list[Callable[[], object]] = [
            lambda own=own: own(images, ExampleRandom(0, 0, rows)),
            lambda rival=rival: torch.stack([rival(image) for image in images]),
        ]
        ours, theirs = alternate(calls, repeats)
        ratio = quartiles(theirs / ours, ".1f")
        print(
            f"| {name} | {quartiles(ours, '.1f')} | {quartiles(theirs, '.0f')} | {ratio} |",
            flush=True,
        )


def standard() -> list[Augmentation]:
    """The parts of `augmentation=standard`."""
    preset = yaml.safe_load((CONF / "standard.yaml").read_text())
    names = [name for name in preset["defaults"] if name != "_self_"]
    nodes = {name: yaml.safe_load((CONF / f"{name}.yaml").read_text()) for name in names}
    return [ready(nodes[name] | preset.get(name, {}), name) for name in names]


def step(repeats: int) -> None:
    """`standard` beside a training step."""
    from trainer.model.resnet_cifar import ResnetCifar

    torch.manual_seed(0)
    model = ResnetCifar(shape=(3, SIDE, SIDE), outputs=10, depth=20)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    images, labels, parts = images_of(BATCH), torch.arange(BATCH) % 10, standard()

    def train() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    def augment() -> None:
        moved, draws = images, ExampleRandom(0, 0, torch.arange(BATCH))
        for part in parts:
            moved = part(moved, draws)

    steps, augmented = alternate([train, augment], repeats)
    print(f"\nResNet-20, batch {BATCH}, ms\n")
    print(f"training step          {quartiles(steps, '.0f')}")
    print(f"augmentation=standard  {quartiles(augmented, '.2f')}")
    print(f"share of the step      {quartiles(100 * augmented / steps, '.2f')} %")


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as a run does
    about = {
        "machine": f"{platform.machine()}, {platform.platform(terse=True)}",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
    print(json.dumps(about))
    operations(settings.repeats)
    step(settings.repeats)


if __name__ == "__main__":
    main()
