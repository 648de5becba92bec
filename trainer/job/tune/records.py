"""What becomes of the trials of a search: their folders, their table, and results that repeat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.report.csv_file import write_csv

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial


def write_trials(path: Path, space: Sequence[str], trials: Sequence[FrozenTrial]) -> None:
    """Write a row per trial, with a column for each setting of the space."""
    head = ["trial", "state", "value", "validations", "seconds", *space, "error"]
    rows = []
    for trial in trials:
        drawn = dict(s.partition("=")[::2] for s in trial.user_attrs.get("settings", ()))
        values = [drawn.get(name, "") for name in space]
        seconds = f"{trial.duration.total_seconds():.1f}" if trial.duration else ""
        validations = len(trial.intermediate_values)
        error = trial.user_attrs.get("error", "")
        rows.append(
            [trial.number, state_of(trial), trial.value, validations, seconds, *values, error]
        )
    write_csv(path, [head, *rows])


def folder_of(folder: Path, number: int) -> Path:
    """Return the run folder of a trial."""
    return folder / f"trial-{number:03}"


def state_of(trial: FrozenTrial) -> str:
    """Name the state of a trial: finished, failed, pruned or running."""
    names = {"COMPLETE": "finished", "FAIL": "failed"}
    return names.get(trial.state.name, trial.state.name.lower())


def repeated(earlier: Sequence[FrozenTrial], settings: list[str]) -> FrozenTrial | None:
    """Return the first earlier trial with the same settings that trained without an error."""
    done = (trial for trial in earlier if state_of(trial) in ("finished", "pruned"))
    return next((t for t in done if t.user_attrs.get("settings") == settings), None)


def repeat(study: Study, trial: Trial, same: FrozenTrial) -> None:
    """Report the result of an earlier trial: training is deterministic, so it would be the same."""
    trial.set_user_attr("repeats", same.user_attrs.get("repeats", same.number))
    for step, value in same.intermediate_values.items():
        trial.report(value, step)
    study.tell(trial, same.value if state_of(same) == "finished" else None, state=same.state)
