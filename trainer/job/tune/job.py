"""Search for the best settings with Optuna (Akiba et al. 2019): each trial is a training run."""

from __future__ import annotations

import importlib.util
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from trainer.core.errors import CheckpointError, ConfigError, TrainerError
from trainer.core.extra import missing
from trainer.core.metric import direction
from trainer.core.ranges import within
from trainer.core.text import count
from trainer.job.base import Job
from trainer.job.tune.records import folder_of, repeat, repeated, state_of, write_trials
from trainer.job.tune.space import Choice, Space, list_leaves, owner_of, space_of
from trainer.job.tune.study import (
    JOURNAL,
    UNREADABLE,
    Direction,
    check_trials,
    database_errors,
    open_study,
    saved_line,
)
from trainer.job.tune.trial import PruningStopper
from trainer.job.tune.workers import Workers

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from trainer.core.signals import Signals
    from trainer.early_stopping import EarlyStopping
    from trainer.early_stopping.base import WrapStopping
    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder


class TrialRunner(Protocol):
    """Trains with the command line of the search and the settings of a trial."""

    line: list[str]  # overrides of the search's command line
    continues: bool  # whether `resume=FOLDER` alone names the search

    def take_over(self, line: list[str], path: Path) -> None:
        """Train with the overrides that the file `path` has saved. Raises CheckpointError."""
        ...

    def having(self, settings: Sequence[str], names: Sequence[str]) -> list[str]:
        """List those of the names that are settings of a run with these settings."""
        ...

    def metrics(self, settings: Sequence[str], folder: Path) -> list[str]:
        """List the metrics of a run with these settings. Raises ConfigError if they are invalid."""
        ...

    def __call__(self, settings: Sequence[str], folder: Path, stopper: WrapStopping) -> str:
        """Train; `stopper` wraps early stopping. Returns the error message, empty on success."""
        ...


class Tune(Job):
    """Runs trials with settings drawn from `space` and reports the best.

    The sampler is the tree-structured Parzen estimator, seeded by the run's seed plus the number of
    the trial, so a resumed search draws the same settings. A trial's value is the best `metric`
    over all its validations. A failed trial is recorded and the search continues; one that repeats
    the settings of an earlier trial has its result and is not trained. Writes
    `trials.csv` and Optuna's journal, `study.journal`. With a folder or a database as `storage`,
    processes with the same command line share the trials.
    """

    needs_data = True

    extended_by = ("job.trials",)

    def __init__(
        self,
        *,
        space: dict[str, Any] | None = None,
        trials: int = 20,
        metric: str = "val/accuracy",
        pruner: Literal["median", "hyperband", "none"] = "median",
        storage: str | None = None,
    ) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise missing("job=tune", "tune")
        within("job.trials", trials, "[1, inf)")
        self.space: Space = {} if space is None else space_of(space)
        searched = {f"job.space.{name}": values for name, values in list_leaves(space or {})}
        self.about = {"job.metric": metric, **searched}
        self.trials = trials
        self.metric = metric
        self.pruner = pruner
        self.storage = storage

    def __call__(
        self,
        *,
        trials: TrialRunner,
        folder: RunFolder,
        console: Console,
        signals: Signals,
        seed: int,
        epochs: int,
    ) -> dict[str, Any]:
        """Run the remaining trials, then report the best."""
        workers = Workers(folder.path, self.storage, signals.raise_if_stopped)
        if trials.continues:
            trials.take_over(saved_line(workers.trials, workers.url), where(workers))
        self.check_settings(trials, folder.path)
        workers.prepare()
        with database_errors(workers.url), closing(workers):
            with workers.turn():
                study = self.open(workers, seed, epochs, trials.line)
            while (trial := self.next(study, seed, workers)) is not None:
                signals.raise_if_stopped()
                self.attempt(study, trial, trials, workers)
                workers.release(trial.number)
                write_trials(folder.path / "trials.csv", list(self.space), study.trials)
                console.say(self.line_of(study.trials[trial.number]))
        return self.conclude(study, trials.line, folder.path, workers.trials, console)

    def check_settings(self, trials: TrialRunner, folder: Path) -> None:
        """Raise ConfigError unless the first values of all settings make a run with the metric."""
        if not self.space:
            space_of(None)
        for name in self.space:
            self.check_owner(name, trials)
        first = self.settings(lambda name: self.space[name].first, trials)
        known = trials.metrics(first, folder / "trial")
        if self.metric not in known:
            raise ConfigError(
                f"job.metric={self.metric} is not a metric of this run. Metrics: {', '.join(known)}"
            )

    def check_owner(self, name: str, trials: TrialRunner) -> None:
        """Raise ConfigError if no option of the space has a setting that depends on one."""
        owner = owner_of(name, self.space)
        choices = self.space[owner] if owner else None
        if not isinstance(choices, Choice):
            return
        if not any(trials.having([f"{owner}={option}"], [name]) for option in choices.values):
            options = ", ".join(choices.values)
            raise ConfigError(
                f"job.space.{name}: no {owner} of the space ({options}) has such a setting; "
                f"--cfg job -p {owner} lists those of an option"
            )

    def settings(self, value_of: Callable[[str], str], trials: TrialRunner) -> list[str]:
        """The settings of a trial: `mining.keep` only where the `mining` drawn has it."""
        dependent = [name for name in self.space if owner_of(name, self.space)]
        settings = [f"{n}={value_of(n)}" for n in self.space if n not in dependent]
        asked = trials.having(settings, dependent) if dependent else []
        return settings + [f"{name}={value_of(name)}" for name in asked]

    def open(self, workers: Workers, seed: int, epochs: int, line: list[str]) -> Study:
        """Create or resume the study. Raises ConfigError if it is of another search."""
        mode: Direction = "minimize" if direction(self.metric) == "min" else "maximize"
        about = self.about | {"seed": seed, "line": line}
        given = workers.trials, about, self.make_pruner(epochs), mode
        study = open_study(*given, shared=workers.shared, url=workers.url)
        check_trials(where(workers), study.get_trials(deepcopy=False), self.space)
        return study

    def make_pruner(self, epochs: int) -> BasePruner:
        """Make the pruner, which ends unpromising trials early."""
        from optuna import pruners

        if self.pruner == "hyperband":
            return pruners.HyperbandPruner(min_resource=1, max_resource=epochs)
        return pruners.MedianPruner() if self.pruner == "median" else pruners.NopPruner()

    def next(self, study: Study, seed: int, workers: Workers) -> Trial | None:
        """Return an interrupted trial, otherwise a new one, or None if all are taken."""
        while True:
            with workers.turn():
                trial = self.draw(study, seed, workers)
            if trial is not None or not workers.outlived():
                return trial

    def draw(self, study: Study, seed: int, workers: Workers) -> Trial | None:
        """The same at this process's turn."""
        from optuna.samplers import TPESampler
        from optuna.trial import Trial, TrialState

        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            if workers.take(trial.number):
                study.sampler = TPESampler(seed=(seed + trial.number) % 2**32)
                return Trial(study, trial._trial_id)
        number = len(study.get_trials(deepcopy=False))
        if number >= self.trials:
            return None
        study.sampler = TPESampler(seed=(seed + number) % 2**32)
        drawn = study.ask()
        workers.take(drawn.number)
        return drawn

    def attempt(self, study: Study, trial: Trial, trials: TrialRunner, workers: Workers) -> None:
        """Train with the settings drawn for a trial and report the result to the study."""
        try:
            settings = self.settings(lambda name: self.space[name].suggest(trial, name), trials)
        except UNREADABLE as error:  # of a journal with other values
            raise CheckpointError(f"{where(workers)} does not fit job.space: {error}") from error
        trial.set_user_attr("settings", settings)
        earlier = study.get_trials(deepcopy=False)
        if (same := repeated(earlier[: trial.number], settings)) is not None:
            repeat(study, trial, same)
            return
        reported = earlier[trial.number].intermediate_values.keys()
        stoppers: list[PruningStopper] = []

        def judge(step: int, value: float) -> bool:
            if not workers.has(trial.number):
                return True
            if step not in reported:
                trial.report(value, step)
            return trial.should_prune()

        def stopper(own: EarlyStopping, epochs: Callable[[], int]) -> EarlyStopping:
            stoppers.append(PruningStopper(own, self.metric, judge, epochs))
            return stoppers[-1]

        error = trials(settings, folder_of(workers.trials, trial.number), stopper)
        if workers.has(trial.number):
            self.tell(study, trial, stoppers[-1] if stoppers else None, error)

    def tell(self, study: Study, trial: Trial, stopped: PruningStopper | None, error: str) -> None:
        """Report the end of a trial to the study."""
        from optuna.trial import TrialState

        if stopped is None or stopped.best is None or error:
            trial.set_user_attr("error", error or f"no validation had a finite {self.metric}")
            study.tell(trial, state=TrialState.FAIL)
        elif stopped.pruned:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, stopped.best)

    def line_of(self, trial: FrozenTrial) -> str:
        """Describe a finished trial in one line."""
        value = "" if trial.value is None else f"  {self.metric} {trial.value:.4f}"
        settings = " ".join(trial.user_attrs["settings"])
        same = trial.user_attrs.get("repeats")
        state = state_of(trial) if same is None else f"as trial {same}"
        return f"trial {trial.number}/{self.trials}  {state}{value}  {settings}"

    def conclude(
        self, study: Study, line: list[str], folder: Path, trial_folders: Path, console: Console
    ) -> dict[str, Any]:
        """Print and return the best trial. Raises TrainerError if none finished."""
        trials = study.trials
        counts = Counter(state_of(trial) for trial in trials)
        if not counts["finished"]:
            errors = (t.user_attrs["error"] for t in trials if "error" in t.user_attrs)
            first = next(errors, "")
            raise TrainerError(
                f"none of {count(len(trials), 'trial')} finished; first error: {first}"
            )
        best = study.best_trial
        settings = best.user_attrs["settings"]
        command = shlex.join(["python", "-m", "trainer", *line, *settings])
        states = ", ".join(f"{number} {state}" for state, number in counts.items())
        console.say(f"{count(len(trials), 'trial')}: {states}; {folder / 'trials.csv'}")
        number = best.user_attrs.get("repeats", best.number)
        where = folder_of(trial_folders, number)
        console.say(f"best: trial {number}, {self.metric} {best.value:.4f}; {where}")
        console.say(command)
        return {
            "metric": self.metric,
            "value": best.value,
            "trial": number,
            "settings": settings,
            "command": command,
            "trials": dict(counts),
        }


def where(workers: Workers) -> Path:
    """Where the study is, as errors name it."""
    return Path("job.storage") if workers.url else workers.trials / JOURNAL
