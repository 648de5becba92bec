"""From stored pixels to outputs, the same way in training and in evaluation."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode; on exit, restore each module's own mode, also after an error.

    A BatchNorm layer frozen in eval mode stays frozen. Gradients are computed as usual.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def centre(images: Tensor, size: Sequence[int] | None) -> Tensor:
    """Cut the middle of height and width `size` out of images [..., H, W] that are larger."""
    if size is None or tuple(images.shape[-2:]) == tuple(size):
        return images
    top, left = ((own - cut) // 2 for own, cut in zip(images.shape[-2:], size, strict=True))
    return images[..., top : top + size[0], left : left + size[1]]


class Forward:
    """A model with its input standardisation, run in the precision of the run.

    Of images larger than `size`, height and width, it takes the middle; None takes all of them.

    `mean` and `std` [C] are of pixels in [0, 1]. Stored pixels are 0 to 255. Without channels, [0],
    inputs are the word ids of texts [B, L] and stay as they are.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        precision: str = "fp32",
        channels_last: bool = False,
        compiled: Callable[[Tensor], Tensor] | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.model = model
        self.compiled = compiled  # the same model
        self.precision, self.channels_last = precision, channels_last
        self.device, self.size = device, size
        self.mean = torch.tensor(mean, device=device)[:, None, None]
        self.std = torch.tensor(std, device=device)[:, None, None]
        self.pixels = bool(mean)  # or else word ids
        self.zero = self.mean * 255  # mean of stored pixels
        self.scale = 1 / (self.std * 255)
        self.dtype = AUTOCAST.get(precision)
        self.format = torch.channels_last if channels_last else torch.contiguous_format

    def of(self, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> "Forward":
        """Another model with its own standardisation, in this one's precision and on its device."""
        return Forward(
            model,
            mean=mean,
            std=std,
            device=self.device,
            precision=self.precision,
            channels_last=self.channels_last,
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Apply the model to standardised images [B, C, H, W] or word ids; outputs in float32."""
        model = self.model if self.compiled is None else self.compiled
        with self.autocast():
            return model(images.contiguous(memory_format=self.format)).float()

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Leave out compilation, for passes that would need a graph of their own."""
        compiled, self.compiled = self.compiled, None
        try:
            yield
        finally:
            self.compiled = compiled

    def autocast(self) -> AbstractContextManager[object]:
        """Return the autocast context of the precision; a null context for fp32."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def inputs(self, images: Tensor) -> Tensor:
        """Cut and standardise stored pixels [B, C, H, W]: `unit` and `standardise` in one pass."""
        return (
            torch.sub(centre(images, self.size), self.zero).mul_(self.scale)
            if self.pixels
            else images
        )

    @staticmethod
    def unit(images: Tensor) -> Tensor:
        """Scale stored pixels [B, C, H, W] to float32 in [0, 1]; word ids [B, L] stay."""
        return images.float().mul_(1 / 255) if images.ndim == 4 else images

    def standardise(self, images: Tensor) -> Tensor:
        """Bring pixels [B, C, H, W] in [0, 1] to mean 0 and deviation 1 per channel, in place.

        What is larger than the model's images is cut to them.
        """
        return centre(images, self.size).sub_(self.mean).div_(self.std) if self.pixels else images

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Put the model in eval mode without gradients; on exit, restore each module's own mode."""
        with evaluating(self.model), torch.no_grad():
            yield
