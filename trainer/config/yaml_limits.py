"""Limits on YAML files: a hostile or broken one is refused before it is expanded."""

from pathlib import Path

import yaml

from trainer.core.errors import ConfigError

DEEPEST = 50
LARGEST = 100_000  # nodes, each alias counted with all that it refers to

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_folder(folder: Path) -> None:
    """Raise ConfigError for a YAML file in a folder that is nested too deeply or too large."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            problem = exceeded_limit(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, OSError, UnicodeDecodeError):
            continue  # Hydra reports it if the file is chosen
        if problem:
            raise ConfigError(f"{path}: {problem}")


def exceeded_limit(text: str) -> str:
    """Describe the limit that a YAML text exceeds; empty if it exceeds none.

    Only the parser's events are read: expanding the aliases is what must not happen.
    """
    sizes: dict[str, int] = {}  # nodes below each anchor
    open_nodes: list[tuple[str | None, int]] = []  # anchor of each, and nodes before it
    total = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_nodes):
                return f"*{event.anchor} is inside the node that it refers to"
            total += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            total += 1
            if anchor is not None:
                sizes[anchor] = total - before
        if len(open_nodes) > DEEPEST:
            return f"nested more than {DEEPEST} deep"
        if total > LARGEST:
            return f"its aliases expand to more than {LARGEST:,} nodes"
    return ""
