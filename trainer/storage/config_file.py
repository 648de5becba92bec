"""The `config.yaml` of a run: untrusted data, read as plain YAML. Nothing here imports torch."""

import json
from pathlib import Path
from typing import Any

import yaml

from trainer.config.schema import GROUPS
from trainer.core.errors import CheckpointError
from trainer.core.yaml_limits import LOADER, exceeded_limit
from trainer.storage.untrusted import read_text


def read_config(path: Path) -> dict[str, Any]:
    """Read the config in a YAML file, or in JSON. Raises CheckpointError if there is none in it."""
    text = read_text(path)
    problem = None
    try:
        if path.suffix == ".json":  # no subset of YAML 1.1: 1e-05 would be text
            config = json.loads(text)
        else:
            problem = exceeded_limit(text, tags=False)
            config = {} if problem else yaml.load(text, LOADER)  # noqa: S506  (a safe loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {type(error).__name__}") from error
    if problem:
        raise CheckpointError(f"{path}: {problem}")
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is not a config")
    if problem := foreign_value(config):
        raise CheckpointError(f"{path}: {problem}")
    for group in GROUPS:
        if not isinstance(node := config.get(group, {}), dict):
            raise CheckpointError(f"{path}: {group} must be a mapping, got {node!r:.80}")
    return config


def foreign_value(node: object, name: str = "") -> str:
    """Describe a key or a value that no config has, such as a date; empty where there is none."""
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str):
                return f"{name or 'the config'} has the key {key!r:.80}, which is not text"
            if problem := foreign_value(value, f"{name}.{key}" if name else key):
                return problem
    elif isinstance(node, list):
        found = (foreign_value(value, f"{name}[{i}]") for i, value in enumerate(node))
        return next(filter(None, found), "")
    elif node is not None and type(node) not in (str, int, float, bool):
        return f"{name} is a {type(node).__name__}"
    return ""
