"""When checkpoints are written, and which stay."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trainer.core.duration import Every
from trainer.core.metric import Mode, better, direction
from trainer.storage import checkpoint
from trainer.storage.run_folder import RunFolder


@dataclass
class Checkpointer:
    """Keeps the newest checkpoints and the best one."""

    folder: RunFolder
    config: dict[str, Any]
    every: Every
    keep: int
    monitor: str
    writes: bool = True  # one of several processes does
    mode: Mode | None = None  # None: as the metric's name says
    best: float | None = None
    best_step: int | None = None
    saved_step: int | None = None  # of the last checkpoint, while nothing has happened since

    def improved(self, metrics: dict[str, float], step: int) -> bool:
        """Whether the monitored metric is the best so far; remembers it."""
        if self.monitor not in metrics:
            known = ", ".join(metrics)
            raise ValueError(f"checkpoint.monitor={self.monitor} is none of: {known}")
        mode = self.mode or direction(self.monitor)
        if not better(metrics[self.monitor], self.best, mode):
            return False
        self.best, self.best_step = metrics[self.monitor], step
        return True

    def save(self, step: int, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint, then remove those that are too many."""
        if self.writes:
            checkpoint.save(self.folder.checkpoints, step, weights, state, self.config)
            protected = set() if self.best_step is None else {self.best_step}
            checkpoint.prune(self.folder.checkpoints, self.keep, protected)
        self.saved_step = step

    def state_dict(self) -> dict[str, Any]:
        """The best metric and its step."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take both back."""
        self.best, self.best_step = state["best"], state["best_step"]
