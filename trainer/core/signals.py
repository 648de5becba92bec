"""SIGTERM and SIGINT set a flag that is read at each step's end. A second SIGINT acts at once."""

import os
import signal
import threading
from types import FrameType

from trainer.core.errors import Interrupted


class Signals:
    """Holds the two signals while a run is on; does nothing outside the main thread."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.previous: dict[int, object] = {}

    def agreed_signal(self) -> int | None:
        """The signal that ends the run, None while it goes on.

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
        """Remember the signal; the second SIGINT ends the process with what is on the disk."""
        if number == signal.SIGINT and self.received == signal.SIGINT:
            os._exit(128 + number)
        self.received = number

    def check(self) -> None:
        """Raise Interrupted if a signal has arrived."""
        number = self.agreed_signal()
        if number is not None:
            raise Interrupted(number)
