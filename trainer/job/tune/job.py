"""Search for the best settings with Optuna (Akiba et al. 2019): each trial is a training run."""

from __future__ import annotations

import csv
import importlib.util
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trainer.core.errors import ConfigError, TrainerError
from trainer.core.metric import direction
from trainer.core.ranges import within
from trainer.job.base import Job
from trainer.job.tune.space import Space, flat, space_of
from trainer.job.tune.trial import TrialRunner
from trainer.run.monitors import names

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from trainer.run.run import Run

JOURNAL = "study.journal"
NAME = "tune"  # of the study; Hyperband draws by it


class Tune(Job):
    """Trains with settings drawn from `space`, better ones as it goes, and says which were best.

    The sampler is the tree-structured Parzen estimator, seeded by the run's seed and the number of
    the trial, so that a search that goes on draws what it would have drawn. A trial is worth its
    best `metric` of all validations. One that fails is noted and the search goes on. Writes
    `trials.csv` and Optuna's journal, `study.journal`.
    """

    needs_data = True

    def __init__(
        self,
        *,
        space: dict[str, Any] | None = None,
        trials: int = 20,
        metric: str = "val/accuracy",
        pruner: Literal["median", "hyperband", "none"] = "median",
    ) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise ValueError("job=tune needs the tune extra: pip install 'trainer[tune]'")
        within("job.trials", trials, "[1, inf)")
        self.space: Space = {} if space is None else space_of(space)
        self.about = {"job.metric": metric, **{f"job.space.{k}": v for k, v in flat(space or {})}}
        self.trials = trials
        self.metric = metric
        self.pruner = pruner

    def __call__(self, run: Run) -> dict[str, Any]:
        """Try, then say what was best."""
        attempts = TrialRunner(run, self.metric)
        self.check(run, attempts)
        study = self.open(run)
        while (trial := self.next(study, run.config["seed"])) is not None:
            run.signals.check()
            self.attempt(run, study, trial, attempts)
        return self.conclude(run, study, attempts)

    def check(self, run: Run, attempts: TrialRunner) -> None:
        """Raise what is wrong with the first value of each setting taken together."""
        if not self.space:
            space_of(None)
        first = [f"{name}={values.first}" for name, values in self.space.items()]
        known = names(attempts.make(first, run.folder.path / "trial"))
        if self.metric not in known:
            raise ConfigError(
                f"job.metric={self.metric} is no metric of this run. Metrics: {', '.join(known)}"
            )

    def open(self, run: Run) -> Study:
        """The study of the run folder, begun or gone on with."""
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        path = run.folder.path / JOURNAL
        mend(path)
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(path))),
            study_name=NAME,
            direction="minimize" if direction(self.metric) == "min" else "maximize",
            pruner=self.make_pruner(run.epochs),
            load_if_exists=True,
        )
        about = self.about | {
            "seed": run.config["seed"],
            "line": TrialRunner(run, self.metric).line,
        }
        before = study.user_attrs.get("about", about)
        for key in {**before, **about}:
            if before.get(key) != about.get(key):
                change = f"{before.get(key)} → {about.get(key)}"
                raise ConfigError(f"resume: {key}: {change} is not the search's; begin another one")
        study.set_user_attr("about", about)
        return study

    def make_pruner(self, epochs: int) -> BasePruner:
        """What ends trials early."""
        from optuna import pruners

        if self.pruner == "hyperband":
            return pruners.HyperbandPruner(min_resource=1, max_resource=epochs)
        return pruners.MedianPruner() if self.pruner == "median" else pruners.NopPruner()

    def next(self, study: Study, seed: int) -> Trial | None:
        """The trial that was interrupted, a new one, or none where there were enough."""
        from optuna.samplers import TPESampler
        from optuna.trial import Trial, TrialState

        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        number = running[0].number if running else len(study.get_trials(deepcopy=False))
        study.sampler = TPESampler(seed=(seed + number) % 2**32)
        if running:
            return Trial(study, running[0]._trial_id)
        return study.ask() if number < self.trials else None

    def attempt(self, run: Run, study: Study, trial: Trial, attempts: TrialRunner) -> None:
        """Train with what the trial draws, and tell the study how it went."""
        from optuna.trial import TrialState

        settings = [f"{name}={one.suggest(trial, name)}" for name, one in self.space.items()]
        trial.set_user_attr("settings", settings)
        reported = study.get_trials(deepcopy=False)[trial.number].intermediate_values.keys()

        def judge(step: int, value: float) -> bool:
            if step not in reported:
                trial.report(value, step)
            return trial.should_prune()

        error, watch = attempts(settings, folder_of(run, trial.number), judge)
        if watch is None or watch.best is None or error:
            trial.set_user_attr("error", error or f"no validation had a finite {self.metric}")
            study.tell(trial, state=TrialState.FAIL)
        elif watch.pruned:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, watch.best)
        self.write(run.folder.path / "trials.csv", study.trials)
        run.console.say(self.told(study.trials[trial.number]))

    def told(self, trial: FrozenTrial) -> str:
        """A line about a trial that has ended."""
        value = "" if trial.value is None else f"  {self.metric} {trial.value:.4f}"
        settings = " ".join(trial.user_attrs["settings"])
        return f"trial {trial.number}/{self.trials}  {state_of(trial)}{value}  {settings}"

    def write(self, path: Path, trials: Sequence[FrozenTrial]) -> None:
        """The table of all trials."""
        head = ["trial", "state", "value", "validations", "seconds", *self.space, "error"]
        with path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(head)
            for one in trials:
                settings = one.user_attrs.get("settings", [""] * len(self.space))
                values = [setting.partition("=")[2] for setting in settings]
                seconds = f"{one.duration.total_seconds():.1f}" if one.duration else ""
                seen = len(one.intermediate_values)
                error = one.user_attrs.get("error", "")
                table.writerow(
                    [one.number, state_of(one), one.value, seen, seconds, *values, error]
                )

    def conclude(self, run: Run, study: Study, attempts: TrialRunner) -> dict[str, Any]:
        """Say and return the best. Raises TrainerError where no trial came to its end."""
        trials = study.trials
        counts = Counter(state_of(one) for one in trials)
        if not counts["finished"]:
            error = next(
                (one.user_attrs["error"] for one in trials if "error" in one.user_attrs), ""
            )
            raise TrainerError(f"none of the {len(trials)} trials finished; the first: {error}")
        best = study.best_trial
        settings = best.user_attrs["settings"]
        line = shlex.join(["python", "-m", "trainer", *attempts.line, *settings])
        folder = folder_of(run, best.number)
        counted = ", ".join(f"{number} {state}" for state, number in counts.items())
        run.console.say(f"{len(trials)} trials: {counted}; {run.folder.path / 'trials.csv'}")
        run.console.say(f"best: trial {best.number}, {self.metric} {best.value:.4f}; {folder}")
        run.console.say(line)
        return {
            "metric": self.metric,
            "value": best.value,
            "trial": best.number,
            "settings": settings,
            "command": line,
            "trials": dict(counts),
        }


def folder_of(run: Run, number: int) -> Path:
    """The run folder of a trial."""
    return run.folder.path / f"trial-{number:03}"


def state_of(trial: FrozenTrial) -> str:
    """How a trial ended."""
    words = {"COMPLETE": "finished", "FAIL": "failed"}
    return words.get(trial.state.name, trial.state.name.lower())


def mend(path: Path) -> None:
    """Take away what a process that was killed while it wrote has left: half a line, and a lock.

    Nobody else has the file: the run folder is this process's own.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.is_file():
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            path.write_bytes(whole)
