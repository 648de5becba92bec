"""Layer-sequential unit variance (Mishkin and Matas 2016), algorithm 1.

https://arxiv.org/abs/1511.06422
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trainer.core.ranges import within
from trainer.init.base import Init, Layer, layers


class Lsuv(Init):
    """Orthogonal weights, each layer's then scaled so that its outputs have variance 1.

    The layers are taken in the order in which they run, in one forward pass of `batch` training
    images: what a layer gets comes from those before it, scaled already. Dropout is off, and
    batch normalisation uses its running statistics and does not move them. A layer that does not
    run by itself, or whose outputs are all the same, stays orthogonal.
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
        """A random orthogonal matrix [out, in · kernel]."""
        nn.init.orthogonal_(weight)

    @torch.no_grad()
    def calibrate(self, model: nn.Module, images: Tensor, only: set[str] | None = None) -> None:
        """Scale every layer, or those of the modules `only`, by images [B, C, H, W]."""
        seen: set[nn.Module] = set()

        def hook(layer: Any, inputs: Any, named: Any, outputs: Tensor) -> Tensor | None:
            if layer in seen:
                return None  # shared weights are scaled where they run first
            seen.add(layer)
            return self.scale(layer, outputs, lambda: layer.forward(*inputs, **named))

        hooks = [
            layer.register_forward_hook(hook, with_kwargs=True) for layer in layers(model, only)
        ]
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            model(images)
        finally:
            for handle in hooks:
                handle.remove()
            for module, training in modes:
                module.training = training

    def scale(self, layer: Layer, outputs: Tensor, again: Callable[[], Tensor]) -> Tensor:
        """Divide the weight by the deviation of the outputs until their variance is near 1."""
        for _ in range(self.max_trials):
            variance = outputs.var().item()
            if abs(variance - 1) < self.tolerance or not 0 < variance < float("inf"):
                break
            layer.weight.div_(variance**0.5)
            outputs = again()
        return outputs
