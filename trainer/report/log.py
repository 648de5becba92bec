"""What a run logs: metrics.jsonl and TensorBoard. A log that cannot be written stops no run."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainer.report.tensorboard import EventStream


class Log:
    """Metrics by split and step, to the file and to the event stream."""

    def __init__(
        self,
        folder: Path,
        warn: Callable[[str], None],
        *,
        resumed_at: int | None = None,
        offset: int = 0,
    ) -> None:
        self.warn = warn
        self.broken: set[str] = set()
        path = folder / "metrics.jsonl"
        self.file = path.open("a")
        self.file.truncate(min(offset, path.stat().st_size))  # steps that will be taken again
        if resumed_at is None:  # of a run that was killed before its first checkpoint
            shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        self.stream = EventStream(folder / "tensorboard", resumed_at=resumed_at)

    def state_dict(self) -> int:
        """Bytes of metrics.jsonl so far: a resumed run cuts it off there."""
        return self.file.tell()

    def load_state_dict(self, offset: int) -> None:
        """The file was cut off when it was opened, before the first line of the resumed run."""

    def metrics(
        self,
        split: str,
        *,
        epoch: int,
        step: int,
        values: Mapping[str, float],
        extra: Mapping[str, float] | None = None,
    ) -> None:
        """One event: a line, and a scalar `<split>/<name>` for each value.

        `extra` values have tags of their own.
        """
        extra = extra or {}
        line = {"split": split, "epoch": epoch, "step": step, **extra, **values}
        self.attempt("metrics.jsonl", self.write_line, line)
        scalars = {f"{split}/{name}": value for name, value in values.items()} | dict(extra)
        self.show("scalars", scalars, step)

    def write_line(self, line: dict[str, Any]) -> None:
        """Append to metrics.jsonl; what is not finite becomes null."""
        finite = {
            k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()
        }
        self.file.write(json.dumps(finite) + "\n")
        self.file.flush()

    def show(self, kind: str, *arguments: Any, **options: Any) -> None:
        """Call a method of the event stream by name."""
        self.attempt("tensorboard", getattr(self.stream, kind), *arguments, **options)

    def attempt(
        self, what: str, call: Callable[..., None], *arguments: Any, **options: Any
    ) -> None:
        """Call, and after a failure to write warn once and go without."""
        if what in self.broken:
            return
        try:
            call(*arguments, **options)
        except OSError as error:
            self.broken.add(what)
            self.warn(f"{what} is no longer written: {error}")

    def close(self) -> None:
        """Close both."""
        self.attempt("metrics.jsonl", self.file.close)
        self.attempt("tensorboard", self.stream.close)
