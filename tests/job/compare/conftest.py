"""Run folders as job=train writes them, with chosen numbers."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import CONF, config_of

from trainer.compare.t import StudentT
from trainer.job.compare.comparison import Comparison, compare
from trainer.job.compare.runs import find_runs, read_run

Runs = Callable[..., Path]
Compared = Callable[..., Comparison]


@cache
def plain() -> dict[str, Any]:
    """The settings of a run without overrides."""
    return config_of()


@cache
def option_node(group: str, option: str) -> dict[str, Any]:
    """Read an option from its file, which is much faster than composing a config."""
    return yaml.safe_load((CONF / group / f"{option}.yaml").read_text())


@pytest.fixture(scope="session")
def node() -> Callable[[str, str], dict[str, Any]]:
    """The node of an option in a config."""
    return option_node


@pytest.fixture
def make(tmp_path: Path) -> Runs:
    """Writes a run into `tmp_path`: seed, final accuracy, validations, settings that differ."""

    def write(
        name: str,
        seed: int,
        accuracy: float,
        val: Sequence[float] = (0.5, 0.6),
        *,
        state: str = "finished",
        backward: int = 100,
        groups: dict[str, str] | None = None,
        settings: dict[str, Any] | None = None,
        result: dict[str, Any] | None = None,
    ) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        config = deepcopy(plain()) | {"seed": seed} | (settings or {})
        config |= {group: option_node(group, option) for group, option in (groups or {}).items()}
        text = yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False)
        (folder / "config.yaml").write_text(text)
        status = {"state": state, "error": "it broke" if state == "failed" else None}
        (folder / "status.json").write_text(json.dumps(status))
        lines = [
            {
                "split": "val",
                "epoch": epoch,
                "examples_seen": 100 * (epoch + 1),
                "backward_passes": backward * (epoch + 1),
                "train_seconds": 1.5 * (epoch + 1),
                "loss": 1 - value,
                "accuracy": value,
            }
            for epoch, value in enumerate(val)
        ]
        train = [{"split": "train", "epoch": 0, "loss": 2.0}]
        text = "".join(json.dumps(line) + "\n" for line in [*train, *lines])
        (folder / "metrics.jsonl").write_text(text)
        last = {key: lines[-1][key] for key in list(lines[-1])[2:5]} if lines else {}
        final = {"test": {"accuracy": accuracy, "loss": 1 - accuracy}, "epochs": len(val), **last}
        final |= {"device": "cpu", "threads": 1, "versions": {"torch": "2"}}
        (folder / "result.json").write_text(json.dumps(final | (result or {})))
        return folder

    return write


@pytest.fixture(scope="session")
def compared() -> Compared:
    """Compares the runs under a folder by the t interval."""

    def run(folder: Path, **settings: Any) -> Comparison:
        runs = [read_run(path) for path in find_runs([str(folder)])]
        return compare(runs, interval=StudentT(), **settings)

    return run


@pytest.fixture
def three(make: Runs, tmp_path: Path) -> Path:
    """Three groups of three seeds: ohem 3 points above none beyond noise, random within."""
    values = {
        "none": (0.90, 0.92, 0.91),
        "ohem": (0.93, 0.951, 0.941),
        "random": (0.89, 0.93, 0.912),
    }
    for option, finals in values.items():
        for seed, final in enumerate(finals):
            backward = 50 if option == "random" else 100
            val = [final - 0.2, final - 0.1, final]
            groups = {"mining": option}
            make(f"{option}-{seed}", seed, final, val, backward=backward, groups=groups)
    return tmp_path / "runs"
