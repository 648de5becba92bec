"""Errors a person can act on: one line each, and the exit code that goes with it."""

import sys


class TrainerError(Exception):
    """Base of all errors that end a run with one line on stderr."""

    exit_code = 1


class ConfigError(TrainerError):
    """A setting is wrong: names the setting, the value and what to do."""

    exit_code = 2


class DataError(TrainerError):
    """The data set is absent, empty or damaged."""

    exit_code = 3


class NonFiniteError(TrainerError):
    """A loss or a gradient became NaN or infinite.

    `step` is given where only that is known: on a GPU it is found later.
    """

    exit_code = 4

    def __init__(self, text: str, step: int | None = None) -> None:
        super().__init__(text)
        self.step = step


class CheckpointError(TrainerError):
    """No checkpoint that verifies, or one that does not fit."""

    exit_code = 5


class DiskError(TrainerError):
    """The disk is full or cannot be written."""

    exit_code = 6


class BusyError(TrainerError):
    """Another process works in this run folder."""

    exit_code = 7


class OutOfMemoryError(TrainerError):
    """The device has too little memory for the batch."""

    exit_code = 8


class Interrupted(TrainerError):  # noqa: N818  (an interruption is not a fault)
    """A signal stopped the run after its state was saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}; go on with resume=auto")
        self.exit_code = 128 + signal_number


def nearest(word: str, known: list[str]) -> str:
    """' Did you mean X?' for the nearest known spelling, or an empty string."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def complain(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(" ".join(text.split()) + "\n")
