"""The tensors of a checkpoint: untrusted data, whose memory is checked before they are used.

A kernel trusts a tensor's sizes and strides, and a file can claim any: a million elements in four
bytes (stride 0), or two tensors in the same bytes, so that writing to one corrupts the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainer.core.errors import ForeignError

DEEPEST = 20  # levels of nesting
Place = tuple[int, int | torch.SymInt, tuple[int, ...], tuple[int, ...], torch.dtype]


class OwnTensors:
    """Gives every tensor of a state its own dense memory, copying where necessary.

    A tensor saved under two names, as tied weights are, stays one tensor. Raises ForeignError,
    naming the entry, for a tensor that is not an ordinary one on the CPU, that claims more elements
    than its memory holds, or that overlaps another.
    """

    def __init__(self) -> None:
        self.copies: dict[Place, Tensor] = {}
        self.bytes: dict[int, int] = {}  # copied from each storage

    def __call__(self, value: Any, name: str, depth: int = 0) -> Any:
        """Return a nested state with its tensors replaced; `name` is its path, for messages."""
        if depth > DEEPEST:
            raise ForeignError(f"{name} is nested more than {DEEPEST} levels deep")
        if isinstance(value, Tensor):
            return self.own(value, name)
        if isinstance(value, dict):
            return {k: self(v, f"{name}.{k}", depth + 1) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self(v, f"{name}[{i}]", depth + 1) for i, v in enumerate(value))
        return value

    def own(self, value: Tensor, name: str) -> Tensor:
        """Return the tensor if it owns all of its storage, otherwise a copy."""
        ordinary = type(value) in (Tensor, torch.nn.Parameter) and value.device.type == "cpu"
        if not ordinary or value.layout != torch.strided or value.is_quantized:
            raise ForeignError(f"{name} is not an ordinary tensor: {type(value).__name__}")
        storage = value.untyped_storage()
        place = storage.data_ptr(), value.storage_offset(), *layout(value)
        if place not in self.copies:
            begin = storage.data_ptr()
            self.bytes[begin] = self.bytes.get(begin, 0) + value.nbytes
            if self.bytes[begin] > storage.nbytes():
                raise ForeignError(f"{name} claims more elements than it has memory")
            whole = value.is_contiguous() and value.nbytes == storage.nbytes()
            self.copies[place] = value.detach() if whole else value.detach().clone()
        return self.copies[place]


def layout(value: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], torch.dtype]:
    """Return a tensor's shape, strides and dtype."""
    return tuple(value.shape), tuple(value.stride()), value.dtype
