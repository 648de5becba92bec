"""Decides when checkpoints are written and which ones are kept."""

from dataclasses import dataclass
from typing import Any

from trainer.core.duration import Every
from trainer.core.metric import Mode, better, direction
from trainer.core.state import optional
from trainer.storage import checkpoint
from trainer.storage.run_folder import RunFolder
from trainer.storage.trained_on import TrainedOn

MODEL = "model"  # the part of the state that has a file of its own


@dataclass
class Checkpointer:
    """Keeps the newest checkpoints and the best one."""

    folder: RunFolder
    config: dict[str, Any]
    every: Every
    keep: int
    monitor: str
    writes: bool = True  # with several processes, only rank 0 does
    mode: Mode | None = None  # None: inferred from the metric's name
    trained_on: TrainedOn | None = None  # what the model is trained on, written beside the weights
    best: float | None = None
    best_step: int | None = None
    saved: bool = False  # whether the state in memory is that of a checkpoint

    def improved(self, metrics: dict[str, float], step: int) -> bool:
        """Return whether the monitored metric is the best so far, and if so record it.

        Raises ValueError if `metrics` lacks the monitored one.
        """
        if self.monitor not in metrics:
            known = ", ".join(metrics)
            raise ValueError(f"checkpoint.monitor={self.monitor} is none of: {known}")
        mode = self.mode or direction(self.monitor)
        if not better(metrics[self.monitor], self.best, mode):
            return False
        self.best, self.best_step = metrics[self.monitor], step
        return True

    def mark(self, *, saved: bool) -> None:
        """Record whether the state in memory is that of a checkpoint, and so need not be saved."""
        self.saved = saved

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write a checkpoint, then delete the oldest beyond `keep`; the best one always stays."""
        if self.writes:
            weights, rest = state[MODEL], {k: v for k, v in state.items() if k != MODEL}
            data = None if self.trained_on is None else self.trained_on.record()
            checkpoint.save(self.folder.checkpoints, step, weights, rest, self.config, data)
            protected = {step} if self.best_step is None else {step, self.best_step}
            checkpoint.prune(self.folder.checkpoints, self.keep, protected)
        self.saved = True

    def state_dict(self) -> dict[str, Any]:
        """Return the best metric and the step that reached it."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best metric and its step. Raises ValueError where the state does not fit."""
        self.best = optional(float, state["best"], "best")
        self.best_step = optional(int, state["best_step"], "best_step")
