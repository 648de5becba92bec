"""From a composed config to a run: what can be refused without torch is refused here."""

import os
import traceback
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainer import schema
from trainer.console import complain
from trainer.errors import ConfigError, TrainerError


def launch(config: DictConfig, folder: Path, overrides: list[str], sources: list[str]) -> int:
    """Run one job and return its exit code; an error is one line on stderr."""
    try:
        settings = plain(config)
        schema.check(settings)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError("WORLD_SIZE: training in several processes is not built yet; use one")
        from trainer.run import execute

        return execute(settings, folder, overrides, sources)
    except TrainerError as error:
        if config.debug:
            traceback.print_exc()
        complain(str(error))
        remove_if_empty(folder)
        return error.exit_code


def plain(config: DictConfig) -> dict[str, Any]:
    """The config with every reference resolved, as plain containers."""
    try:
        settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    if not isinstance(settings, dict):
        raise ConfigError("the config is not a mapping")
    return {str(key): value for key, value in settings.items()}


def remove_if_empty(folder: Path) -> None:
    """Take away the folder that Hydra made for a run that did not begin."""
    for path in (folder, folder.parent):
        try:
            path.rmdir()
        except OSError:
            return
