"""What a part of gpu_check.py is given, and how it runs the trainer."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIGNALLED = 128  # exit codes of a run that a signal has stopped are above


@dataclass
class Context:
    """What a part is given."""

    found: Path
    device: str  # cuda or stand-in
    named: str  # to torch
    end: float
    mnist: Path
    cifar10: Path
    folder: Path  # its own
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def real(self) -> bool:
        """Whether there is a GPU."""
        return self.device == "cuda"

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.end - time.monotonic()

    def say(self, verdict: str, *, ok: bool = True, partial: bool = False, **figures: Any) -> None:
        """Write what is known; `partial` if it stands on its own should the part be stopped."""
        about = {"card": card() if self.real else "no GPU, the tests' stand-in"}
        self.said = {"ok": ok, "verdict": verdict, "partial": partial, "figures": figures}
        unfinished = self.found.with_suffix(".unfinished")
        unfinished.write_text(json.dumps({**self.said, "about": about}), encoding="utf-8")
        unfinished.replace(self.found)

    def fail(self, error: Exception) -> None:
        """Write that the part has failed, after what it has found until then."""
        before = f"{self.said['verdict']}; then " if self.said else ""
        line = (str(error).splitlines() or [""])[0]
        figures = self.said.get("figures", {})
        self.say(f"{before}{type(error).__name__}: {line}", ok=False, **figures)


def card() -> str:
    """Name the GPU, its memory and torch's CUDA."""
    import torch

    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.cuda.get_device_name(0)} ({memory:.0f} GiB), CUDA {torch.version.cuda}"


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    """Run a job in this process and return its result. Raises RuntimeError if it fails."""
    from support import CONF, config_of, execute, read_json  # pyright: ignore

    chosen = ["quiet=true", *overrides]
    if code := execute(config_of(*chosen), folder, chosen, [str(CONF)]):
        if code > SIGNALLED:
            raise SystemExit(code)
        raise RuntimeError(f"exit code {code}: {' '.join(overrides)}")
    return read_json(folder / "result.json")
