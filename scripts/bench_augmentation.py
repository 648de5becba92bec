"""The cost of the augmentations, on the CPU, one thread.

    python scripts/bench_augmentation.py                     # about two minutes

1. Each of them on a batch of 512 RGB images of 32×32, against torchvision's transform called image
   by image, as in a data set. Both draw their random parameters; torchvision's images are stacked.
   The two take turns, so that a drift of the machine affects both. Processor time, which other
   jobs affect only through the caches.
2. `augmentation=standard` against a training step of ResNet-20: forward, backward, SGD.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from race import machine, milliseconds, parser, quartiles, row, table, turns
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
WARM_UP = 8  # rounds, in which the process allocates memory that it then keeps
BILINEAR = v2.InterpolationMode.BILINEAR
Transform = Callable[[Tensor], Tensor]


def pca_jittered(image: Tensor) -> Tensor:
    """Jitter the colours of an image [3, H, W] by PCA, which torchvision lacks."""
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
    "pca_jitter": pca_jittered,
    "gaussian_noise": v2.GaussianNoise(),
    "gaussian_blur": v2.GaussianBlur(5),
    "cutout": v2.RandomErasing(1.0, (0.25, 0.25), (1.0, 1.0)),  # a hole of 16, never clipped
    "random_erasing": v2.RandomErasing(),
    "auto_augment": v2.AutoAugment(),
    "rand_augment": v2.RandAugment(),
    "trivial_augment": v2.TrivialAugmentWide(),
    "augmix": v2.AugMix(),
}


def noise(number: int) -> Tensor:
    """Draw uniform noise [number, 3, SIDE, SIDE]."""
    return torch.rand(number, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def ready(node: dict[str, Any], name: str) -> Augmentation:
    """Build an augmentation and prepare it on noise."""
    augmentation = build(node, f"augmentation.{name}", Augmentation)
    pixels = noise(IMAGES).mul(255).to(torch.uint8)
    ids = torch.arange(IMAGES)
    augmentation.prepare(Split(Pixels(pixels), ids, ids))
    return augmentation


def race(repeats: int, **calls: Callable[[], object]) -> list[np.ndarray]:
    """Make the calls in turn; return each one's processor time in ms [repeats]."""
    timed = {name: partial(milliseconds, call, time.process_time) for name, call in calls.items()}
    return [np.array(values) for values in turns(timed, repeats, warm_up=WARM_UP).values()]


def operations(repeats: int) -> None:
    """Time each augmentation against torchvision's transform."""
    images, rows = noise(IMAGES), torch.arange(IMAGES)
    print(f"\nms for {IMAGES} images of 3×{SIDE}×{SIDE}, medians [quartiles]")
    table(["augmentation", "batched", "torchvision, image by image", "ratio"])
    for name, rival in RIVALS.items():
        own = ready(yaml.safe_load((CONF / f"{name}.yaml").read_text()), name)
        ours, theirs = race(
            repeats,
            ours=lambda own=own: own(images, ExampleRandom(0, 0, rows)),
            theirs=lambda rival=rival: torch.stack([rival(image) for image in images]),
        )
        times = quartiles(ours, ".1f"), quartiles(theirs, ".0f")
        row(name, *times, quartiles(theirs / ours, ".1f"))


def standard() -> list[Augmentation]:
    """Build the parts of `augmentation=standard`."""
    preset = yaml.safe_load((CONF / "standard.yaml").read_text())
    names = [name for name in preset["defaults"] if name != "_self_"]
    nodes = {name: yaml.safe_load((CONF / f"{name}.yaml").read_text()) for name in names}
    return [ready(nodes[name] | preset.get(name, {}), name) for name in names]


def step(repeats: int) -> None:
    """Time `standard` against a training step."""
    from trainer.model.resnet_cifar import ResnetCifar

    torch.manual_seed(0)
    model = ResnetCifar(shape=(3, SIDE, SIDE), outputs=10, depth=20)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    images, labels, parts = noise(BATCH), torch.arange(BATCH) % 10, standard()

    def train() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    def augment() -> None:
        moved, draws = images, ExampleRandom(0, 0, torch.arange(BATCH))
        for part in parts:
            moved = part(moved, draws)

    steps, augmented = race(repeats, train=train, augment=augment)
    share = quartiles(100 * augmented / steps, ".2f")
    rows = [("training step", quartiles(steps, ".0f"))]
    rows += [
        ("augmentation=standard", quartiles(augmented, ".2f")),
        ("share of the step, %", share),
    ]
    table([f"ResNet-20, batch {BATCH}", "ms"], rows)


def main() -> None:
    """Run both parts."""
    options = parser(__doc__, repeats=9).parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as a run does
    print(f"{machine('torch', 'torchvision')}; one thread, {options.repeats} repeats")
    operations(options.repeats)
    step(options.repeats)


if __name__ == "__main__":
    main()
