"""Count the kernels that a call launches, by torch's profiler or where operations are dispatched.

The two counts differ: an operation may launch several kernels (a convolution, a `foreach` over many
tensors) and some of those below launch none for the sizes at hand.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

FREE = {  # operations that compute nothing
    *("alias", "detach", "lift_fresh", "_unsafe_view", "set_"),
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
}
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


class Dispatched(TorchDispatchMode):
    """Counts, by name, the operations on a device's tensors that are more than a view."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation, and count it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name not in FREE and not func.is_view and self.here((*args, *kwargs.values(), out)):
            self.counts[name] += 1
        return out

    def here(self, values: Iterable[Any]) -> bool:
        """Whether a tensor among these, or in lists of them, is on the device."""
        for value in values:
            if isinstance(value, (list, tuple)) and self.here(value):
                return True
            if isinstance(value, Tensor) and value.device.type == self.device:
                return True
        return False


def dispatched(call: Callable[[], object], device: str) -> Counter[str]:
    """Count the operations that a call dispatches on a device, by name."""
    with Dispatched(device) as counter:
        call()
    return counter.counts


def profiled(call: Callable[[], object]) -> tuple[Counter[str], Counter[str]]:
    """Count what a call runs on a GPU, kernels and copies, and its waits for it, by name."""
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        call()
        torch.cuda.synchronize()
    events = seen.events() or []
    ran = Counter(e.name for e in events if e.device_type == torch.autograd.DeviceType.CUDA)
    waits = Counter(e.name for e in events if e.name in WAITS)
    waits.subtract(["cudaDeviceSynchronize"])  # the one here
    return ran, +waits
