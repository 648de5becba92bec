"""The strategies of a command line, their baseline, and settings that make no sense."""

from copy import deepcopy

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf
from support import CONF

from trainer.__main__ import register
from trainer.core.errors import ConfigError
from trainer.sweep.answer.settings import Limits, Settings, seconds_of
from trainer.sweep.answer.strategies import find_baseline, strategies_of, with_seed

JOBS = [
    ["model=mlp", f"mining={mining}", f"+mixer.x={x}", f"seed={seed}"]
    for mining in ("ohem", "none")
    for x in (1, 2)
    for seed in (4, 3)
]


def limits(**settings: object) -> Limits:
    """The limits of the default settings with some of them changed."""
    plain = {k: v for k, v in vars(Settings()).items() if k not in ("_target_", "params")}
    plain.pop("max_batch_size")
    return Limits.of(plain | settings)


def test_every_combination_is_a_strategy_named_by_what_varies():
    strategies, first = strategies_of(JOBS)
    assert [one.label for one in strategies] == [
        *("mining=ohem mixer.x=1", "mining=ohem mixer.x=2"),
        *("mining=none mixer.x=1", "mining=none mixer.x=2"),
    ]
    assert strategies[0].overrides == ("model=mlp", "mining=ohem", "+mixer.x=1")
    assert first == 3, "seeds on the command line are not strategies; the lowest is the first"
    strategies, _ = strategies_of([["finetune.source=null"], [r"finetune.source=a/$\{seed\}"]])
    assert strategies[1].label == "finetune.source=a/${seed}"


def test_the_baseline_has_the_most_none_or_is_asked_for():
    strategies, _ = strategies_of(JOBS)
    assert find_baseline(strategies, None).label == "mining=none mixer.x=1"
    assert find_baseline(strategies, "ohem 2").label == "mining=ohem mixer.x=2"
    assert find_baseline(strategies, "mining=none mixer.x=2").label == "mining=none mixer.x=2"
    with pytest.raises(ConfigError, match=r"baseline=ohem is any of 2 strategies: mining=ohem"):
        find_baseline(strategies, "ohem")
    with pytest.raises(ConfigError, match=r"baseline=ohme: no such strategy"):
        find_baseline(strategies, "ohme")


def test_what_is_no_comparison_is_refused():
    with pytest.raises(ConfigError, match="two values or more"):
        strategies_of([["mining=ohem", "seed=0"], ["mining=ohem", "seed=1"]])
    with pytest.raises(ConfigError, match=r"dataset\.fold: folds are no strategies"):
        strategies_of([["dataset.fold=0"], ["dataset.fold=1"]])


def test_a_config_with_a_seed_is_the_one_that_hydra_composes():
    line = ["model=mlp", "+optimizer.foreach=false", "finetune.source=a/${seed}"]
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        load = GlobalHydra.instance().config_loader().load_configuration
        plain, expected = (
            load("config", [*line, *seed], run_mode=RunMode.RUN) for seed in ([], ["seed=7"])
        )
    kept = deepcopy(plain)
    found = with_seed(plain, "seed=7")
    assert OmegaConf.to_container(found) == OmegaConf.to_container(expected)
    assert found.finetune.source == "a/7"
    assert OmegaConf.to_container(plain) == OmegaConf.to_container(kept)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30min", 1800), ("1.5h", 5400), ("2d", 172_800)]
)
def test_a_budget_is_a_time(text: str, seconds: float):
    assert seconds_of(text) == seconds
    assert limits(budget=text).budget == seconds


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": "30"}, r"hydra\.sweeper\.budget=30: give a time"),
        ({"budget": "0h"}, r"hydra\.sweeper\.budget=0h"),
        ({"first": 3}, r"hydra\.sweeper\.first must be in \[4, 1000\], got 3"),
        ({"seeds": 4}, r"hydra\.sweeper\.seeds must be in \[5, 1000\], got 4"),
        ({"margin": 0.0}, r"hydra\.sweeper\.margin must be in \(0, inf\), got 0\.0"),
        ({"level": 1.0}, r"hydra\.sweeper\.level"),
        ({"tune": 3}, r"hydra\.sweeper\.tune=3: give settings with their values, {optimizer"),
        ({"trials": 0}, r"hydra\.sweeper\.trials"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], message: str):
    with pytest.raises((ConfigError, ValueError), match=message):
        limits(**settings)
