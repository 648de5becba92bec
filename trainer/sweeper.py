"""Hydra's own sweeper, but a job that fails does not end the others."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins

PLUGINS = Plugins.instance()  # first: the search for plugins runs their modules anew

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # noqa: E402

from trainer.errors import ConfigError  # noqa: E402
from trainer.launch import (  # noqa: E402
    check_choices,
    checked,
    exit_codes,
    refuse,
    remove_if_empty,
)


class Sweeper(BasicSweeper):
    """Refuses the jobs whose config is wrong before the first one starts, and runs the rest."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.refused = 0

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs; the exit code is 1 if one of them failed."""
        try:
            batches = super().sweep(arguments)
        finally:
            self.tidy()
        codes = [job.return_value for batch in batches for job in batch]
        if not codes and not self.refused:
            raise ConfigError("the sweep has no jobs: a pattern matches no option")
        exit_codes[:] = [int(any(codes) or self.refused > 0)]
        return batches

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Leave out what cannot be composed; each gets its line."""
        assert self.hydra_context is not None  # noqa: S101  (as Hydra's own does)
        assert self.config is not None  # noqa: S101
        assert isinstance(batch, list)  # noqa: S101
        load = self.hydra_context.config_loader.load_sweep_config
        for overrides in list(batch):
            try:
                check_choices(overrides)
                checked(load(self.config, list(overrides)))
            except Exception as error:
                # The sweep put a backslash before what has a meaning to Hydra.
                typed = [re.sub(r"\\(.)", r"\1", override) for override in overrides]
                refuse(error, typed, debug="debug=true" in typed)
                self.refused += 1
                batch.remove(overrides)

    def tidy(self) -> None:
        """Leave no folder of a sweep in which no job began."""
        assert self.config is not None  # noqa: S101
        folder = Path(self.config.hydra.sweep.dir)
        about = folder / "multirun.yaml"
        if about.is_file() and list(folder.iterdir()) == [about]:
            about.unlink()
            remove_if_empty(folder)


def install() -> None:
    """Put it in the place of Hydra's, which takes no class of another package by name."""
    name = f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"
    PLUGINS.class_name_to_class[name] = Sweeper
