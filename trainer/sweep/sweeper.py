"""Hydra's basic sweeper, changed so that a failing job does not end the others."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from omegaconf import DictConfig

PLUGINS = Plugins.instance()  # first: the search for plugins imports their modules again

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # noqa: E402

from trainer.cli.folders import remove_if_empty  # noqa: E402
from trainer.cli.launch import exit_codes, report_error  # noqa: E402
from trainer.config.compose import CONF, check_choices, resolve  # noqa: E402
from trainer.core.errors import ConfigError  # noqa: E402
from trainer.core.signals import deferred  # noqa: E402
from trainer.storage.untrusted import check_entries  # noqa: E402
from trainer.sweep.launcher import Subprocess  # noqa: E402
from trainer.sweep.manifest import Job  # noqa: E402


class Sweeper(BasicSweeper):
    """Refuses jobs with a wrong config before the first one starts, and runs the rest."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.refused: list[Job] = []

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs; the exit code is 1 if one of them failed."""
        assert self.config is not None  # noqa: S101  (as Hydra's own does)
        check_entries(Path(self.config.hydra.sweep.dir))  # Hydra writes multirun.yaml next
        try:
            batches = super().sweep(arguments)
        finally:
            if isinstance(self.launcher, Subprocess):
                self.launcher.close()
            self.tidy()
        codes = [job.return_value for batch in batches for job in batch]
        if not codes and not self.refused:
            raise ConfigError("the sweep has no jobs: a pattern matches no option")
        exit_codes[:] = [int(any(codes) or bool(self.refused))]
        return batches

    def split_arguments(  # pyright: ignore  (Hydra's is static, and called on self)
        self, overrides: list[Any], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """The batches of jobs without those that cannot be composed, which are reported."""
        batches = BasicSweeper.split_arguments(overrides, max_batch_size)
        every = [job for batch in batches for job in batch]
        legal: dict[int, DictConfig | None] = {}
        own = isinstance(self.launcher, Subprocess)  # the others compose again, some elsewhere
        for number, job in enumerate(every):
            if (config := self.try_compose(number, job)) is not None:
                legal[number] = config if own else None
        if isinstance(self.launcher, Subprocess):
            self.launcher.announce(legal, self.refused)
        jobs = [every[number] for number in legal]
        chunks = self.split_overrides_to_chunks(jobs, max_batch_size) if jobs else ()
        return [list(batch) for batch in chunks]

    def try_compose(self, number: int, overrides: list[str]) -> DictConfig | None:
        """The config of a job; None if it is wrong, which is reported in one line on stderr."""
        assert self.hydra_context is not None  # noqa: S101  (as Hydra's own does)
        assert self.config is not None  # noqa: S101
        load = self.hydra_context.config_loader.load_sweep_config
        try:
            check_choices(overrides)
            with deferred():  # OmegaConf, interrupted, would leave a config that looks wrong
                config = load(self.config, list(overrides))
                resolve(config)
        except Exception as error:
            from trainer.config.explain import explain

            # The sweep has escaped the characters that are special to Hydra.
            typed = [re.sub(r"\\(.)", r"\1", override) for override in overrides]
            report_error(error, typed, debug="debug=true" in typed)
            self.refused.append(Job(number, overrides))
            self.refused[-1].refuse(explain(error, typed, CONF))
            return None
        return config

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing is left to validate: split_arguments has composed each job."""

    def tidy(self) -> None:
        """Remove the folder of a sweep in which no job started."""
        assert self.config is not None  # noqa: S101
        folder = Path(self.config.hydra.sweep.dir)
        about = folder / "multirun.yaml"
        if about.is_file() and list(folder.iterdir()) == [about]:
            about.unlink()
            remove_if_empty(folder)


def install() -> None:
    """Replace Hydra's sweeper: Hydra accepts no class of another package by name."""
    name = f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"
    PLUGINS.class_name_to_class[name] = Sweeper
