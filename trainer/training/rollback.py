"""Train steps that leave no trace: everything they change is restored to the last bit."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from trainer.training.fit import Fit


@contextmanager
def rolled_back(fit: Fit) -> Iterator[None]:
    """Restore weights, buffers, averages and the state of every part on exit, however it ends.

    No checkpoint is written meanwhile. The copy is kept in host memory, not on the device.
    """
    fit.checkpointer.saved_step = fit.progress.step  # a signal during a scan has nothing to save
    before = packed((fit.average.weights(), fit.state()))
    try:
        yield
    finally:
        forget(fit)
        fit.freeze(math.inf)
        weights, state = unpacked(before)
        fit.load(weights, state)


def forget(fit: Fit) -> None:
    """Drop the gradients, and the outputs that wait to become metrics."""
    fit.optimizer.zero_grad()
    fit.meter.drop_pending()


def packed(state: Any) -> bytes:
    """Serialise a state: the bytes share no memory with it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpacked(state: bytes) -> Any:
    """Read a serialised state back, onto the CPU."""
    return torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
