from copy import deepcopy
from dataclasses import asdict, fields
from typing import Any

import pytest
from support import config_of

from trainer.__main__ import CONF
from trainer.config.schema import CHOICES, GROUPS, Config, kind_of, settings_of, validate
from trainer.core.errors import ConfigError


@pytest.fixture
def config() -> dict[str, Any]:
    return config_of()


def change(config: dict[str, Any], setting: str, value: Any) -> dict[str, Any]:
    """The config with one setting changed."""
    group, _, name = setting.rpartition(".")
    (config[group] if group else config)[name] = value
    return config


def test_the_groups_are_the_folders_and_the_schema() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert folders - {"experiment", "sweep"} == set(GROUPS)
    assert set(GROUPS) <= {one.name for one in fields(Config)}


def test_the_defaults_of_the_schema_are_those_of_the_file(config: dict[str, Any]) -> None:
    outside = {key: value for key, value in asdict(Config()).items() if key not in GROUPS}
    assert {key: value for key, value in config.items() if key not in GROUPS} == outside


def test_the_defaults_pass_unchanged(config: dict[str, Any]) -> None:
    before = deepcopy(config)
    validate(config)
    assert config == before


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("batch_size", "all"),
        ("steps", 1),
        ("clip", 0.5),
        ("threads", 1),
        ("seed", 2**62),
        ("max_skips", 0),
        ("device", "cuda:3"),
        ("device", "mps"),
        ("checkpoint.every", "0.1run"),
        ("log.every", "1st"),
        *((name, choice) for name, choices in CHOICES.items() for choice in choices),
    ],
)
def test_what_is_in_range_passes(config: dict[str, Any], setting: str, value: Any) -> None:
    changed = change(config, setting, value)
    validate(changed)
    assert changed == change(config, setting, value)


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        ("epochs", 0, "epochs must be in [1, inf), got 0"),
        ("accumulate", 0, "accumulate must be in [1, inf), got 0"),
        ("eval_batch_size", 0, "eval_batch_size must be in [1, inf), got 0"),
        ("steps", 0, "steps must be in [1, inf), got 0"),
        ("seed", -1, "seed must be in [0, 9.2e18], got -1"),
        ("clip", 0.0, "clip must be in (0, inf), got 0.0"),
        ("max_skips", -1, "max_skips must be in [0, inf), got -1"),
        ("checkpoint.keep", 0, "checkpoint.keep must be in [1, inf), got 0"),
        ("batch_size", 0, "batch_size must be an integer of at least 1, or all, got 0"),
        ("batch_size", True, "batch_size must be an integer of at least 1, or all, got true"),
        ("batch_size", 2.0, "batch_size must be an integer of at least 1, or all, got 2.0"),
        ("batch_size", None, "batch_size must be an integer of at least 1, or all, got null"),
        ("split", "vall", "split must be one of train, val, test, got vall. Did you mean val?"),
        ("nonfinite", "x", "nonfinite must be one of raise, skip, got x"),
        ("device", "cuda:x", "device must be auto, cpu, cuda, cuda:N or mps, got cuda:x. Did you"),
        ("device", "gpu:0", "device must be auto, cpu, cuda, cuda:N or mps, got gpu:0. Did you m"),
        ("log.every", "5", "log.every must be a duration such as 5ep, 400st or 0.1run, got '5'"),
        ("log.every", "0ep", "log.every must be above 0, got 0ep"),
        (
            "checkpoint.every",
            "-1ep",
            "checkpoint.every must be a duration such as 5ep, 400st or 0.",
        ),
        ("nope", 1, "nope: there is no such setting."),
        ("epoch", 1, "epoch: there is no such setting. Did you mean epochs?"),
        ("log.evry", 1, "log.evry: there is no such setting. Did you mean log.every?"),
    ],
)
def test_what_is_out_of_range_is_refused(
    config: dict[str, Any], setting: str, value: Any, line: str
) -> None:
    with pytest.raises(ConfigError) as error:
        validate(change(config, setting, value))
    assert str(error.value).startswith(line)


@pytest.mark.parametrize("setting", ["epochs", "checkpoint", "log.every"])
def test_what_is_taken_away_is_missed(config: dict[str, Any], setting: str) -> None:
    group, _, name = setting.rpartition(".")
    del (config[group] if group else config)[name]
    with pytest.raises(ConfigError, match=f"{setting} must be given"):
        validate(config)


def test_a_settings_kind_is_found_by_its_dotted_name() -> None:
    assert kind_of("epochs") is int
    assert kind_of("clip") == float | None
    assert kind_of("checkpoint.keep") is int
    assert settings_of(kind_of("log")) == ["every"]
    assert kind_of("loss") is kind_of("nope") is kind_of("epochs.nope") is None
    assert settings_of(int) == []
