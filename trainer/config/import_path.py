"""A component by its import path, as in `optimizer._target_=torch.optim.NAdam`."""

from collections.abc import Sequence
from typing import Any

from trainer.config.build import locate, parameters_of

KEY = "._target_"


def retarget(config: dict[str, Any], overrides: Sequence[str]) -> None:
    """Where an override names a target, drop the settings of the option that it stands in for.

    Those stay that the new target has, too, and those that an override gives: one that it does not
    have is then refused. Raises ConfigError for a target that cannot be imported.
    """
    typed = [override.lstrip("+~").partition("=")[0] for override in overrides]
    for setting in (key.removesuffix(KEY) for key in typed if key.endswith(KEY)):
        node = config
        for part in setting.split("."):
            node = node.get(part)
            if not isinstance(node, dict):
                break
        else:
            own = parameters_of(locate(node, setting), setting)
            for key in set(node) - set(own) - {"_target_"}:
                if not any(f"{one}.".startswith(f"{setting}.{key}.") for one in typed):
                    del node[key]
