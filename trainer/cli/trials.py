"""Trains the runs of a search: its command line plus the settings of each trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from trainer.config.compose import CONF, WRONG_CONFIG, resolve
from trainer.config.explain import explain
from trainer.config.import_path import find_here, retarget
from trainer.core.errors import CheckpointError, ConfigError, Interrupted, TrainerError, complain
from trainer.core.signals import cause_of, deferred
from trainer.report.console import Console
from trainer.run.monitors import metric_names
from trainer.storage import checkpoint
from trainer.storage.run_folder import RunFolder
from trainer.storage.saved_run import check_code, known_code

if TYPE_CHECKING:
    from trainer.dataset import Data
    from trainer.early_stopping.base import WrapStopping
    from trainer.run.run import Run

TRAIN = {"_target_": "trainer.job.train.Train"}
NOT_OF_A_TRIAL = (  # first parts of settings
    "job",
    "resume",
    "resume_allow",
    "run",
    "runs",
    "quiet",
)


class TrialRunner:
    """Makes and starts training runs of a search's command line, `overrides`.

    `opened` are data sets that are open already; `make_run` is `trainer.cli.execute.make_run`.
    """

    def __init__(
        self,
        overrides: Sequence[str],
        sources: list[str],
        opened: dict[str, Data],
        make_run: Callable[..., Run],
    ) -> None:
        self.sources = sources
        self.opened = opened
        self.make_run = make_run
        self.line = [o for o in overrides if first_part(o) not in NOT_OF_A_TRIAL]
        named = {o.partition("=")[2] for o in overrides if first_part(o) == "resume"}
        self.continues = not self.line and not named <= {"auto", "null"}

    def take_over(self, line: list[str], path: Path) -> None:
        """Train with the overrides that the search in the file `path` was started with.

        Raises CheckpointError if they do not compose or name unknown code.
        """
        if any(first_part(override) in ("hydra", *NOT_OF_A_TRIAL) for override in line):
            raise CheckpointError(f"{path} names settings that are not a trial's: {line!s:.200}")
        try:
            with hydra(self.sources):
                config = resolve(compose("config", line))
        except WRONG_CONFIG as error:
            raise CheckpointError(f"{path}: {explain(error, line, CONF)}") from error
        check_code(config, known_code(self.sources, {}), path)
        self.line = line

    def metrics(self, settings: Sequence[str], folder: Path) -> list[str]:
        """The metrics of such a run. Raises ConfigError, in one line, for wrong settings."""
        try:
            run = self.make(settings, folder, None)
        except WRONG_CONFIG as error:
            raise ConfigError(explain(error, [*self.line, *settings], CONF)) from error
        return metric_names(run.task, run.data)

    def having(self, settings: Sequence[str], names: Sequence[str]) -> list[str]:
        """Those of the names that are settings of a run with these settings; none if it is none."""
        try:
            with hydra(self.sources):
                config = compose("config", [*self.line, *settings])
        except WRONG_CONFIG:
            return []
        node = OmegaConf.to_container(config, resolve=False)
        return [name for name in names if name.startswith(("+", "~")) or has(node, name)]

    def make(self, settings: Sequence[str], folder: Path, stopper: WrapStopping | None) -> Run:
        """The run of a trial, checked. It resumes what the folder holds."""
        overrides = [*self.line, *settings]
        with hydra(self.sources):
            config = resolve(compose("config", overrides))
        owned = RunFolder(folder)
        resume = "auto" if owned.status else None
        config |= {"job": TRAIN, "resume": resume, "quiet": True}
        find_here(config)
        retarget(config, overrides)
        stop = {} if stopper is None else {"stopper": lambda own: stopper(own, lambda: run.epochs)}
        run = self.make_run(
            config,
            owned,
            Console(quiet=True),
            overrides,
            self.sources,
            opened=self.opened,
            of_search=True,
            **stop,
        )
        run.validate()
        return run

    def __call__(self, settings: Sequence[str], folder: Path, stopper: WrapStopping) -> str:
        """Train. Returns what went wrong, empty where nothing did.

        Raises Interrupted where a signal stopped it.
        """
        try:
            run = self.make(settings, folder, stopper)
            run.folder.claim(fresh=not run.folder.status)
        except (TrainerError, *WRONG_CONFIG) as error:
            if (cause := cause_of(error)) is not error:
                raise cause from error
            text = explain(error, settings, CONF)
            complain(text)
            return text
        finished = run.folder.status.get("state") == "finished"
        try:
            code = run.start()
        finally:
            run.console.close()
            run.folder.release()
        if code > 128:
            raise Interrupted(code - 128)
        if code == 0 and finished:  # it ended before, but the search was not told
            found = checkpoint.latest(run.folder.checkpoints, complain)
            if found is not None:
                run.early_stopping.load_state_dict(found.state["early_stopping"])
        return "" if code == 0 else str(run.folder.status.get("error"))


def has(node: object, name: str) -> bool:
    """Whether nested settings have one of a dotted name."""
    for part in name.split("."):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


def first_part(override: str) -> str:
    """The group, or the part before the first dot, of a setting."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0].partition(".")[0]


@contextmanager
def hydra(sources: Sequence[str]) -> Iterator[None]:
    """Compose with the Hydra that the program runs under, or with one for the config folder.

    Signals wait: OmegaConf, interrupted, would leave a config that looks wrong.
    """
    with deferred(), ExitStack() as stack:
        if not GlobalHydra.instance().is_initialized():
            folder = str(Path(sources[0]).absolute())
            stack.enter_context(initialize_config_dir(folder, version_base="1.3"))
        yield
