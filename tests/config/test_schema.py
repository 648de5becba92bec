from copy import deepcopy
from dataclasses import asdict, fields
from typing import Any

import pytest
from support import config_of

from trainer.__main__ import CONF
from trainer.config.schema import CHOICES, GROUPS, Config, annotation_of, settings_of, validate
from trainer.core.errors import ConfigError


@pytest.fixture
def config() -> dict[str, Any]:
    return config_of()


def change(config: dict[str, Any], setting: str, value: Any) -> dict[str, Any]:
    """Change one setting of the config, in place, and return it."""
    group, _, name = setting.rpartition(".")
    (config[group] if group else config)[name] = value
    return config


def test_the_groups_are_the_folders_of_conf_and_in_the_schema() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert folders - {"experiment", "sweep"} == set(GROUPS)
    assert set(GROUPS) <= {one.name for one in fields(Config)}


def test_the_defaults_of_the_schema_are_those_of_the_file(config: dict[str, Any]) -> None:
    outside = {key: value for key, value in asdict(Config()).items() if key not in GROUPS}
    assert {key: value for key, value in config.items() if key not in GROUPS} == outside


def test_the_defaults_are_valid_and_stay_unchanged(config: dict[str, Any]) -> None:
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
def test_a_value_in_range_is_accepted(config: dict[str, Any], setting: str, value: Any) -> None:
    changed = change(config, setting, value)
    before = deepcopy(changed)
    validate(changed)
    assert changed == before


@pytest.mark.parametrize(
    ("setting", "value", "fragments"),
    [
        ("epochs", 0, ["[1, inf)", "got 0"]),
        ("accumulate", 0, ["[1, inf)", "got 0"]),
        ("eval_batch_size", 0, ["[1, inf)", "got 0"]),
        ("steps", 0, ["[1, inf)", "got 0"]),
        ("seed", -1, ["[0, 9.2e18]", "got -1"]),
        ("clip", 0.0, ["(0, inf)", "got 0.0"]),
        ("max_skips", -1, ["[0, inf)", "got -1"]),
        ("checkpoint.keep", 0, ["[1, inf)", "got 0"]),
        ("batch_size", 0, ["integer", "all", "got 0"]),
        ("batch_size", True, ["integer", "all", "got true"]),
        ("batch_size", 2.0, ["integer", "all", "got 2.0"]),
        ("batch_size", None, ["integer", "all", "got null"]),
        ("split", "vall", ["train, val, test", "got vall", "Did you mean val?"]),
        ("nonfinite", "x", ["raise, skip", "got x"]),
        ("device", "cuda:x", ["cuda:N", "got cuda:x", "Did you mean cuda"]),
        ("device", "gpu:0", ["cuda:N", "got gpu:0", "Did you mean cuda?"]),
        ("log.every", "5", ["5ep, 400st or 0.1run", "got '5'"]),
        ("log.every", "0ep", ["above 0", "got 0ep"]),
        ("checkpoint.every", "-1ep", ["5ep, 400st or 0.1run", "got '-1ep'"]),
        ("nope", 1, ["no such setting"]),
        ("epoch", 1, ["Did you mean epochs?"]),
        ("log.evry", 1, ["Did you mean log.every?"]),
    ],
)
def test_a_value_out_of_range_is_refused(
    config: dict[str, Any], setting: str, value: Any, fragments: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        validate(change(config, setting, value))
    assert str(error.value).startswith(setting)
    assert all(fragment in str(error.value) for fragment in fragments)


@pytest.mark.parametrize("setting", ["epochs", "checkpoint", "log.every"])
def test_a_deleted_setting_is_reported(config: dict[str, Any], setting: str) -> None:
    group, _, name = setting.rpartition(".")
    del (config[group] if group else config)[name]
    with pytest.raises(ConfigError, match=f"{setting} must be given"):
        validate(config)


def test_the_type_of_a_setting_is_found_by_its_dotted_name() -> None:
    assert annotation_of("epochs") is int
    assert annotation_of("clip") == float | None
    assert annotation_of("checkpoint.keep") is int
    assert settings_of(annotation_of("log")) == ["every"]
    assert annotation_of("loss") is annotation_of("nope") is annotation_of("epochs.nope") is None
    assert settings_of(int) == []
