"""Layer-sequential unit variance (Mishkin and Matas 2016), algorithm 1.

https://arxiv.org/abs/1511.06422
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trainer.core.forward import evaluating
from trainer.core.ranges import within
from trainer.init.base import Init, Layer, layers


class Lsuv(Init):
    """Orthogonal weights, scaled layer by layer until the outputs have variance 1.

    Layers are scaled in execution order during one forward pass of `batch` training images, so the
    inputs of a layer come from layers already scaled. Dropout is off, and batch normalisation uses
    its running statistics without updating them. A layer that is not called as a module, or that
    has constant outputs, stays orthogonal.
    """

    def __init__(
        self,
        *,
        batch: int = 256,
        tolerance: float = 0.1,
        max_trials: int = 10,
        bias: float = 0.0,
    ) -> None:
        super().__init__(bias=bias)
        within("init.batch", batch, "[2, inf)")
        within("init.tolerance", tolerance, "(0, 1)")
        within("init.max_trials", max_trials, "[1, inf)")
        self.batch = batch
        self.tolerance = tolerance
        self.max_trials = max_trials

    def fill(self, weight: Tensor) -> None:
        """Fill a weight [out, in, ...], as a matrix, with a random orthogonal one in place."""
        nn.init.orthogonal_(weight)

    @torch.no_grad()
    def calibrate(self, model: nn.Module, images: Tensor, only: set[str] | None = None) -> None:
        """Scale every layer, or those inside the modules `only`, using images [B, C, H, W]."""
        seen: set[nn.Module] = set()

        def hook(layer: Any, inputs: Any, keywords: Any, outputs: Tensor) -> Tensor | None:
            if layer in seen:
                return None  # shared weights are scaled on first use
            seen.add(layer)
            return self.scale(layer, outputs, lambda: layer.forward(*inputs, **keywords))

        hooks = [
            layer.register_forward_hook(hook, with_kwargs=True) for layer in layers(model, only)
        ]
        try:
            with evaluating(model):
                model(images)
        finally:
            for handle in hooks:
                handle.remove()

    def scale(self, layer: Layer, outputs: Tensor, recompute: Callable[[], Tensor]) -> Tensor:
        """Divide the weight by the outputs' standard deviation until their variance is close to 1.

        `recompute` returns the outputs [B, ...] of the current weight. Returns the final outputs.
        """
        for _ in range(self.max_trials):
            variance = outputs.var().item()
            if abs(variance - 1) < self.tolerance or not 0 < variance < float("inf"):
                break
            layer.weight.div_(variance**0.5)
            outputs = recompute()
        return outputs
