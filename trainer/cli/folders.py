"""The folders that Hydra makes; a run that never began leaves none of them."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

made: list[Path] = []  # the folders that Hydra makes for this run


class Folders(Callback):
    """Notes which folders Hydra is about to make: a run that never began leaves none of them."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before a single run's folder is made."""
        remember(config, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before a sweep's folder is made."""
        remember(config, "hydra.sweep.dir")


def remember(config: DictConfig, setting: str) -> None:
    """Note the folders of a path that are not there yet."""
    try:
        path = Path(OmegaConf.select(config, setting)).absolute()
    except OmegaConfBaseException:
        return  # Hydra says so when it makes the folder
    made.extend(folder for folder in (path, *path.parents) if not folder.exists())


def remove_if_empty(folder: Path) -> None:
    """Take away the folders that Hydra made for a run that did not begin, as far as empty."""
    for path in (folder.absolute(), *folder.absolute().parents):
        if not (path in made or in_sweep(path)):
            return
        try:
            path.rmdir()
        except OSError:
            return


def in_sweep(path: Path) -> bool:
    """Whether a folder is that of a job in a sweep."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return False
    return Path(HydraConfig.get().sweep.dir).absolute() in path.parents
