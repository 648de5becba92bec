"""Runs the job that a config names."""

from pathlib import Path
from typing import Any

import torch

from trainer.config.import_path import retarget
from trainer.core.errors import ConfigError
from trainer.distributed.parts import NoFolder
from trainer.distributed.world import join, leave
from trainer.report.console import Console
from trainer.run.memory import keep_freed_memory
from trainer.run.run import Run
from trainer.storage.run_folder import RunFolder
from trainer.storage.untrusted import check_tree


def execute(config: dict[str, Any], folder: Path, overrides: list[str], sources: list[str]) -> int:
    """Run the job that the config names, in its folder. Returns the exit code."""
    keep_freed_memory()
    retarget(config, overrides)
    if config["threads"] is not None:
        torch.set_num_threads(config["threads"])
    world = join(config)
    console = Console(quiet=config["quiet"], silent=not world.is_main)
    resumed = resume_folder(config["resume"])
    owned = (RunFolder if world.is_main else NoFolder)(world.broadcast(resumed or folder))
    run = Run(config, owned, console, overrides, sources)
    run.enter(world)
    with world.main_first():
        run.check()
    if config["resume"] is not None and world.is_main:
        check_tree(run.folder.path)
    if resumed is not None:
        from trainer.cli.folders import remove_if_empty

        remove_if_empty(folder)
    try:
        run.folder.claim(fresh=config["resume"] is None)
        code = run.start()
        leave(code, agreed=True)
        return code
    finally:
        console.close()
        run.folder.release()


def resume_folder(resume: str | None) -> Path | None:
    """The run folder that `resume` names by its path or a checkpoint's."""
    if resume in (None, "auto"):
        return None
    path = Path(resume)
    if path.parent.name == "checkpoints":
        path = path.parent.parent
    if not (path / "status.json").is_file():
        raise ConfigError(f"resume={resume}: no run there; give auto or the path of a run folder")
    return path
