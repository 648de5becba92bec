"""Limits on YAML files: a hostile or broken one is refused before it is expanded."""

from pathlib import Path

import yaml

from trainer.core.errors import ConfigError

DEEPEST = 50
LARGEST = 100_000  # nodes, each alias counted with all that it refers to
LONGEST = 100  # characters of a number: YAML's may be of base 60, and take hours to add up
NUMERIC = frozenset("0123456789abcdefABCDEF_xXoO:.+-")

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
AS_TEXT = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # every scalar as it is written


def check_folder(folder: Path) -> None:
    """Raise ConfigError for a YAML file in a folder that is nested too deeply or too large."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            problem = exceeded_limit(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, OSError, UnicodeDecodeError):
            continue  # Hydra reports it if the file is chosen
        if problem:
            raise ConfigError(f"{path}: {problem}")


def exceeded_limit(text: str, *, tags: bool = True) -> str:
    """Describe the limit that a YAML text exceeds; empty if it exceeds none.

    Only the parser's events are read: expanding the aliases is what must not happen. Without
    `tags`, a value may not say its own type: some make the loader fail in ways of their own.
    """
    sizes: dict[str, int] = {}  # nodes below each anchor
    open_nodes: list[tuple[str | None, int]] = []  # anchor of each, and nodes before it
    total = 0
    for event in yaml.parse(text, Loader=LOADER):
        if not tags and getattr(event, "tag", None) is not None:
            return f"it has a tag, {event.tag}"
        if isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_nodes):
                return f"*{event.anchor} is inside the node that it refers to"
            total += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if len(event.value) > LONGEST and NUMERIC.issuperset(event.value) and plain(event):
                return f"a number of more than {LONGEST} characters: {event.value:.20}..."
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


def plain(event: yaml.ScalarEvent) -> bool:
    """Whether a scalar stands without quotes, or has a tag, and so may be a number."""
    return bool(event.implicit[0]) or event.tag is not None
