"""Components named by an import path, as in `optimizer._target_=torch.optim.NAdam`."""

from collections.abc import Sequence
from typing import Any

from trainer.config.build import locate, parameters_of

KEY = "._target_"


def retarget(config: dict[str, Any], overrides: Sequence[str]) -> None:
    """Where an override replaces a `_target_`, drop the settings of the class it replaces.

    Settings that the new target shares are kept. So are those that an override sets: one that the
    target does not have is reported later. Raises ConfigError for a target that cannot be imported.
    """
    overridden = [override.lstrip("+~").partition("=")[0] for override in overrides]
    for setting in (key.removesuffix(KEY) for key in overridden if key.endswith(KEY)):
        node = config
        for part in setting.split("."):
            node = node.get(part)
            if not isinstance(node, dict):
                break
        else:
            own = parameters_of(locate(node, setting), setting)
            for key in set(node) - set(own) - {"_target_"}:
                if not any(f"{one}.".startswith(f"{setting}.{key}.") for one in overridden):
                    del node[key]
