"""The metrics of a run, in metrics.jsonl and TensorBoard. A failed write never stops the run."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainer.report.strict_json import dumps
from trainer.report.tensorboard import EventStream


class Log:
    """Writes metrics by split and step to metrics.jsonl and to the event stream.

    A resumed run passes the step `resumed_at` and the `offset` at which its checkpoint was saved:
    lines beyond that many bytes are of steps that will be repeated, and are cut off. When a file
    cannot be written, `warn` is called once and the run goes on without it.
    """

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
        self.file = path.open("a", encoding="utf-8")
        self.file.truncate(min(offset, path.stat().st_size))
        if resumed_at is None:  # a run killed before its first checkpoint may have left some
            shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        self.stream: EventStream | None = None
        self.attempt("tensorboard", self.open_stream, folder / "tensorboard", resumed_at)

    def open_stream(self, folder: Path, resumed_at: int | None) -> None:
        """Begin an event file."""
        self.stream = EventStream(folder, resumed_at=resumed_at)

    def state_dict(self) -> int:
        """Return the bytes of metrics.jsonl so far, to which a resumed run truncates it."""
        return self.file.tell()

    def load_state_dict(self, offset: int) -> None:
        """Do nothing: the file was truncated to `offset` when it was opened."""

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
