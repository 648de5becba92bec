"""The program in forks of this process, which has imported torch.

Each saves about 3 s of processor time over `python -m trainer`. What a fork inherits, it keeps: the
test's patches and the warnings that are errors.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from trainer.__main__ import main
from trainer.sweep.pool import warm_up


class Fork:
    """A command line that runs in a folder; stdout and stderr are pipes unless they are given."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        out: int | None = None,
        err: int | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        """Start it; `before` is called in the fork, to limit or patch what runs."""
        warm_up()
        pipes = [os.pipe() for _ in range(2)]
        self.reading = [reading for reading, _ in pipes]
        ends = [end or writing for end, (_, writing) in zip((out, err), pipes, strict=True)]
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            run(folder, arguments, ends, before)
        for _, writing in pipes:
            os.close(writing)

    def running(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is None

    def done(self) -> tuple[int, bytes, bytes]:
        """Exit code, stdout, stderr."""
        err, out = (self.rest(reading) for reading in reversed(self.reading))
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code, out, err

    @staticmethod
    def rest(reading: int) -> bytes:
        with os.fdopen(reading, "rb") as file:
            return file.read()


def run(
    folder: Path, arguments: tuple[str, ...], ends: list[int], before: Callable[[], object]
) -> None:
    """Run the command line as `python -m trainer` would, and exit."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        for number, end in enumerate(ends, start=1):
            os.dup2(end, number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        encoding = os.environ.get("PYTHONIOENCODING")
        sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding=encoding)
        sys.stderr = sys.__stderr__ = os.fdopen(2, "w", encoding=encoding, buffering=1)
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        sys.argv = ["trainer", *arguments]
        before()
        main()
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
