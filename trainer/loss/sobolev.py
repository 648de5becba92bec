"""Sobolev losses of images: errors in the values and in their slopes.

`difference`: ‖u − v‖² + λ‖∇u − ∇v‖², ∇ the forward differences between neighbours in y and in x.
`fourier`: Σ_ξ (1 + λ|ξ|²)^s |û − v̂|², the orthonormal transform, ξ = 2π·fftfreq in radians a pixel.
With λ = 1 the latter is the norm of H^s. Both are divided by the number of elements, so that λ = 0
or, by Parseval, s = 0 gives `mse`.
"""

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.core.ranges import within
from trainer.loss.shared.regression import Regression


class Sobolev(Regression):
    """The squared Sobolev norm of the error of each image, divided by the number of elements.

    `order` is s and applies to `fourier` only: differences are of first order. The transform
    treats the image as periodic and so includes the jump between opposite borders; the
    differences stop at the borders. A negative order emphasises low frequencies.
    """

    targets: ClassVar[tuple[str, ...]] = ("image",)

    def __init__(
        self,
        *,
        form: Literal["difference", "fourier"] = "difference",
        lam: float = 1.0,
        order: float = 1.0,
    ) -> None:
        super().__init__()
        within("loss.lam", lam, "[0, inf)")
        within("loss.order", order, "(-inf, inf)")
        if form == "difference" and order != 1:
            raise ValueError(f"loss.order must be 1 with loss.form=difference, got {order}")
        self.form = form
        self.lam = lam
        self.order = order

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """[B, C, H, W], [B, C, H, W] → [B, C, H, W], by pixel or by frequency."""
        error = outputs - targets
        return self.fourier(error) if self.form == "fourier" else self.difference(error)

    def difference(self, error: Tensor) -> Tensor:
        """Squared error plus λ times its squared forward differences: [B, C, H, W] → same."""
        down = F.pad(error.diff(dim=-2), (0, 0, 0, 1))
        right = F.pad(error.diff(dim=-1), (0, 1))
        return error.square() + self.lam * (down.square() + right.square())

    def fourier(self, error: Tensor) -> Tensor:
        """Squared transform of the error, weighted by frequency: [B, C, H, W] → same."""
        transform = torch.view_as_real(torch.fft.fft2(error, norm="ortho"))
        y, x = (
            2 * math.pi * torch.fft.fftfreq(n, dtype=error.dtype, device=error.device)
            for n in error.shape[-2:]
        )
        square = y[:, None].square() + x.square()  # |ξ|² [H, W]
        return (1 + self.lam * square) ** self.order * transform.square().sum(-1)
