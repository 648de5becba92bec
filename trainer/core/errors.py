"""Errors that a user can act on: one line each, and an exit code for each kind."""

import shutil
import sys
from pathlib import Path

from trainer.core.text import plain, wrapped


class TrainerError(Exception):
    """Base of the errors that end a run with one line on stderr."""

    exit_code = 1


class ConfigError(TrainerError):
    """A setting is wrong: the message names it, its value and what to do."""

    exit_code = 2


class DataError(TrainerError):
    """The data set is missing, empty or damaged."""

    exit_code = 3


class NonFiniteError(TrainerError):
    """A loss or a gradient became NaN or infinite.

    `step` is set if the message lacks the step: on a GPU the value is noticed some steps late.
    """

    exit_code = 4

    def __init__(self, text: str, step: int | None = None) -> None:
        super().__init__(text)
        self.step = step


class DivergedError(NonFiniteError):
    """Weights, or what they give, are not finite after a step that was taken: nothing to save."""


class CheckpointError(TrainerError):
    """No intact checkpoint, or one that does not fit the model."""

    exit_code = 5


class ForeignError(CheckpointError):
    """A checkpoint that matches its manifest, but that no run of ours has written."""


class DiskError(TrainerError):
    """The disk is full or not writable."""

    exit_code = 6


class BusyError(TrainerError):
    """Another process is using the run folder."""

    exit_code = 7


class OutOfMemoryError(TrainerError):
    """The batch does not fit into the device's memory."""

    exit_code = 8


class Interrupted(KeyboardInterrupt):
    """A signal stopped the run; what had to be saved is saved.

    It is no Exception: code that goes on after any error must not go on after this one.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


def disk_error(error: OSError, path: Path) -> DiskError:
    """A DiskError that names the error's file; `path` where it knows none, as in a write."""
    reason = error.strerror or str(error) or type(error).__name__
    return DiskError(f"{error.filename or path} cannot be read or written: {reason}")


def complain(text: str) -> None:
    """Write a text to stderr as one line; a terminal has it wrapped between words."""
    line = plain(" ".join(text.split()))
    if sys.stderr.isatty():
        line = wrapped(line, shutil.get_terminal_size().columns)
    sys.stderr.write(line + "\n")
