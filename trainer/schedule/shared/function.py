"""A user's function that returns a factor on the learning rate, checked at each call."""

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
            raise self.failure("cannot be imported", error) from error

    def __call__(self, *counts: int) -> float:
        """The factor for the counts. Raises ConfigError unless it is finite and at least 0."""
        arguments = f"({', '.join(map(str, counts))})"
        try:
            value = self.function(*counts)
        except ConfigError:
            raise
        except Exception as error:
            raise self.failure(f"fails when called with {arguments}", error) from error
        if not isinstance(value, Real) or not math.isfinite(value) or value < 0:
            raise ConfigError(
                f"schedule.function={self.path} must return a factor of at least 0, "
                f"but for {arguments} it returned {value!r}"
            )
        return float(value)

    def failure(self, event: str, error: Exception) -> ConfigError:
        """A ConfigError that names the setting, the event and the function's own error."""
        reason = f"{type(error).__name__}: {error}"
        return ConfigError(f"schedule.function={self.path} {event}: {reason}")
