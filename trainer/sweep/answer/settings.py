"""The settings of sweep=answer, `hydra.sweeper.*`, checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.core.errors import ConfigError
from trainer.core.ranges import within

TARGET = "hydra_plugins.trainer.Answer"  # Hydra instantiates no plugin outside hydra_plugins
EXAMPLE = '{optimizer.lr:"log(1e-4,1e-1)"}'
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass
class Settings:
    """The settings of `hydra.sweeper`."""

    _target_: str = TARGET
    seeds: int = 30  # at most, of each strategy
    first: int = 5  # seeds before the first look
    budget: str | None = None  # time for all runs, such as 30min; null: until the seeds are spent
    margin: float | None = None  # a difference within it counts as none
    metric: str | None = None  # as job.metric of job=compare
    baseline: str | None = None  # an option or settings; null: the strategy with most `none`
    level: float = 0.95  # 1 - level: the chance of any wrong statement, at most
    tune: Any = None  # as job.space of job=tune; a mapping could not be given new keys
    trials: int = 8  # of each strategy, where tune is given
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


@dataclass(frozen=True)
class Limits:
    """The settings as they are used."""

    seeds: int
    first: int
    budget: float | None  # seconds
    margin: float | None
    metric: str | None
    baseline: str | None
    level: float
    tune: dict[str, Any]
    trials: int

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Limits":
        """The settings given. Raises ValueError or ConfigError for one that makes no sense."""
        prefix = "hydra.sweeper."
        within(f"{prefix}first", given["first"], "[4, 1000]")
        within(f"{prefix}seeds", given["seeds"], f"[{given['first']}, 1000]")
        within(f"{prefix}level", given["level"], "[0.5, 1)")
        within(f"{prefix}trials", given["trials"], "[1, inf)")
        if given["margin"] is not None:
            within(f"{prefix}margin", given["margin"], "(0, inf)")
        tune = given["tune"] or {}
        if not isinstance(tune, dict):
            raise ConfigError(f"{prefix}tune={tune}: give settings with their values, {EXAMPLE}")
        return cls(**{**given, "budget": seconds_of(given["budget"]), "tune": tune})


def seconds_of(text: str | None) -> float | None:
    """The seconds in `90s`, `30min`, `8h` or `2d`. Raises ConfigError for any other text."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|min|h|d)", text)
    if match is None or not float(match[1]):
        raise ConfigError(
            f"hydra.sweeper.budget={text}: give a time for all runs, such as 90s, 30min, 8h or 2d"
        )
    return float(match[1]) * UNITS[match[2]]


def duration(seconds: float) -> str:
    """Format a time for people: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
