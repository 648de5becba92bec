"""One trial of a search: an ordinary training run that may be told to end early."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from trainer.config.compose import CONF, WRONG_CONFIG, resolve
from trainer.config.explain import explain
from trainer.config.import_path import retarget
from trainer.core.errors import Interrupted, TrainerError, complain
from trainer.core.metric import better, direction
from trainer.early_stopping import EarlyStopping
from trainer.report.console import Console
from trainer.storage import checkpoint
from trainer.storage.run_folder import RunFolder
from trainer.trained.trained_run import Known, opened

if TYPE_CHECKING:
    from trainer.run.run import Run

TRAIN = {"_target_": "trainer.job.train.Train"}
NOT_OF_A_TRIAL = (
    "job",
    "resume",
    "resume_allow",
    "run",
    "runs",
    "quiet",
)  # first parts of settings

Judge = Callable[[int, float], bool]  # takes validation n with the best value so far; true to end


class PruningStopper(EarlyStopping):
    """The run's own early stopping, and the judge of the trial before it.

    Neither ends a run whose last epoch is over.
    """

    def __init__(self, own: EarlyStopping, metric: str, judge: Judge, epochs: int) -> None:
        self.own, self.metric, self.judge, self.epochs = own, metric, judge, epochs
        self.needs_val, self.best_by = own.needs_val, own.best_by
        self.best: float | None = None
        self.seen = 0  # validations
        self.pruned = False

    def update(self, metrics: dict[str, float]) -> bool:
        """Take the metrics of an epoch; true to stop."""
        if better(metrics[self.metric], self.best, direction(self.metric)):
            self.best = metrics[self.metric]
        stop = self.own.update(metrics)
        if self.best is not None and self.judge(self.seen, self.best):
            self.pruned = self.seen + 1 < self.epochs and not stop
        self.seen += 1
        return stop or self.pruned

    def state_dict(self) -> dict[str, Any]:
        """That of both."""
        held = {"best": self.best, "seen": self.seen, "pruned": self.pruned}
        return {"own": self.own.state_dict(), **held}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.own.load_state_dict(state["own"])
        self.best, self.seen, self.pruned = state["best"], state["seen"], state["pruned"]


class TrialRunner:
    """Makes training runs of the search's own line with some settings more."""

    def __init__(self, outer: Run, metric: str) -> None:
        self.outer = outer
        self.metric = metric
        self.line = [o for o in outer.overrides if first_part(o) not in NOT_OF_A_TRIAL]
        self.known: Known = {}  # data sets, each opened once

    def make(self, settings: Sequence[str], folder: Path) -> Run:
        """The run of a trial, checked; it goes on with what the folder holds."""
        outer, overrides = self.outer, [*self.line, *settings]
        with hydra(outer.sources):
            config = resolve(compose("config", overrides))
        owned = RunFolder(folder)
        resume = "auto" if owned.status else None
        config |= {"job": TRAIN, "resume": resume, "quiet": True}
        retarget(config, overrides)
        run = type(outer)(config, owned, Console(quiet=True), overrides, outer.sources)
        run.data = opened(run, self.known)
        run.check()
        return run

    def __call__(
        self, settings: Sequence[str], folder: Path, judge: Judge
    ) -> tuple[str, PruningStopper | None]:
        """Train; what went wrong, empty where nothing did, and what was seen.

        Raises Interrupted where a signal stopped it.
        """
        try:
            run = self.make(settings, folder)
            run.folder.claim(fresh=run.config["resume"] is None)
        except (TrainerError, *WRONG_CONFIG) as error:
            text = explain(error, settings, CONF)
            complain(text)
            return text, None
        watch = PruningStopper(run.early_stopping, self.metric, judge, run.epochs)
        run.early_stopping = watch
        try:
            code = run.start()
        finally:
            run.console.close()
            run.folder.release()
        if code > 128:
            raise Interrupted(code - 128)
        if code == 0 and not watch.seen:  # it was finished before, and the search not told
            held = checkpoint.latest(run.folder.checkpoints, complain)
            if held is not None:
                watch.load_state_dict(held.state["early_stopping"])
        return ("" if code == 0 else str(run.folder.status.get("error"))), watch


def first_part(override: str) -> str:
    """The group, or the part before the first dot, of a setting."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0].partition(".")[0]


@contextmanager
def hydra(sources: Sequence[str]) -> Iterator[None]:
    """What composes a config: Hydra as the program runs under it, or one for the config folder."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    with initialize_config_dir(str(Path(sources[0]).absolute()), version_base="1.3"):
        yield
