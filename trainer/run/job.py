"""The contract of a job: a component that is handed values of a run by name."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from trainer.core.errors import ConfigError


class Job(ABC):
    """The work of a run. The parameters of `__call__` name the values of the run that it needs.

    For instance `def __call__(self, *, data: Data, console: Console) -> dict[str, Any]`. A value is
    built when a job asks for it: `data` opens the data set, `fit` assembles the training loop. See
    `Run` and `Components` for their names.
    """

    parallel = False  # whether several processes can do it together
    needs_data = False  # whether it needs the run's own data set
    resumes = False  # whether `resume` makes it load a checkpoint
    extended_by: ClassVar[tuple[str, ...]] = ()  # settings that, changed, continue a finished run

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Do the work. The return value goes into result.json."""


def values_for(job: Job, run: object, services: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """The values of a run that a job's parameters name. Raises ConfigError for an unknown name."""
    values: dict[str, Any] = {}
    for name in inspect.signature(job.__call__).parameters:
        if name in services:
            values[name] = services[name]
        elif (not name.startswith("_") and hasattr(type(run), name)) or name in vars(run):
            values[name] = getattr(run, name)
        else:
            target = f"{type(job).__module__}.{type(job).__name__}"
            raise ConfigError(
                f"job._target_={target} asks for {name}, which a run does not have; "
                "see trainer.run.job.Job"
            )
    return values
