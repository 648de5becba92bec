"""SIGTERM and SIGINT set a flag that is checked after each step. A second SIGINT exits at once."""

import os
import signal
import threading
from types import FrameType

from trainer.core.errors import Interrupted


class Signals:
    """Context manager that handles both signals during a run; a no-op outside the main thread."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.previous: dict[int, object] = {}

    def agreed_signal(self) -> int | None:
        """Return the signal that ends the run, None if there is none yet.

        With several processes this is a collective: all must call it at the same step.
        """
        return self.received

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.previous[number] = signal.signal(number, self.receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)  # pyright: ignore

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal; a second SIGINT exits without saving anything."""
        if number == signal.SIGINT and self.received == signal.SIGINT:
            os._exit(128 + number)
        self.received = number

    def raise_if_stopped(self) -> None:
        """Raise Interrupted if a signal has arrived."""
        number = self.agreed_signal()
        if number is not None:
            raise Interrupted(number)
