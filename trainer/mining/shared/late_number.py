"""Numbers that the host reads later than the device computes them."""

import torch
from torch import Tensor


class LateNumber:
    """A number on a device of which the host reads a copy that was begun earlier."""

    def __init__(self) -> None:
        self.host, self.copied = torch.zeros(()), None

    def send(self, number: Tensor) -> None:
        """Begin to copy a scalar, without waiting for a CUDA device."""
        if number.is_cuda:
            self.host = torch.empty_like(number, device="cpu", pin_memory=True)
            self.host.copy_(number, non_blocking=True)
            self.copied = torch.cuda.Event()
            self.copied.record()
        else:
            self.host = number.to("cpu", copy=True)

    def read(self) -> float:
        """The number last sent, 0 before the first; waits only for the work that led to it."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.host.item()
