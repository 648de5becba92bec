"""BatchNorm cannot train on a single value per channel, which one row gives it on 1×1 maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.core.batch import blank
from trainer.core.errors import ConfigError

if TYPE_CHECKING:
    from trainer.training.planner import Planner

SIGN = "Expected more than 1 value per channel"  # in torch's error


def explained(error: ValueError, reason: str) -> Exception:
    """An error of a forward pass, or if it is BatchNorm's of a single row, one with the reason."""
    if SIGN not in str(error):
        return error
    return ConfigError(f"BatchNorm cannot train on a single row, {reason}")


@contextmanager
def single_rows_explained(reason: str) -> Iterator[None]:
    """Raise ConfigError with the reason where BatchNorm is given a single value per channel."""
    try:
        yield
    except ValueError as error:
        raise explained(error, reason) from error


def reason_for(rows: int, selected: int, accumulate: int, step: int) -> str:
    """Why a step trains on a single row, and what to do: of `rows`, the miner has `selected`."""
    if rows == 1:
        return f"which is the whole batch of step {step}; raise batch_size"
    if selected == 1:
        return (
            f"which mining leaves of {rows} at step {step}; raise mining.keep or batch_size, "
            "or take mining=none"
        )
    return (
        f"which accumulate={accumulate} leaves of a batch of {selected} at step {step}; "
        "lower accumulate or raise batch_size"
    )


def chunk_sizes(rows: int, accumulate: int) -> list[int]:
    """The rows of each chunk of a batch: see Batch.chunks."""
    size = -(-rows // accumulate)
    return [min(size, rows - start) for start in range(0, rows, size)]


def check_single_rows(
    model: nn.Module,
    shape: tuple[int, ...],
    planner: Planner,
    *,
    most: int | None,
    accumulate: int,
    device: torch.device,
) -> None:
    """Raise ConfigError, before training, where a step of the first epoch has a single row.

    Models without BatchNorm on 1×1 maps take one. `most` steps are trained, `shape` is an input's.
    """
    norms = (m for m in model.modules() if isinstance(m, _BatchNorm))
    if not any(norm.training for norm in norms):
        return
    sizes = planner.whole(0).bounds.diff().tolist()[:most]
    single = next((i for i, n in enumerate(sizes) if 1 in chunk_sizes(n, accumulate)), None)
    if single is not None:
        rows = sizes[single]
        with single_rows_explained(reason_for(rows, rows, accumulate, single)):
            try_one_row(model, shape, device)


@torch.no_grad()
def try_one_row(model: nn.Module, shape: tuple[int, ...], device: torch.device) -> None:
    """Run a model on one row as it trains, and restore its buffers."""
    before = [buffer.clone() for buffer in model.buffers()]
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            model(blank(shape, device))
    finally:
        for buffer, value in zip(model.buffers(), before, strict=True):
            buffer.copy_(value)
