"""Train steps that leave no trace: what they change is put back to the last bit."""

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
    """Weights, buffers, averages and the state of every part as they are now, however it ends.

    No checkpoint is written meanwhile. The copy is kept in the host's memory, not on the device.
    """
    average = fit.step.average
    fit.saver.saved_step = fit.progress.step  # a signal during a scan has nothing to save
    parts = {name: part.state_dict() for name, part in fit.stateful().items()}
    before = packed((average.weights(), average.state_dict(), parts))
    try:
        yield
    finally:
        forget(fit)
        fit.freeze(math.inf)
        weights, averaged, parts = unpacked(before)
        average.load(weights, averaged)
        for name, part in fit.stateful().items():
            part.load_state_dict(parts[name])


def forget(fit: Fit) -> None:
    """Let go of gradients, and of the outputs that wait to become metrics."""
    fit.step.guard.optimizer.zero_grad()
    fit.step.meter.pending, fit.step.meter.held = [], 0


def packed(state: Any) -> bytes:
    """A state as bytes, which share no memory with it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpacked(state: bytes) -> Any:
    """The state, on the CPU."""
    return torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
