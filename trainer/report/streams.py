"""stdout and stderr that a program outlives: a closed pipe, a full disk, a lost terminal."""

import io
import os
import sys
from typing import TextIO

RAW = io.FileIO
losses: list[str] = []  # what has not been reported yet


class LenientFile(io.FileIO):
    """A file that discards what it cannot write, from the first error on."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.title = name

    def write(self, data: object) -> int:  # pyright: ignore
        """Write the bytes; the number of them."""
        try:
            return super().write(data)  # pyright: ignore
        except OSError as error:
            losses.append(f"{self.title} cannot be written ({error.strerror})")
            discard(self.fileno())
            return memoryview(data).nbytes  # pyright: ignore


def discard(descriptor: int) -> None:
    """Let a file descriptor lead nowhere, for C libraries and child processes too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def lenient(descriptor: int, name: str, like: TextIO | None = None) -> TextIO:
    """A text stream on a descriptor; characters that its encoding lacks are replaced."""
    errors = getattr(like, "errors", "strict")
    file, unbuffered = LenientFile(descriptor, name), isinstance(getattr(like, "buffer", None), RAW)
    return io.TextIOWrapper(
        file if unbuffered else io.BufferedWriter(file),  # pyright: ignore
        encoding=getattr(like, "encoding", "utf-8"),
        errors="replace" if errors == "strict" else errors,
        line_buffering=getattr(like, "line_buffering", True),
        write_through=unbuffered,
    )


def make_lenient() -> None:
    """Make stdout and stderr lenient, where they are Python's own."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        buffer = getattr(stream, "buffer", None)
        if stream is getattr(sys, f"__{name}__") and isinstance(
            getattr(buffer, "raw", buffer), RAW
        ):
            setattr(sys, name, lenient(descriptor, name, stream))


def take_losses() -> list[str]:
    """What has been lost since the last call."""
    taken, losses[:] = losses[:], []
    return taken
