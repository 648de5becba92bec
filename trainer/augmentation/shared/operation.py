"""The operations that the published policies choose from, as torchvision defines them.

Each image of a batch has an operation and a magnitude of its own. Both are drawn on the host (see
`Draws.on_host`), so the images are sorted by operation without a loop over them and without reading
anything back from a GPU, and each operation that occurs is one kernel call; the five that move
pixels are one call together. Where torchvision rounds to 8 bits after each operation, images stay
floats here.
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
Kernel = Callable[[Tensor, Tensor], Tensor]  # of images [n, C, H, W] and their magnitudes [n]
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
SIGNED = (*MOVES, "Brightness", "Color", "Contrast", "Sharpness")  # either way from no change


def operate(
    images: Tensor, operation: Tensor, magnitude: Tensor, *, nearest: bool, fill: float
) -> Tensor:
    """Change each image of [B, C, H, W] by its operation.

    `operation` [B], a place in OPERATIONS, and `magnitude` [B] lie on the CPU. Magnitudes are
    torchvision's: a tangent, pixels, degrees, 1 less than a factor, bits, a level of 255.
    """
    kind = (operation - len(MOVES) + 1).clamp(min=0)  # 0 moves, the others are CHANGES
    order = kind.argsort(stable=True)
    counts = kind.bincount(minlength=1 + len(CHANGES)).tolist()
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
    """[B, 2, 3] for `warp`: shear from the upper left corner, rotation about the middle."""

    def of(name: str) -> Tensor:
        return torch.where(operation == OPERATIONS.index(name), magnitude, 0.0)

    shear_x, shear_y = of("ShearX"), of("ShearY")
    still = torch.zeros_like(magnitude)
    lean = {"shear_x": shear_x.atan().rad2deg(), "shear_y": shear_y.atan().rad2deg()}
    sheared = affine_matrix(still, **lean, centre=(-size[1] / 2, -size[0] / 2))
    right, down = of("TranslateX").trunc(), of("TranslateY").trunc()
    others = affine_matrix(-of("Rotate"), right=right, down=down)
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
    """[operations, bins], from no change, or nearly, to the most; those without one have zeros.

    `shift` is down and right, in pixels. `bits` are those that are kept at first and how many of
    them are lost.
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
