"""From stored pixels to outputs: what training and evaluation share."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Forward:
    """A model in the run's precision, with the standardisation of its inputs."""

    def __init__(
        self,
        model: nn.Module,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        precision: str = "fp32",
        channels_last: bool = False,
    ) -> None:
        self.model = model
        self.precision, self.channels_last = precision, channels_last
        self.device = device
        self.mean = torch.tensor(mean, device=device)[:, None, None]  # pixels in [0, 1]
        self.std = torch.tensor(std, device=device)[:, None, None]
        self.zero = self.mean * 255  # of stored pixels
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
        """Standardised images [B, C, H, W] → outputs [B, ...] in float32."""
        with self.autocast():
            return self.model(images.contiguous(memory_format=self.format)).float()

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision, or nothing."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def inputs(self, images: Tensor) -> Tensor:
        """Stored pixels, 0 to 255, to mean 0 and deviation 1: `unit` and `standardise` in one."""
        return torch.sub(images, self.zero).mul_(self.scale)

    @staticmethod
    def unit(images: Tensor) -> Tensor:
        """Stored pixels, 0 to 255, to float32 in [0, 1]."""
        return images.float().mul_(1 / 255)

    def standardise(self, images: Tensor) -> Tensor:
        """Pixels in [0, 1] to mean 0 and deviation 1 in each channel, in place."""
        return images.sub_(self.mean).div_(self.std)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Eval mode without gradient; afterwards each module is in the mode it was in."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module, training in modes:
                module.training = training
