"""Config files of the user's own that would take forever to read are refused at once."""

from pathlib import Path

import yaml

from trainer.core.errors import ConfigError

DEEPEST = 50
LARGEST = 100_000  # nodes, each alias counted as what it stands for

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_folder(folder: Path) -> None:
    """Raise ConfigError for a YAML file that is nested too deeply or unfolds to too much."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            problem = unfold(path.read_text())
        except (yaml.YAMLError, OSError, UnicodeDecodeError):
            continue  # Hydra says so if the file is chosen
        if problem:
            raise ConfigError(f"{path}: {problem}")


def unfold(text: str) -> str:
    """What is wrong with a text, by counting the nodes that its aliases stand for."""
    sizes: dict[str, int] = {}  # of what an anchor names
    open_nodes: list[tuple[str | None, int]] = []  # anchor, nodes before it
    total = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_nodes):
                return f"*{event.anchor} refers to what it is in"
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
            return f"its aliases unfold to more than {LARGEST:,} nodes"
    return ""
