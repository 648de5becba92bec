"""Helpers that compose configs and run jobs in this process."""

import json
import os
import pickle
import re
import signal
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from torture_parts.hashing import sha256

from trainer.__main__ import CONF, register
from trainer.cli.execute import execute
from trainer.cli.execute import make_run as new_run
from trainer.config.build import locate
from trainer.config.schema import GROUPS
from trainer.core.errors import Interrupted
from trainer.report.console import Console
from trainer.report.log import Log
from trainer.run.assemble import assemble
from trainer.run.run import Run
from trainer.storage import checkpoint
from trainer.storage.run_folder import RunFolder
from trainer.training.checkpointer import MODEL
from trainer.training.fit import Fit
from trainer.training.reporter import Reporter

QUICK = ("epochs=2", "quiet=true", "dataset.val_fraction=0.1", "model=mlp", "device=cpu")
SMALL = ("epochs=2", "batch_size=64", "dataset.val_fraction=0.7", "model=mlp", "device=cpu")


def composed(*overrides: str) -> dict[str, Any]:
    """Compose a config, its interpolations unresolved.

    Hydra takes 0.1 s. It composes what is neither an option of a group nor a plain value once;
    options and values are set in a copy, these as Hydra parses them. What cannot be set is left to
    Hydra, with its errors.
    """
    values = [override for override in overrides if is_value(override)]
    chosen = [] if spans_groups(overrides) else [o for o in overrides if is_plain(o)]
    config = unresolved(*(o for o in overrides if o not in [*values, *chosen]))
    for group, names in map(choice, chosen):
        nodes = [node_of(group, name) for name in names]
        config[group] = {k: v for node in nodes for k, v in node.items()} if names[1:] else nodes[0]
    try:
        for override in values:
            set_value(config, *parsed(override))
    except (HydraException, LookupError):
        return unresolved(*overrides)
    return config


@cache
def parsed(override: str) -> tuple[str, Any]:
    """The key and the value of an override. Raises HydraException."""
    (found,) = OverridesParser.create().parse_overrides([override])
    return found.key_or_group, found.value()


def set_value(config: dict[str, Any], key: str, value: Any) -> None:
    """Set a value in a config. Raises LookupError where only Hydra can tell what comes of it."""
    *nodes, name = key.split(".")
    for node in nodes:
        config = config[node] if isinstance(config, dict) else {}
    if name not in config or isinstance(config[name], dict) or isinstance(value, dict):
        raise LookupError(key)
    config[name] = deepcopy(value)


def unresolved(*overrides: str) -> dict[str, Any]:
    """Compose a config with Hydra, as plain containers."""
    return pickle.loads(pickled(*overrides))  # noqa: S301  ten times as fast as a deep copy


@cache
def pickled(*overrides: str) -> bytes:
    return pickle.dumps(OmegaConf.to_container(by_hydra(*overrides)))


@cache
def by_hydra(*overrides: str) -> Any:
    """Compose a config with Hydra."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def is_value(override: str) -> bool:
    """Whether it sets a value, rather than choose an option, or add or remove something."""
    key = override.partition("=")[0]
    return re.fullmatch(r"[\w.]+", key) is not None and not (CONF / key).is_dir()


def spans_groups(overrides: Iterable[str]) -> bool:
    """Whether an override sets options and settings of several groups, or adds or removes some."""
    return any(o.startswith(("experiment=", "sweep=", "+", "~")) for o in overrides)


def choice(override: str) -> tuple[str, list[str]]:
    """The group and the option that an override names, or the options of a list [a,b]."""
    group, _, names = override.partition("=")
    return group, names.removeprefix("[").removesuffix("]").split(",")


@cache
def is_plain(override: str) -> bool:
    """Whether it chooses options whose files say nothing of other groups."""
    group, names = choice(override)
    if group not in GROUPS or not {*names} <= {*options(group)}:
        return False
    texts = [(CONF / group / f"{name}.yaml").read_text() for name in names]
    return not any("override /" in text or "@package" in text for text in texts)


def config_of(*overrides: str) -> dict[str, Any]:
    """Compose a config and resolve its settings."""
    config = composed(*overrides)
    refers = {name for name, node in config.items() if "${" in str(node)}
    if refers <= {"checkpoint"}:  # to the task's own monitor
        part = OmegaConf.create({name: config[name] for name in ("checkpoint", "task")})
        return config | OmegaConf.to_container(part, resolve=True)  # pyright: ignore
    return OmegaConf.to_container(OmegaConf.create(config), resolve=True)  # pyright: ignore


@cache
def options(group: str) -> list[str]:
    """List the names of a group's options."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def for_classes(group: str) -> list[str]:
    """List the options of a group that support labels that are classes."""
    files = {name: (CONF / group / f"{name}.yaml").read_text() for name in options(group)}
    return [n for n, text in files.items() if "class" in locate(yaml.safe_load(text), n).targets]


@cache
def row_of(row: int) -> dict[str, Any]:
    """Compose the row-th option of every group at once; a config per option takes too long."""
    names = {group: options(group) for group in GROUPS}
    chosen = (f"{group}={names[group][row % len(names[group])]}" for group in names)
    return OmegaConf.to_container(by_hydra(*chosen), resolve=True)  # pyright: ignore


@cache
def file_of(group: str, option: str) -> dict[str, Any]:
    """Read an option's file, which is its node unless it has defaults: see `test_yaml.py`."""
    node = OmegaConf.load(CONF / group / f"{option}.yaml")
    return OmegaConf.to_container(node, resolve=True)  # pyright: ignore


def node_of(group: str, option: str) -> dict[str, Any]:
    """Return a copy of the node of one option of a group. Hydra takes 0.3 s, a file 1 ms."""
    node = file_of(group, option)
    if "defaults" in node:
        node = row_of(options(group).index(option))[group]
    elif group == "augmentation":
        node = {option: node}
    return deepcopy(node)


def make_run(
    folder: Path, *overrides: str, options: dict[str, Any] | None = None, **groups: str
) -> Run:
    """Make a run. Options in `groups` are composed once and cached; `options` are Run's."""
    config = config_of(*overrides) | {group: node_of(group, o) for group, o in groups.items()}
    console = Console(quiet=True)
    return new_run(
        config, RunFolder(folder), console, list(overrides), [str(CONF)], **(options or {})
    )


def train(folder: Path, *overrides: str) -> int:
    """Run a job in this process; return its exit code."""
    arguments = [*QUICK, *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text())


def events(folder: Path) -> list[dict[str, Any]]:
    """Read the events in a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def digest(fit: Fit) -> str:
    """Hash weights and their average, buffers, optimizer, miner and difficulty store."""
    state = {name: part.state_dict() for name, part in fit.stateful().items() if name != "log"}
    averaged = {"averaged": fit.average.weights(), **state["average"]}
    own = {name: state[name] for name in ("optimizer", "loss", "rate", "miner", "history")}
    return sha256({**fit.model.state_dict()}, averaged, own)


class Stop:
    """Signals that report SIGTERM once they have been polled `after` times; never if None."""

    def __init__(self, after: int | None) -> None:
        self.left = after

    def agreed_signal(self) -> int | None:
        if self.left is None:
            return None
        self.left -= 1
        return signal.SIGTERM if self.left < 0 else None

    def stopped_alone(self) -> bool:
        return self.left is not None and self.left <= 0

    def raise_if_stopped(self) -> None:
        if self.left is not None and self.left < 0:
            raise Interrupted(signal.SIGTERM)


class Kill(Stop):
    """Kills this process, as `kill -9` does, in place of reporting SIGTERM."""

    def agreed_signal(self) -> int | None:
        if super().agreed_signal() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return None


def killed(folder: Path, *overrides: str, after: int) -> None:
    """Train in a fork, as `fitted` does, and kill it once it has polled its signals so often."""
    pid = os.fork()
    if pid == 0:
        fitted(folder, *overrides, stop_after=after, stop=Kill)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def fitted(
    folder: Path, *overrides: str, stop_after: int | None = None, stop: type[Stop] = Stop
) -> Fit:
    """Train, from the latest checkpoint of the folder if there is one."""
    folder.mkdir(exist_ok=True)
    run = make_run(folder, *SMALL, *overrides)
    run.signals = stop(stop_after)
    saved = checkpoint.latest(run.folder.checkpoints, pytest.fail)
    log = Log(folder, pytest.fail, resumed_at=saved and saved.state["progress"]["step"])
    fit = assemble(run, run.folder, Reporter(log, run.console, run.data, 2), run.signals)
    if saved is not None:
        fit.load({MODEL: saved.model, **saved.state})
    try:
        fit()
    finally:
        log.close()
    return fit
