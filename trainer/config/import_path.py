"""Components named by an import path, as in `optimizer._target_=torch.optim.NAdam`."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trainer.config.build import CODE, locate, parameters_of

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


def named_code(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of every setting that names code, at any depth."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in CODE:
                yield f"{prefix}{key}", value
            yield from named_code(value, f"{prefix}{key}.")
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from named_code(value, f"{prefix}{i}.")


def find_here(config: Mapping[str, Any]) -> None:
    """Look for modules in the current folder too, after all others, if the config needs one there.

    The config is the command line's: nothing that a foreign run folder names is in it.
    """
    packages = {str(name).partition(".")[0] for _, name in named_code(config)}
    if any(lies_here(package) for package in packages - set(sys.modules)):
        sys.path.append(str(Path.cwd()))


def lies_here(package: str) -> bool:
    """Whether the current folder has a module of this name, and no other place has."""
    if (
        not (Path(f"{package}.py").is_file() or Path(package).is_dir())
        or not package.isidentifier()
    ):
        return False
    return find_spec(package) is None
