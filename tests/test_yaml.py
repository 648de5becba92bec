"""Every option of every group can be built, and its keys are its class's settings.

New YAML files are picked up automatically.
"""

import inspect
import re
from dataclasses import is_dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import CONF, node_of, options, row_of
from torch import nn

from trainer.config.build import build, locate
from trainer.config.schema import GROUPS
from trainer.core.errors import ConfigError

NO_COMPONENTS = ("experiment", "sweep", "hydra")  # folders of whole configs, not of components
MODEL = nn.Linear(4, 2)
COLLABORATORS: dict[str, Any] = {
    "shape": (1, 28, 28),
    "words": 30,  # of texts
    "outputs": 10,
    "model": MODEL,
    "params": list(MODEL.parameters()),
    "seed": 0,
    "restore": lambda *_: None,  # of a teacher
    "noise_rate": 0.2,
    "warn": print,  # of a cache that cannot be written
}
REQUIRED = {"rho": {"reference": "outputs/irreducible"}}  # settings without a sensible default
FILES = sorted(path for path in CONF.glob("*/*.yaml") if path.parent.name not in NO_COMPONENTS)
OPTIONS = {
    group: [path.stem for path in files]
    for group, files in groupby(FILES, key=lambda path: path.parent.name)
}


def nodes(path: Path) -> dict[str, dict[str, Any]]:
    """Return an option's nodes by setting: one, or one for each augmentation of a preset."""
    group = path.parent.name
    node = node_of(group, path.stem)
    if group == "augmentation":
        return {f"augmentation.{name}": part for name, part in node.items()}
    return {group: node}


@pytest.mark.parametrize("row", range(max(len(options(group)) for group in GROUPS)))
def test_an_options_file_is_what_hydra_composes(row: int) -> None:
    """The row-th of every group, so that other tests need not compose them."""
    for group, node in row_of(row).items():
        if group in GROUPS:
            assert node == node_of(group, options(group)[row % len(options(group))]), group


def component_of(node: dict[str, Any], setting: str) -> Any:
    """Build the component; skip the test if it needs an extra that is not installed.

    A required setting, null in the YAML, is given a path.
    """
    try:
        return build(node, setting, object, **COLLABORATORS)
    except ConfigError as error:
        needed = re.match(rf"{setting}\.(\w+) must be given", str(error))
        if needed and node.get(needed[1], "") is None:
            return component_of({**node, needed[1]: "some/path"}, setting)
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and not str(cause.name).startswith("trainer"):
            pytest.skip(f"{cause.name} is not installed")
        if re.search(r"needs the \w+ extra: pip install", str(error)):
            pytest.skip(str(error))
        raise


def own_settings(target: Any) -> set[str]:
    """Return the keywords that a class itself declares, without inherited ones."""
    if inspect.isclass(target) and "__init__" not in vars(target):
        return set()
    parameters = inspect.signature(target).parameters.values()
    names = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - set(COLLABORATORS)
    if is_dataclass(target):
        names &= set(inspect.get_annotations(target))
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_an_option_is_built_and_lists_its_settings(path: Path) -> None:
    for setting, node in nodes(path).items():
        component = component_of(node | REQUIRED.get(path.stem, {}), setting)
        target = locate(node, setting)
        assert isinstance(component, target) if inspect.isclass(target) else component is not None
        keys = set(node) - {"_target_"}
        parameters = inspect.signature(target).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        assert takes_any or keys <= set(parameters) - set(COLLABORATORS)
        assert own_settings(target) <= keys, "a setting that no YAML lists cannot be overridden"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}={path.stem}")
def test_an_option_is_named_after_its_module(path: Path) -> None:
    """`loss=focal` ⇔ `conf/loss/focal.yaml` ⇔ `trainer/loss/focal.py`; keywords end in `_`."""
    text = path.read_text()
    content = yaml.safe_load(text)
    group, option = path.parent.name, path.stem
    if "_target_" not in content:
        assert "defaults" in content, "neither a component nor a preset"
        return
    assert content["_target_"].rpartition(".")[0].rstrip("_") == f"trainer.{group}.{option}"
    if group == "augmentation":
        assert text.startswith(f"# @package augmentation.{option}\n")


def test_every_group_has_a_folder_and_every_folder_is_a_group() -> None:
    folders = {path.parent.name for path in FILES}
    assert folders == set(GROUPS)
