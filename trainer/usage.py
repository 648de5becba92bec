"""What `--help` lists: each group with its options, the default first."""

import shutil
from textwrap import wrap

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from trainer.schema import GROUPS


def choices(*, _root_: DictConfig) -> str:
    """The table of groups and options, as wide as the terminal."""
    chosen = _root_.hydra.runtime.choices
    groups = (*GROUPS, "experiment", "sweep")
    return "\n".join(row(group, options(group, chosen.get(group))) for group in groups)


def options(group: str, chosen: object) -> list[str]:
    """A group's options; what is chosen comes first."""
    names = GlobalHydra.instance().config_loader().get_group_options(group)
    first = chosen if isinstance(chosen, list) else [chosen]
    return sorted(names, key=lambda name: (name not in first, name))


def row(group: str, names: list[str]) -> str:
    """A line of the table, folded under its second column."""
    width = min(shutil.get_terminal_size().columns, 100)
    text = " ".join(names) or "-"
    return "\n".join(wrap(text, width, initial_indent=f"  {group:<16}", subsequent_indent=" " * 18))
