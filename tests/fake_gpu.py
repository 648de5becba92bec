"""A GPU that is not there: tensors say `cuda:0`, keep its rules and hold their values on the CPU.

What a GPU refuses raises here too: tensors of two devices in one operation, a copy to the CPU that
nobody waits for. Under `torch.cuda.set_sync_debug_mode("error")` so does whatever makes the host
wait: reading a value, a copy to the CPU, a blocking copy from it, a mask or a CPU tensor as index.
Values are those of the CPU, to the bit.

Needs g++, and a process in which neither torch is imported nor a backward pass has run. PyTorch's
autograd engine asks CUDA how many devices there are, and the driver whether one is in use, when it
first meets a tensor of a device. Both calls are answered by a small library that is loaded before
torch's own; it says that there are devices only while a backward pass begins, as nothing else may
believe it.
"""

import ctypes
import inspect
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

DRIVER = """
#include <cstdint>
static int8_t devices = 0;
extern "C" void pretend(int on) { devices = on ? 64 : 0; }
namespace c10 { namespace cuda { int8_t device_count() noexcept { return devices; } } }
extern "C" int cuDevicePrimaryCtxGetState(int, unsigned *flags, int *active) {
    *flags = 0;
    *active = 0;
    return 0;
}
"""


def driver() -> ctypes.CDLL:
    """Compile and load the library that answers for CUDA and its driver."""
    path = Path(tempfile.mkdtemp()) / "driver.so"
    command = ["g++", "-x", "c++", "-", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"]
    subprocess.run([*command, str(path)], input=DRIVER, text=True, check=True)
    library = ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
    library.pretend.restype = None  # else it returns a number, and a hook must not
    return library


DRIVEN = driver()

import torch  # noqa: E402  the driver comes first
from torch import Tensor  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

torch._C._ensureCUDADeviceGuardSet()  # of a build without CUDA, or without a device

aten = torch.ops.aten
CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
READS = {  # operations whose result has a value, or a shape, that the host must know
    aten._local_scalar_dense,
    aten.equal,
    aten.is_nonzero,
    aten.nonzero,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten.masked_select,
    aten.bincount,
    aten.repeat_interleave,
}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
LISTS = {aten.cat, aten.stack}  # a CPU scalar is no number to them
strict = False  # raise where the host would wait


class GpuTensor(Tensor):
    """A tensor that says `cuda:0`; `held` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "GpuTensor":
        made = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=GPU,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return launch(func, types, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:
        return f"GpuTensor({self.held})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @property
    def data(self) -> Tensor:
        return Tensor.data.__get__(self)  # pyright: ignore

    @data.setter
    def data(self, other: Tensor) -> None:
        Tensor.data.__set__(self, other)  # pyright: ignore
        self.held = other.held  # pyright: ignore


class Factories(TorchDispatchMode):
    """Brings calls that take no tensor, such as torch.zeros, before `launch`."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return launch(func, types, args, kwargs or {})


Factories.__torch_dispatch__ = inspect.unwrap(Factories.__torch_dispatch__)  # without torch._dynamo


def launch(func: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation as a GPU would. Raises RuntimeError where it would refuse, or wait."""
    target = kwargs.get("device")
    asked = target is not None and torch.device(target).type == "cuda"
    if not asked and GpuTensor not in types:
        return func(*args, **kwargs)
    tensors: list[Tensor] = []

    def lower(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            tensors.append(leaf)
            return leaf.held if isinstance(leaf, GpuTensor) else leaf
        return CPU if isinstance(leaf, torch.device) else leaf

    held_args, held_kwargs = mapped(lower, args), mapped(lower, kwargs)
    own = {id(t.held if isinstance(t, GpuTensor) else t): t for t in tensors}
    operation = func.overloadpacket
    copies = operation is aten.copy_
    onto_gpu = isinstance(args[0], GpuTensor) if copies else asked or target is None
    if reason := refusal(func, args, kwargs, tensors, onto_gpu=onto_gpu):
        raise RuntimeError(f"{func}: {reason}")
    pinned = held_kwargs.pop("pin_memory", False)
    out = func(*held_args, **held_kwargs)
    if operation is aten._to_copy and id(out) in own:
        out = out.clone()

    def lift(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) in own:
            return own[id(leaf)]
        if onto_gpu:
            return GpuTensor(leaf)
        leaf.pinned = pinned  # pyright: ignore
        return leaf

    return mapped(lift, out)


def mapped(function: Callable[[Any], Any], node: Any) -> Any:
    """Map the leaves of an operation's arguments or results; ten times as fast as a pytree."""
    if isinstance(node, (tuple, list)):
        parts = [mapped(function, part) for part in node]
        return parts if isinstance(node, list) else tuple(parts)
    if isinstance(node, dict):
        return {name: mapped(function, part) for name, part in node.items()}
    return function(node)


def refusal(
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tensors: list[Tensor],
    *,
    onto_gpu: bool,
) -> str | None:
    """Return why a GPU would refuse an operation, or, under `strict`, why the host would wait."""
    operation = func.overloadpacket
    on_cpu = [tensor for tensor in tensors if not isinstance(tensor, GpuTensor)]
    if operation in (aten._to_copy, aten.copy_):
        return refused_copy(args, kwargs, from_cpu=bool(on_cpu), onto_gpu=onto_gpu)
    if operation in INDEXING:
        return refused_index(args, on_cpu)
    if 0 < len(on_cpu) < len(tensors):
        named = str(func)
        alone = operation in LISTS or "_foreach" in named or "_fused" in named
        if any(tensor.ndim or alone for tensor in on_cpu):
            return "tensors of two devices"
    if strict and operation in READS and not kwargs.get("output_size"):
        return "waits: a value is read"
    return None


def refused_copy(
    args: Sequence[Any], kwargs: dict[str, Any], *, from_cpu: bool, onto_gpu: bool
) -> str | None:
    """Return what is wrong with a copy between devices."""
    later = kwargs.get("non_blocking", len(args) > 2 and args[2])
    if onto_gpu:
        waits = strict and from_cpu and not later
        return "waits: a blocking copy from the CPU" if waits else None
    if later and getattr(args[0], "pinned", False):
        return None  # its reader waits for an event
    if later:
        return "a race: the CPU does not wait for the copy"
    return "waits: a copy to the CPU" if strict else None


def refused_index(args: tuple[Any, ...], on_cpu: list[Tensor]) -> str | None:
    """Return what is wrong with an indexed read or write."""
    if not isinstance(args[0], GpuTensor):
        return "a CPU tensor indexed by a GPU's"
    if not strict:
        return None
    if any(tensor.ndim for tensor in on_cpu):
        return "waits: indices from the CPU"
    fills = len(args) > 2 and args[2].numel() == 1  # a mask and a number: masked_fill
    if not fills and any(index is not None and index.dtype == torch.bool for index in args[1]):
        return "waits: a mask for an index"
    return None


class Event:
    """A CUDA event: nothing is ever pending."""

    def record(self) -> None: ...

    def synchronize(self) -> None: ...


def set_strict(mode: str) -> None:
    """`torch.cuda.set_sync_debug_mode`."""
    global strict  # noqa: PLW0603
    strict = mode == "error"


def engaged(backward: Callable[..., None]) -> Callable[..., None]:
    """A backward pass at whose beginning the driver says that there are devices."""

    def run(self: Tensor, *args: Any, **kwargs: Any) -> None:
        hook = self.register_hook(lambda _: DRIVEN.pretend(0)) if self.requires_grad else None
        DRIVEN.pretend(1)
        try:
            backward(self, *args, **kwargs)
        finally:
            DRIVEN.pretend(0)
            if hook is not None:
                hook.remove()

    return run


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Have one GPU, which `device=auto` finds."""
    generator = torch.Generator()

    def nothing(*_: Any, **__: Any) -> int:
        return 0

    device = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": nothing,
        "get_device_name": lambda *_: "none",
        "is_bf16_supported": lambda *_, **__: True,
        "mem_get_info": lambda *_: (2**36, 2**36),
        "max_memory_allocated": nothing,
        "max_memory_reserved": nothing,
        "reset_peak_memory_stats": nothing,
        "empty_cache": nothing,
        "synchronize": nothing,
        "default_generators": (generator,),
        "get_rng_state": lambda *_: generator.get_state(),
        "set_rng_state": lambda state, *_: generator.set_state(state),
        "set_sync_debug_mode": set_strict,
        "Event": Event,
        "_lazy_init": nothing,
    }
    torch._C._set_only_lift_cpu_tensors(True)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with (
            patch.multiple(torch.cuda, **device),
            patch.multiple(Tensor, backward=engaged(Tensor.backward), pin_memory=lambda self: self),
            patch.object(torch.accelerator, "synchronize", nothing),
            torch.backends.cudnn.flags(enabled=False),
            patch.object(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
            Factories(),
        ):
            yield
    finally:
        set_strict("default")
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(False)


@pytest.fixture(autouse=True)
def on_fake_gpu() -> Iterator[None]:
    """As a plugin, `pytest -p fake_gpu`: each test has it."""
    with fake_gpu():
        yield
