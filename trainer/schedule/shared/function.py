"""A function of counts as a factor on the learning rate, checked each time it is called."""

import math
from collections.abc import Callable
from functools import cached_property
from numbers import Real
from typing import Any

from trainer.config.build import import_callable
from trainer.core.errors import ConfigError
from trainer.core.option import import_path


class Function:
    """A function, or its import path `package.module.name`, imported on first use."""

    def __init__(self, function: str | Callable) -> None:
        self.given = function
        self.path = import_path(function)

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function. Raises ConfigError if the path cannot be imported."""
        if callable(self.given):
            return self.given
        try:
            return import_callable(self.given, "schedule.function")
        except ConfigError:
            raise
        except Exception as error:
            raise self.wrong("cannot be imported", error) from error

    def __call__(self, *counts: int) -> float:
        """The factor. Raises ConfigError unless it is a finite number of at least 0."""
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
        """The function's error as a ConfigError that names the setting."""
        reason = f"{type(error).__name__}: {error}"
        return ConfigError(f"schedule.function={self.path} {what}: {reason}")
