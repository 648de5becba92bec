"""What is replaced in Hydra and OmegaConf gives what the originals give."""

from pathlib import Path
from unittest import mock

import pytest
import yaml
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import OmegaConf

from trainer.__main__ import CONF, register
from trainer.config import faster_hydra
from trainer.config.overrides import CommandLine


def both_ways(overrides: list[str], mode: RunMode) -> list[object]:
    """The configs of a command as Hydra and as the program composes them, in that order."""
    loader = CommandLine(overrides, CONF).loader
    with_mode = [*overrides, f"hydra.mode={mode.name}"]
    slow = faster_hydra.load(loader, "config", with_mode, mode)
    read = loader.load_configuration("config", overrides, RunMode.MULTIRUN, True, False)
    with mock.patch.object(loader, "_load_configuration_impl", side_effect=AssertionError):
        taken = loader.load_configuration("config", with_mode, mode)
    assert taken is read
    return [OmegaConf.to_container(config, resolve=False) for config in (slow, taken)]


@pytest.mark.parametrize("mode", list(RunMode))
def test_the_run_takes_the_config_from_which_the_mode_was_read(mode: RunMode) -> None:
    register()
    overrides = ["mining=ohem", "epochs=3", "experiment=fine_tuning"]
    slow, fast = both_ways(overrides, mode)
    assert fast == slow


def test_other_settings_are_composed_anew_and_sweeps_are_still_refused() -> None:
    register()
    loader = CommandLine([], CONF).loader
    loader.load_configuration("config", ["epochs=2"], RunMode.MULTIRUN, True, False)
    other = loader.load_configuration("config", ["epochs=3", "hydra.mode=RUN"], RunMode.RUN)
    assert other.epochs == 3
    loader.load_configuration("config", ["epochs=1,2"], RunMode.MULTIRUN, True, False)
    with pytest.raises(ConfigCompositionException, match="epochs=1,2"):
        loader.load_configuration("config", ["epochs=1,2", "hydra.mode=RUN"], RunMode.RUN)


def test_a_reference_in_a_defaults_list_is_followed(tmp_path: Path) -> None:
    register()
    for name, text in {
        "config": "defaults: [a: one, b: '${a}']",
        "a/two": "x: 2",
        "b/two": "y: 2",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    loader = ConfigLoaderImpl(create_config_search_path(str(tmp_path)))
    config = loader.load_configuration("config", ["a=two"], RunMode.RUN)
    assert (config.a.x, config.b.y) == (2, 2)
    assert defaults_list._create_interpolation_map is faster_hydra.map_if_needed


def test_yaml_is_read_as_before() -> None:
    text = "{a: 1e-3, b: 2026-11-29, c: .inf, d: 'x: y', e: [no, 0x1f, ~], f: &f {g: 1}, h: *f}"
    slow, fast = faster_hydra.slow_loader(), faster_hydra.fast_loader()
    assert yaml.load(text, fast) == yaml.load(text, slow)  # noqa: S506
    assert issubclass(fast, yaml.CSafeLoader.__bases__[0])
    for wrong in ("{a: 1, a: 2}", "a: !!python/name:os.system"):
        with pytest.raises(yaml.constructor.ConstructorError):
            yaml.load(wrong, fast)  # noqa: S506
