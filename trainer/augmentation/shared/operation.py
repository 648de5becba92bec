"""The operations of the published policies, as torchvision defines them.

Each image of a batch has its own operation and magnitude. Both are drawn on the host (see
`ExampleRandom.on_host`), so images are sorted by operation without a loop and without a device
synchronisation. Each operation that occurs is one kernel call, and the five that move pixels share
one. Images stay floats, while torchvision rounds to 8 bits after each operation.
"""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from trainer.augmentation.shared.kernel.colour import brightness, contrast, saturation
from trainer.augmentation.shared.kernel.geometry import affine_matrix, warp
from trainer.augmentation.shared.kernel.tone import (
    autocontrast,
    equalize,
    invert,
    posterize,
    sharpness,
    solarize,
)

MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
Kernel = Callable[[Tensor, Tensor], Tensor]  # (images [n, C, H, W], magnitudes [n]) → images
CHANGES: dict[str, Kernel] = {
    "Identity": lambda images, _: images,
    "Brightness": lambda images, magnitude: brightness(images, 1 + magnitude),
    "Color": lambda images, magnitude: saturation(images, 1 + magnitude),
    "Contrast": lambda images, magnitude: contrast(images, 1 + magnitude),
    "Sharpness": lambda images, magnitude: sharpness(images, 1 + magnitude),
    "Posterize": posterize,
    "Solarize": solarize,
    "AutoContrast": lambda images, _: autocontrast(images),
    "Equalize": lambda images, _: equalize(images),
    "Invert": lambda images, _: invert(images),
}
OPERATIONS = (*MOVES, *CHANGES)
SIGNED = (*MOVES, "Brightness", "Color", "Contrast", "Sharpness")  # magnitudes of either sign


def operate(
    images: Tensor, operation: Tensor, magnitude: Tensor, *, nearest: bool, fill: float
) -> Tensor:
    """Apply its own operation to each image of [B, C, H, W].

    `operation` [B], indices into OPERATIONS, and `magnitude` [B] are on the CPU. Magnitudes are
    torchvision's: a tangent, pixels, degrees, a factor minus 1, bits, a level out of 255.
    """
    kernel_index = (operation - len(MOVES) + 1).clamp(min=0)  # 0: MOVES, others: CHANGES
    order = kernel_index.argsort(stable=True)
    counts = kernel_index.bincount(minlength=1 + len(CHANGES)).tolist()
    matrices = inverse_matrices(operation, magnitude, (images.shape[-2], images.shape[-1]))
    numbers = torch.cat([matrices.flatten(1), magnitude[:, None]], 1)[order]
    order, numbers = (x.to(images.device, non_blocking=True) for x in (order, numbers))

    def move(part: Tensor, numbers: Tensor) -> Tensor:
        return warp(part, numbers[:, :6].view(-1, 2, 3), nearest=nearest, fill=fill)

    def change(kernel: Kernel, part: Tensor, numbers: Tensor) -> Tensor:
        return kernel(part, numbers[:, 6])

    kernels = [move, *(partial(change, kernel) for kernel in CHANGES.values())]
    parts = zip(kernels, images[order].split(counts), numbers.split(counts), strict=True)
    changed = [kernel(part, own) for kernel, part, own in parts if len(part)]
    return torch.empty_like(images).index_copy_(0, order, torch.cat(changed))


def inverse_matrices(operation: Tensor, magnitude: Tensor, size: tuple[int, int]) -> Tensor:
    """Matrices [B, 2, 3] for `warp`: shear about the top left corner, rotation about the centre."""

    def magnitude_of(name: str) -> Tensor:
        return torch.where(operation == OPERATIONS.index(name), magnitude, 0.0)

    shear_x, shear_y = magnitude_of("ShearX"), magnitude_of("ShearY")
    no_rotation = torch.zeros_like(magnitude)
    shears = {"shear_x": shear_x.atan().rad2deg(), "shear_y": shear_y.atan().rad2deg()}
    sheared = affine_matrix(no_rotation, **shears, centre=(-size[1] / 2, -size[0] / 2))
    right, down = magnitude_of("TranslateX").trunc(), magnitude_of("TranslateY").trunc()
    others = affine_matrix(-magnitude_of("Rotate"), right=right, down=down)
    return torch.where(((shear_x != 0) | (shear_y != 0))[:, None, None], sheared, others)


@cache
def magnitudes(
    bins: int,
    *,
    shear: float,
    shift: tuple[float, float],
    degrees: float,
    factor: float,
    bits: tuple[int, int],
) -> Tensor:
    """Table of magnitudes [operations, bins], from (almost) no change to the strongest.

    Operations without a magnitude have zeros. `shift` is (down, right) in pixels. `bits` is the
    number that Posterize keeps in the first bin, and how many fewer it keeps in the last.
    """
    kept = bits[0] - (torch.arange(bins) / ((bins - 1) / bits[1])).round()
    most = {
        **dict.fromkeys(("ShearX", "ShearY"), shear),
        "TranslateX": shift[1],
        "TranslateY": shift[0],
        "Rotate": degrees,
        **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), factor),
    }
    rows = {name: torch.linspace(0, value, bins) for name, value in most.items()}
    rows |= {"Posterize": kept, "Solarize": torch.linspace(255, 0, bins)}
    return torch.stack([rows.get(name, torch.zeros(bins)) for name in OPERATIONS])
