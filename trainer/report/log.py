"""The metrics of a run, in metrics.jsonl and TensorBoard. A failed write never stops the run."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainer.report.strict_json import dumps
from trainer.report.tensorboard import EventStream


class Log:
    """Writes metrics by split and step to metrics.jsonl and to the event stream.

    A resumed run passes the step `resumed_at` of its checkpoint. Nothing is cut off or written
    until its state is loaded, so that a checkpoint that does not fit costs no line. When a file
    cannot be written, `warn` is called once and the run goes on without it.
    """

    def __init__(
        self,
        folder: Path,
        warn: Callable[[str], None],
        *,
        resumed_at: int | None = None,
    ) -> None:
        self.warn = warn
        self.resumed_at = resumed_at
        self.begun = False
        self.broken: set[str] = set()
        self.events = folder / "tensorboard"
        self.file = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self.stream: EventStream | None = None
        if resumed_at is None:  # a run killed before its first checkpoint may have left some
            shutil.rmtree(self.events, ignore_errors=True)
            self.begin(0)

    def begin(self, offset: int) -> None:
        """Cut metrics.jsonl to its first `offset` bytes, and begin an event file."""
        self.begun = True
        self.file.truncate(min(offset, self.file.tell()))
        self.file.seek(0, os.SEEK_END)
        self.attempt("tensorboard", self.open_stream)

    def open_stream(self) -> None:
        """Begin an event file."""
        self.stream = EventStream(self.events, resumed_at=self.resumed_at)

    def state_dict(self) -> int:
        """Return the bytes of metrics.jsonl so far, to which a resumed run truncates it."""
        return self.file.tell()

    def load_state_dict(self, offset: int) -> None:
        """Cut off the lines beyond `offset` bytes, of steps that a resumed run repeats.

        A run that goes back to an earlier step later on keeps its lines.
        """
        if offset < 0:
            raise ValueError(f"{offset} bytes of metrics.jsonl")
        if not self.begun:
            self.begin(offset)

    def metrics(
        self,
        split: str,
        *,
        epoch: int,
        step: int,
        values: Mapping[str, float],
        extra: Mapping[str, float] | None = None,
    ) -> None:
        """Log an event: a line of JSON, and a scalar `<split>/<name>` per value.

        The scalars of `extra`, which are rates and costs, are tagged `work/<name>`: TensorBoard
        sorts by name, and they come last.
        """
        extra = extra or {}
        line = {"split": split, "epoch": epoch, "step": step, **extra, **values}
        self.attempt("metrics.jsonl", self.write_line, line)
        scalars = {f"{split}/{name}": value for name, value in values.items()}
        scalars |= {f"work/{name}": value for name, value in extra.items()}
        self.show("scalars", scalars, step)

    def write_line(self, line: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        self.file.write(dumps(line) + "\n")
        self.file.flush()

    def show(self, method: str, *arguments: Any, **options: Any) -> None:
        """Call an event stream's `method`: scalars, image, histogram, text or hparams."""
        if self.stream is not None:
            self.attempt("tensorboard", getattr(self.stream, method), *arguments, **options)

    def attempt(
        self, target: str, write: Callable[..., None], *arguments: Any, **options: Any
    ) -> None:
        """Call `write`; after an OSError warn once and write nothing more to that target."""
        if target in self.broken:
            return
        try:
            write(*arguments, **options)
        except OSError as error:
            self.broken.add(target)
            self.warn(f"no longer writing {target}: {error}")

    def close(self) -> None:
        """Close metrics.jsonl and the event stream."""
        self.attempt("metrics.jsonl", self.file.close)
        if self.stream is not None:
            self.attempt("tensorboard", self.stream.close)
