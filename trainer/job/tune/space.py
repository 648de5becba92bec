"""Search space: the values of each setting, in Hydra's sweep syntax."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from trainer.core.errors import ConfigError

if TYPE_CHECKING:
    from optuna.trial import Trial

LOG = re.compile(r"\s*log\(([^,()]+),([^,()]+)\)\s*")
INTEGER = re.compile(r"\s*\d+\s*")
DIGITS = 4  # significant digits of a drawn number


@dataclass(frozen=True)
class Choice:
    """One of several values, as typed on the command line."""

    values: tuple[str, ...]

    @property
    def first(self) -> str:
        """The first value, for checking the settings."""
        return self.values[0]

    def suggest(self, trial: Trial, name: str) -> str:
        """Let the trial draw a value, returned as typed on the command line."""
        return trial.suggest_categorical(name, self.values)

    def has(self, text: str) -> bool:
        """Whether a text is one of the values."""
        return text in self.values


@dataclass(frozen=True)
class Numbers:
    """Numbers from low to high, in multiples of `step` from low; with `log` uniform in log."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def first(self) -> str:
        """The lowest number, for checking the settings."""
        return format_number(self.low)

    def suggest(self, trial: Trial, name: str) -> str:
        """Let the trial draw a value, returned as typed on the command line."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = 1 if self.step is None else int(self.step)
            return str(trial.suggest_int(name, self.low, self.high, step=step, log=self.log))
        return format_number(
            trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        )

    def has(self, text: str) -> bool:
        """Whether a text is a number of the range, but for what formatting rounds off."""
        try:
            value = float(text)
        except ValueError:
            return False
        slack = 10.0 ** (1 - DIGITS) * max(abs(self.low), abs(self.high))
        return self.low - slack <= value <= self.high + slack


Space = dict[str, Choice | Numbers]


def format_number(value: float) -> str:
    """Format a number for the command line, floats to four significant digits."""
    return str(value) if isinstance(value, int) else f"{value:.{DIGITS}g}"


def space_of(node: Mapping[str, Any] | None) -> Space:
    """Parse `job.space`. Raises ConfigError if it is empty or has invalid values."""
    space = {name: values_of(name, text) for name, text in list_leaves(node or {})}
    if not space:
        raise ConfigError(
            "job.space needs at least one setting with its values, such as "
            "'job.space={optimizer.lr:\"log(1e-4,1e-1)\"}'"
        )
    return space


def list_leaves(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """List the leaves of nested settings as pairs of dotted name and value."""
    leaves: list[tuple[str, Any]] = []
    for key, value in node.items():
        name = f"{prefix}{key}"
        leaves += list_leaves(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return leaves


def owner_of(name: str, space: Space) -> str | None:
    """The setting of a space on whose option another one depends: `mining` for `mining.keep`."""
    group, dot, _ = name.lstrip("+~").partition(".")
    return group if dot and group in space else None


def values_of(name: str, text: Any) -> Choice | Numbers:
    """Parse the values of a setting: Hydra's sweep syntax or `log(low,high)`."""
    if isinstance(text, (list, tuple)):
        text = ",".join(map(str, text))
    log = LOG.fullmatch(str(text))
    if log:
        integers = all(INTEGER.fullmatch(end) for end in log.groups())
        text = f"{'int(' * integers}interval({log[1]},{log[2]}){')' * integers}"
    try:
        override = OverridesParser.create().parse_override(f"{name}={text}")
        return values_in(override, log=log is not None)
    except (HydraException, ValueError) as error:
        raise ConfigError(
            f"job.space.{name}={text}: give values as in a sweep, such as a,b,c, range(1,5), "
            f"interval(0,1) or log(1e-4,1e-1)"
        ) from error


def values_in(override: Override, *, log: bool) -> Choice | Numbers:
    """Convert Hydra's sweep override. Raises ValueError for an empty interval."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        if low is None or high is None or low >= high or (log and low <= 0):
            raise ValueError(f"{low} to {high}")
        return Numbers(low, high, log=log)
    values = list(override.sweep_string_iterator()) if override.is_sweep_override() else []
    if isinstance(value, RangeSweep) and len(values) > 1:
        numbers = [float(text) if "." in text else int(text) for text in values]
        return Numbers(numbers[0], numbers[-1], step=numbers[1] - numbers[0])
    if not values:
        values = [override.get_value_element_as_str()]
    return Choice(tuple(values))
