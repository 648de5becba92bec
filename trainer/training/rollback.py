"""Trial training steps whose every effect is undone, bit for bit."""

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
    """Restore weights, buffers, averages and the state of every part on exit, even after an error.

    No checkpoint is written meanwhile. The copy stays in host memory, not on the device.
    """
    fit.checkpointer.mark(saved=True)  # a signal during a scan then saves nothing
    before = packed(fit.state())
    try:
        yield
    finally:
        forget(fit)
        fit.freeze(math.inf)
        fit.load(unpacked(before), keep_settings=False)


def forget(fit: Fit) -> None:
    """Drop the gradients and the outputs not yet reduced to metrics."""
    fit.optimizer.zero_grad()
    fit.meter.drop_pending()


def packed(state: Any) -> bytes:
    """Serialise a state into bytes, which share no memory with it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpacked(state: bytes) -> Any:
    """Deserialise a state onto the CPU."""
    return torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
