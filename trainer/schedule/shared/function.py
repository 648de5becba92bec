"""Functions that a schedule names by import path, and the three that are named by default."""

import math
from collections.abc import Callable
from functools import cached_property
from numbers import Real
from typing import Any

from trainer.config.build import import_callable
from trainer.core.errors import ConfigError


class Function:
    """A function by its import path, `package.module.name`, imported when it is first needed."""

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def function(self) -> Callable[..., Any]:
        """Raises ConfigError where it cannot be imported."""
        try:
            return import_callable(self.path, "schedule.function")
        except ConfigError:
            raise
        except Exception as error:
            raise self.wrong("cannot be imported", error) from error

    def __call__(self, *counts: int) -> float:
        """What it returns. Raises ConfigError where that is no finite number of at least 0."""
        called = f"({', '.join(map(str, counts))})"
        try:
            value = self.function(*counts)
        except ConfigError:
            raise
        except Exception as error:
            raise self.wrong(f"fails when called with {called}", error) from error
        if not isinstance(value, Real) or not math.isfinite(value) or value < 0:
            raise ConfigError(
                f"schedule.function={self.path} must return a factor of at least 0, "
                f"but for {called} it returned {value!r}"
            )
        return float(value)

    def wrong(self, what: str, error: Exception) -> ConfigError:
        """An error of the function as one that names the setting."""
        reason = f"{type(error).__name__}: {error}"
        return ConfigError(f"schedule.function={self.path} {what}: {reason}")
