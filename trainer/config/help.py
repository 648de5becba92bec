"""The table in `--help`: each group with its options, the default first."""

import shutil
from textwrap import wrap

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from trainer.config.schema import GROUPS


def choices(*, _root_: DictConfig) -> str:
    """Return the table of groups and options, folded to the width of the terminal."""
    chosen = _root_.hydra.runtime.choices
    groups = (*GROUPS, "experiment", "sweep")
    # Hydra records no choice for a group that takes several options: they are the node's keys.
    first = {group: [chosen.get(group) or ""] for group in groups}
    first["augmentation"] = list(_root_.augmentation)
    return "\n".join(row(group, options(group, first[group])) for group in groups)


def options(group: str, first: list[str]) -> list[str]:
    """List a group's options, those in `first` before the others."""
    names = GlobalHydra.instance().config_loader().get_group_options(group)
    return sorted(names, key=lambda name: (name not in first, name))


def row(group: str, names: list[str]) -> str:
    """Format a row of the table; long lists continue under the second column."""
    width = min(shutil.get_terminal_size().columns, 100)
    text = " ".join(names) or "-"
    return "\n".join(wrap(text, width, initial_indent=f"  {group:<16}", subsequent_indent=" " * 18))
