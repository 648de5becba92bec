"""Runs the job that a config names: the config is unpacked here, once."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainer.cli.folders import remove_if_empty
from trainer.cli.trials import TrialRunner
from trainer.config.import_path import find_here, retarget
from trainer.config.run_names import not_found
from trainer.core.errors import ConfigError
from trainer.core.signals import Deadline
from trainer.dataset import Data
from trainer.distributed.parts import NoFolder
from trainer.distributed.world import ALONE, World, join, leave
from trainer.report.console import Console
from trainer.run.groups import Stopper
from trainer.run.memory import keep_freed_memory
from trainer.run.resume import with_saved_settings
from trainer.run.run import Run
from trainer.storage import checkpoint
from trainer.storage.run_folder import RunFolder
from trainer.storage.saved_run import SavedRun
from trainer.storage.untrusted import check_tree, has_file
from trainer.trained.examined import examine
from trainer.trained.from_files import model_of, predict_files, read_first
from trainer.trained.predictions import predict
from trainer.trained.restore import restorer
from trainer.trained.saved_data import saved_data


def execute(config: dict[str, Any], folder: Path, overrides: list[str], sources: list[str]) -> int:
    """Run the job that the config names, in its folder. Returns the exit code."""
    with Deadline():
        return do(config, folder, overrides, sources)


def do(config: dict[str, Any], folder: Path, overrides: list[str], sources: list[str]) -> int:
    """The same without a limit on the time that a signal may take."""
    keep_freed_memory()
    resumed = resume_folder(config["resume"])
    if resumed is not None:
        config = with_saved_settings(config, resumed, overrides, sources)
    find_here(config)
    retarget(config, overrides)
    if config["threads"] is not None:
        torch.set_num_threads(config["threads"])
    world = join(config["strategy"], config["device"])
    console = Console(quiet=config["quiet"], silent=not world.is_main)
    owned = (RunFolder if world.is_main else NoFolder)(world.broadcast(resumed or folder))
    run = make_run(config, owned, console, overrides, sources, world=world)
    with world.main_first():
        run.validate()
    if world.is_main:
        check_tree(run.folder.path)  # it may exist, and be anyone's
    if resumed is not None:
        remove_if_empty(folder)
    try:
        run.folder.claim(fresh=config["resume"] is None)
        code = run.start()
        leave(code, agreed=True)
        return code
    finally:
        console.close()
        run.folder.release()


def make_run(
    config: dict[str, Any],
    folder: RunFolder,
    console: Console,
    overrides: list[str],
    sources: list[str],
    *,
    world: World = ALONE,
    stopper: Stopper = lambda own: own,
    of_search: bool = False,
    opened: dict[str, Data] | None = None,
) -> Run:
    """A run with the services that a job may ask for: see `trainer.run.job`.

    `predict(tta)` evaluates the finished runs that are named, `predict_files(source, tta, corrupt)`
    applies them to files without labels. `load_model()` is the model of one, `read_files(model,
    source, number)` reads the first files as its pixels. `saved_data(reference, setting)` opens the
    data that one was trained on, `examine(reference, setting, splits)`
    looks at splits with its model, `trials` trains with additional settings.
    """
    services: dict[str, Any] = {}
    run = Run(
        config,
        folder,
        console,
        overrides=overrides,
        sources=sources,
        restorer=restorer,
        world=world,
        stopper=stopper,
        of_search=of_search,
        opened={} if opened is None else opened,
        services=services,
    )
    named = run.saved, run.several_saved
    services["predict"] = partial(predict, run, folder.path, named, run.split)
    services["predict_files"] = partial(predict_files, run, named, precision=run.precision)
    services["load_model"] = lambda: model_of(run, SavedRun.at(run.saved), [])
    services["read_files"] = read_first
    services["saved_data"] = partial(saved_data, run)
    services["examine"] = partial(examine, run)
    services["trials"] = TrialRunner(overrides, sources, run.opened, make_run)
    return run


def resume_folder(resume: str | None) -> Path | None:
    """The run folder, absolute as Hydra's, that `resume` names by its path or a checkpoint's."""
    if resume in (None, "auto"):
        return None
    path = Path(resume)
    if path.parent.name == "checkpoints":
        path = path.parent.parent
    if not has_file(path, "status.json"):
        raise ConfigError(not_found("resume", resume, "give auto or the path of a run folder"))
    if path != Path(resume) and not Path(resume).is_dir():
        known = ", ".join(f"step-{step}" for step in checkpoint.steps(path / "checkpoints"))
        raise ConfigError(f"resume={resume}: no such checkpoint; there are {known or 'none'}")
    return path.absolute()
