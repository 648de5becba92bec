"""Checks the state in a checkpoint, which is untrusted data, before a part of a run loads it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LARGEST = 2**63 - 1  # of a count


def match(expected: Any, given: Any, name: str = "") -> Any:
    """Return `given` if it has the layout of `expected`; otherwise raise ValueError with its name.

    Mappings need the same keys, lists the same length, tensors the same shape and dtype, and other
    values the same type (an integer passes as a float). A tensor with other strides is copied into
    the expected ones: an optimizer's fused kernels address memory directly.
    """
    if isinstance(expected, Tensor):
        return match_tensor(expected, given, name)
    if isinstance(expected, dict):
        if not isinstance(given, dict) or set(given) != set(expected):
            raise ValueError(f"{name or 'the state'} has {listed(given)}, not {listed(expected)}")
        return {key: match(expected[key], given[key], dotted(name, key)) for key in expected}
    if isinstance(expected, (list, tuple)):
        if not isinstance(given, (list, tuple)) or len(given) != len(expected):
            raise ValueError(f"{name} is not a list of {len(expected)}")
        items = zip(expected, given, strict=True)
        return type(expected)(match(a, b, f"{name}[{i}]") for i, (a, b) in enumerate(items))
    return match_type(type(expected), given, name)


def match_tensor(expected: Tensor, given: Any, name: str) -> Tensor:
    """Return a tensor of the shape, dtype and strides of another. Raises ValueError."""
    if not isinstance(given, Tensor):
        raise ValueError(f"{name} is not a tensor: {type(given).__name__}")
    if given.shape != expected.shape or given.dtype != expected.dtype:
        raise ValueError(f"{name} is {described(given)}, not {described(expected)}")
    if given.stride() == expected.stride() or expected.layout != torch.strided:
        return given
    return torch.empty_strided(expected.shape, expected.stride(), dtype=given.dtype).copy_(given)


def match_type(kind: type, given: Any, name: str) -> Any:
    """Return a value of a plain type; an integer passes as a float. Raises ValueError."""
    if kind is float and type(given) is int and abs(given) <= LARGEST:
        return float(given)
    if type(given) is not kind:
        raise ValueError(f"{name} is {given!r:.80}, not of type {kind.__name__}")
    return given


def optional(kind: type, given: Any, name: str) -> Any:
    """Return a value of a plain type, or None as it is. Raises ValueError."""
    return None if given is None else match_type(kind, given, name)


def row_ids(given: Any, number: int | None, name: str) -> Tensor:
    """Return dataset ids [k] if they are int64 from 0 to `number` − 1. Raises ValueError."""
    if not isinstance(given, Tensor) or given.dtype != torch.int64 or given.ndim != 1:
        raise ValueError(f"{name} is not a list of ids")
    largest = 2**63 - 1 if number is None else number - 1
    if len(given) and not 0 <= int(given.min()) <= int(given.max()) <= largest:
        raise ValueError(f"{name} has ids that are not from 0 to {largest}")
    return given


def described(value: Tensor) -> str:
    """Describe dtype and shape: `float32 [3, 4]`."""
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def listed(value: Any) -> str:
    """List the first ten keys of a mapping; show any other value itself."""
    if not isinstance(value, dict):
        return f"{value!r:.80}"
    keys = ", ".join(map(str, list(value)[:10]))
    return f"{keys[:200]}{', ...' if len(value) > 10 else ''}" or "nothing"


def dotted(name: str, key: object) -> str:
    """Join a mapping's name and one of its keys: `optimizer.state`."""
    return f"{name}.{key}" if name else str(key)
