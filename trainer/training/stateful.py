"""The parts of a run whose state is saved in checkpoints."""

from collections.abc import Callable
from typing import Any, Protocol

from trainer.core.state import match


class Stateful(Protocol):
    """A part of a run whose state is saved in checkpoints."""

    def state_dict(self) -> Any:
        """Return the state as tensors, numbers and plain containers."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Restore the state returned by `state_dict`."""


class Checked:
    """A part of torch's making, whose state must have the layout of its own to be loaded.

    `read` returns the state to save, if it is not the part's own.
    """

    def __init__(self, part: Stateful, read: Callable[[], Any] | None = None) -> None:
        self.part = part
        self.state_dict = read or part.state_dict

    def load_state_dict(self, state: Any) -> None:
        """Restore the part's state. Raises ValueError where it does not fit."""
        self.part.load_state_dict(match(self.state_dict(), state))
