"""Removes the folders that Hydra made for a run that did not start."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

created: list[Path] = []  # the folders that Hydra makes for this run


class Folders(Callback):
    """Hydra's callback that records which folders it is about to make."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the folders of a single run."""
        record_missing(config, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the folders of a sweep."""
        record_missing(config, "hydra.sweep.dir")


def record_missing(config: DictConfig, setting: str) -> None:
    """Record the folder that a setting names, and its parents, as far as they do not exist."""
    try:
        path = Path(OmegaConf.select(config, setting)).absolute()
    except OmegaConfBaseException:
        return  # Hydra reports it when it makes the folder
    with suppress(PermissionError):  # Hydra reports it
        created.extend(folder for folder in (path, *path.parents) if not folder.exists())


def remove_if_empty(folder: Path) -> None:
    """Remove a folder and its parents, as far as they are empty and made by Hydra for this run."""
    for path in (folder.absolute(), *folder.absolute().parents):
        if not (path in created or in_sweep(path)):
            return
        try:
            path.rmdir()
        except OSError:
            return


def in_sweep(path: Path) -> bool:
    """Whether a folder is inside that of the current sweep."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return False
    return Path(HydraConfig.get().sweep.dir).absolute() in path.parents
