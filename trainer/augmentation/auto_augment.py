"""AutoAugment (Cubuk et al. 2019, https://arxiv.org/abs/1805.09501), the policies of the appendix.

As in torchvision, a policy is 25 sub-policies of two operations, each with a probability and a
magnitude from 0 to 9.
"""

from typing import Literal

import torch
from torch import Tensor

from trainer.augmentation.shared.operation import OPERATIONS
from trainer.augmentation.shared.policy import Interpolation, Policy, indices, standard_magnitudes
from trainer.core.seed import ExampleRandom

BINS = 10

POLICIES = {  # two triples (name, probability, magnitude) per line; 25 lines each
    "imagenet": """
        Posterize 0.4 8, Rotate 0.6 9
        Solarize 0.6 5, AutoContrast 0.6 -
        Equalize 0.8 -, Equalize 0.6 -
        Posterize 0.6 7, Posterize 0.6 6
        Equalize 0.4 -, Solarize 0.2 4
        Equalize 0.4 -, Rotate 0.8 8
        Solarize 0.6 3, Equalize 0.6 -
        Posterize 0.8 5, Equalize 1.0 -
        Rotate 0.2 3, Solarize 0.6 8
        Equalize 0.6 -, Posterize 0.4 6
        Rotate 0.8 8, Color 0.4 0
        Rotate 0.4 9, Equalize 0.6 -
        Equalize 0.0 -, Equalize 0.8 -
        Invert 0.6 -, Equalize 1.0 -
        Color 0.6 4, Contrast 1.0 8
        Rotate 0.8 8, Color 1.0 2
        Color 0.8 8, Solarize 0.8 7
        Sharpness 0.4 7, Invert 0.6 -
        ShearX 0.6 5, Equalize 1.0 -
        Color 0.4 0, Equalize 0.6 -
        Equalize 0.4 -, Solarize 0.2 4
        Solarize 0.6 5, AutoContrast 0.6 -
        Invert 0.6 -, Equalize 1.0 -
        Color 0.6 4, Contrast 1.0 8
        Equalize 0.8 -, Equalize 0.6 -
    """,
    "cifar10": """
        Invert 0.1 -, Contrast 0.2 6
        Rotate 0.7 2, TranslateX 0.3 9
        Sharpness 0.8 1, Sharpness 0.9 3
        ShearY 0.5 8, TranslateY 0.7 9
        AutoContrast 0.5 -, Equalize 0.9 -
        ShearY 0.2 7, Posterize 0.3 7
        Color 0.4 3, Brightness 0.6 7
        Sharpness 0.3 9, Brightness 0.7 9
        Equalize 0.6 -, Equalize 0.5 -
        Contrast 0.6 7, Sharpness 0.6 5
        Color 0.7 7, TranslateX 0.5 8
        Equalize 0.3 -, AutoContrast 0.4 -
        TranslateY 0.4 3, Sharpness 0.2 6
        Brightness 0.9 6, Color 0.2 8
        Solarize 0.5 2, Invert 0.0 -
        Equalize 0.2 -, AutoContrast 0.6 -
        Equalize 0.2 -, Equalize 0.6 -
        Color 0.9 9, Equalize 0.6 -
        AutoContrast 0.8 -, Solarize 0.2 8
        Brightness 0.1 3, Color 0.7 0
        Solarize 0.4 5, AutoContrast 0.9 -
        TranslateY 0.9 9, TranslateY 0.7 9
        AutoContrast 0.9 -, Solarize 0.8 3
        Equalize 0.8 -, Invert 0.1 -
        TranslateY 0.7 9, AutoContrast 0.9 -
    """,
    "svhn": """
        ShearX 0.9 4, Invert 0.2 -
        ShearY 0.9 8, Invert 0.7 -
        Equalize 0.6 -, Solarize 0.6 6
        Invert 0.9 -, Equalize 0.6 -
        Equalize 0.6 -, Rotate 0.9 3
        ShearX 0.9 4, AutoContrast 0.8 -
        ShearY 0.9 8, Invert 0.4 -
        ShearY 0.9 5, Solarize 0.2 6
        Invert 0.9 -, AutoContrast 0.8 -
        Equalize 0.6 -, Rotate 0.9 3
        ShearX 0.9 4, Solarize 0.3 3
        ShearY 0.8 8, Invert 0.7 -
        Equalize 0.9 -, TranslateY 0.6 6
        Invert 0.9 -, Equalize 0.6 -
        Contrast 0.3 3, Rotate 0.8 4
        Invert 0.8 -, TranslateY 0.0 2
        ShearY 0.7 6, Solarize 0.4 8
        Invert 0.6 -, Rotate 0.8 4
        ShearY 0.3 7, TranslateX 0.9 3
        ShearX 0.1 6, Invert 0.6 -
        Solarize 0.7 2, TranslateY 0.6 7
        ShearY 0.8 4, Invert 0.8 -
        ShearX 0.7 9, TranslateY 0.8 3
        ShearY 0.8 5, AutoContrast 0.7 -
        ShearX 0.7 2, Invert 0.1 -
    """,
}


class AutoAugment(Policy):
    """Applies to each image one of the 25 sub-policies learned on a data set, drawn at random."""

    def __init__(
        self,
        *,
        policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet",
        interpolation: Interpolation = "nearest",
        fill: float = 0.0,
    ) -> None:
        super().__init__(interpolation=interpolation, fill=fill)
        operations = [operation for line in parse(POLICIES[policy]) for operation in line]
        names, probabilities, levels = zip(*operations, strict=True)
        self.operation = indices(names).view(-1, 2)  # [25, 2], like the next two
        self.probability = torch.tensor(probabilities).view(-1, 2)
        self.level = torch.tensor(levels).view(-1, 2)

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augmented images [B, C, H, W]."""
        host = draws.on_host()
        chosen = host.integer(0, len(self.operation))
        table = standard_magnitudes(BINS, images)
        identity = OPERATIONS.index("Identity")
        for i in range(2):
            operation, level = self.operation[chosen, i], self.level[chosen, i]
            applied = host.uniform() < self.probability[chosen, i]
            magnitude = table[operation, level]
            operation = torch.where(applied, operation, identity)
            images = self.apply(images, operation, magnitude, host.chance(0.5))
        return images


def parse(text: str) -> list[list[tuple[str, float, int]]]:
    """Name, probability and level of the two operations of each line; the level - is 0."""
    lines = [[part.split() for part in line.split(",")] for line in text.strip().splitlines()]
    return [[(n, float(p), 0 if m == "-" else int(m)) for n, p, m in line] for line in lines]
