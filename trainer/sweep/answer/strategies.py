"""The strategies of a command line: every combination of the values that it lists."""

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from trainer.core.errors import ConfigError
from trainer.core.option import PLAIN
from trainer.core.suggest import did_you_mean

SEED = "seed"
FOLDS = ("dataset.fold", "dataset.folds")


@dataclass(frozen=True)
class Strategy:
    """A combination: what it varies names it."""

    label: str  # `mining=ohem mixer=none`
    overrides: tuple[str, ...]  # of its runs, but for the seed


def strategies_of(jobs: Sequence[Sequence[str]]) -> tuple[list[Strategy], int]:
    """The strategies of a sweep's jobs, without their seeds, and the first seed: the lowest.

    Raises ConfigError for fewer than two, and for a sweep over folds.
    """
    seeds = {int(value) for job in jobs for key, value in map(split, job) if key == SEED}
    plain = list(dict.fromkeys(tuple(o for o in job if split(o)[0] != SEED) for job in jobs))
    shared = set.intersection(*(set(job) for job in plain))
    varied = {split(o)[0] for job in plain for o in job if o not in shared}
    if folds := varied.intersection(FOLDS):
        raise ConfigError(
            f"{min(folds)}: folds are no strategies, and sweep=answer repeats by seed; give one "
            "fold, or none"
        )
    if len(plain) < 2:
        raise ConfigError(
            "sweep=answer compares strategies: give a setting two values or more, such as "
            "mining=none,ohem"
        )
    return [Strategy(name(job, varied), job) for job in plain], min(seeds, default=0)


def split(override: str) -> tuple[str, str]:
    """The setting of an override, without a leading plus, and its value."""
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def name(job: Sequence[str], varied: set[str]) -> str:
    """The overrides of a job that vary, in one line, without the escapes that Hydra adds."""
    words = ("=".join(split(o)) for o in job if split(o)[0] in varied)
    return re.sub(r"\\(.)", r"\1", " ".join(words))


def find_baseline(strategies: Sequence[Strategy], asked: str | None) -> Strategy:
    """The strategy that is asked for, by default the first of those with the most `none`.

    Raises ConfigError where none matches, or several.
    """
    if asked is None:
        return max(strategies, key=lambda one: sum(v in PLAIN for v in values(one)))
    exact = [one for one in strategies if one.label == asked]
    found = exact or [one for one in strategies if all(has(one, w) for w in asked.split())]
    if len(found) == 1:
        return found[0]
    labels = [one.label for one in found or strategies]
    setting = f"hydra.sweeper.baseline={asked}"
    if found:
        raise ConfigError(f"{setting} is any of {len(found)} strategies: {'; '.join(labels)}")
    hint = did_you_mean(asked, labels) or f" There are {'; '.join(labels)}"
    raise ConfigError(f"{setting}: no such strategy.{hint}")


def values(strategy: Strategy) -> list[str]:
    """The values in a strategy's label."""
    return [split(word)[1] for word in strategy.label.split()]


def has(strategy: Strategy, word: str) -> bool:
    """Whether a strategy has a setting, `mining=none`, or a value, `none`."""
    return word in strategy.label.split() if "=" in word else word in values(strategy)


def with_seed(config: DictConfig, override: str) -> DictConfig:
    """A composed config without a seed, with `seed=3`: equal to Hydra's, which takes 0.4 s."""
    own = deepcopy(config)
    OmegaConf.update(own, SEED, int(split(override)[1]), merge=True)
    own.hydra.overrides.task.append(override)
    words = OmegaConf.to_container(own.hydra.overrides.task, resolve=False)  # `${seed}` stays
    task = OverridesParser.create().parse_overrides(words)  # pyright: ignore
    naming = own.hydra.job.config.override_dirname
    own.hydra.job.override_dirname = get_overrides_dirname(
        task, [*naming.exclude_keys], naming.item_sep, naming.kv_sep
    )
    return own
