"""Makes Hydra compose the config of a command in less time, to the same result.

Hydra composes it twice, the first time to read `hydra.mode`; it builds a map for references in the
defaults list of each file, though hardly any file has one; it parses the same references again and
again; and it parses YAML without libyaml.
"""

from functools import cache, lru_cache
from typing import Any

import yaml
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, _utils, base, grammar_parser

load = ConfigLoaderImpl.load_configuration
map_of_choices = defaults_list._create_interpolation_map
slow_loader = _utils.get_yaml_loader


def install() -> None:
    """Replace functions of Hydra's and OmegaConf's."""
    ConfigLoaderImpl.load_configuration = load_once
    defaults_list._create_interpolation_map = map_if_needed
    _utils.get_yaml_loader = fast_loader
    _utils.parse = base.parse = lru_cache(1000)(grammar_parser.parse)


def load_once(
    self: ConfigLoaderImpl,
    config_name: str | None,
    overrides: list[str],
    run_mode: RunMode,
    from_shell: bool = True,
    validate_sweep_overrides: bool = True,
) -> DictConfig:
    """Compose a config; the one from which Hydra has read the mode is taken for the run itself."""
    mode = f"hydra.mode={run_mode.name}"
    known, config = vars(self).pop("composed", (None, None))
    if config is not None and known == (config_name, overrides[:-1]) and overrides[-1] == mode:
        parsed = OverridesParser.create().parse_overrides(overrides)
        self.validate_sweep_overrides_legal(parsed, run_mode, from_shell)
        OmegaConf.update(config, "hydra.mode", run_mode.name, merge=True)
        config.hydra.overrides.hydra.append(mode)
        return config
    config = load(self, config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
    reads_mode = not validate_sweep_overrides
    if reads_mode and "???" not in config.hydra.runtime.choices.values():
        vars(self)["composed"] = ((config_name, list(overrides)), config)
    return config


def map_if_needed(overrides: Any, defaults: list[Any], self_added: bool) -> DictConfig:
    """The choices that a defaults list may refer to, empty if it refers to none."""
    if any(not default.is_self() and default.is_interpolation() for default in defaults):
        return map_of_choices(overrides, defaults, self_added)
    return OmegaConf.create()


@cache
def fast_loader() -> Any:
    """OmegaConf's loader of YAML, with libyaml's parser where there is one."""
    slow = slow_loader()
    if not yaml.__with_libyaml__:
        return slow
    from yaml.cyaml import CParser  # pyright: ignore

    class Loader(CParser, slow):
        def __init__(self, stream: Any) -> None:
            CParser.__init__(self, stream)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    return Loader
