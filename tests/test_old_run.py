"""A run folder that version 0.1.0 wrote is still evaluated, compared and resumed."""

import json
import shutil
from pathlib import Path

import pytest
from support import CONF, config_of, events, read_json

from trainer import history
from trainer.cli.execute import execute

OLD = Path(__file__).parent / "fixtures" / "run_0_1_0"
SETTINGS = (
    *("dataset.subset=100", "model=mlp", "model.hidden=[16]", "batch_size=16", "mining=ohem"),
    *("schedule=lambda", "checkpoint.keep=1", "device=cpu", "quiet=true"),
)


def run(folder: Path, *overrides: str) -> int:
    arguments = ["quiet=true", "device=cpu", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the old run folder."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_an_old_run_is_evaluated(old: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "e", "job=evaluate", f"run={old}") == 0
    after, before = (read_json(f / "result.json")["test"] for f in (tmp_path / "e", old))
    assert {name: after[name] for name in before} == pytest.approx(before)


def test_an_old_run_is_compared(old: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "c", "job=compare", f"runs=[{old}]") == 0
    compared = (tmp_path / "c" / "runs.csv").read_text()
    assert f"{read_json(old / 'result.json')['test']['accuracy']:.4f}"[:5] in compared


def test_the_difficulty_store_of_an_old_run_is_read(old: Path) -> None:
    store = history.open(old)
    assert (store.epochs, len(store.ids)) == (2, 100)


def test_an_old_run_is_resumed(old: Path) -> None:
    status = read_json(old / "status.json")
    (old / "status.json").write_text(json.dumps(status | {"state": "preempted"}))
    before = events(old)
    arguments = [*SETTINGS, "epochs=3", "resume=auto"]
    assert execute(config_of(*arguments), old, arguments, [str(CONF)]) == 0
    assert events(old)[: len(before) - 1] == before[:-1], "only the test event is replaced"
    assert read_json(old / "result.json")["epochs"] == 3
