"""What is shown of a sweep, and what is read for it."""

import json
import re
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from trainer.report.console import rich_console
from trainer.sweep.manifest import Job, Manifest
from trainer.sweep.places import changes
from trainer.sweep.pool import gpus
from trainer.sweep.table import JobsTable, last_events, short


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    """That of a sweep without jobs."""
    made = Manifest(tmp_path, [])
    yield made
    made.release()


def write_events(folder: Path, *events: dict[str, Any]) -> None:
    """A run's metrics.jsonl."""
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps(event) + "\n" for event in events)
    (folder / "metrics.jsonl").write_text(lines)


TRAIN = {"split": "train", "epoch": 4, "step": 100, "lr": 0.1, "loss": 0.3}
VAL = {"split": "val", "epoch": 3, "step": 90, "examples_seen": 9, "loss": 0.25, "accuracy": 0.875}
TEST = {"split": "test", "epoch": 5, "step": 120, "loss": 9.0}


def test_the_last_events_are_read_from_the_end_of_a_long_file(tmp_path: Path) -> None:
    write_events(tmp_path / "run", *[TRAIN | {"epoch": 0}] * 1000, VAL, TRAIN, TEST)
    found = last_events(tmp_path / "run" / "metrics.jsonl")
    assert found == {"epoch": 5, "val": VAL}
    assert short(found["val"]) == "loss 0.2500 accuracy 0.8750"
    assert last_events(tmp_path / "absent") == {}


def test_a_dash_stands_for_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    metrics = {"loss": None, "accuracy": 0.5}
    assert short(metrics) == "loss – accuracy 0.5000"
    (tmp_path / "result.json").write_text(json.dumps({"val": metrics}))
    assert Job(0, [], tmp_path, state="finished").result() == {"val": metrics}


def test_the_table_has_a_row_a_job_with_what_varies(tmp_path: Path, manifest: Manifest) -> None:
    write_events(tmp_path / "a", VAL, TRAIN)
    jobs = [Job(0, ["epochs=9", "augmentation=[light]"], tmp_path / "a", state="finished")]
    jobs += [Job(1, ["epochs=9", "seed=1"], tmp_path / "b")]
    manifest.add(jobs)
    table = JobsTable(manifest, quiet=False)
    screen = StringIO()
    rich_console(width=100, file=screen).print(table.drawing())
    rows = [
        re.split("[┃│]", line)[1:-1]
        for line in screen.getvalue().splitlines()
        if re.search("[┃│]", line)
    ]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["overrides", "job", "state", "epoch", "val loss accuracy", "s"],
        ["augmentation=[light]", "0", "finished", "5", "0.2500 0.8750", "0"],
        ["seed=1", "1", "pending", "", "", "0"],
    ]


def test_a_row_is_a_line_on_a_terminal_of_80_columns(tmp_path: Path, manifest: Manifest) -> None:
    for n in range(24):
        varied = [f"mining={('none', 'random')[n % 2]}", f"optimizer.weight_decay=0.000{n % 3}"]
        manifest.add([Job(n, [*varied, f"seed={n}"], tmp_path / str(n))])
    manifest.jobs[20].state = "running"
    table = JobsTable(manifest, quiet=False)
    table.screen, table.began[20] = (
        rich_console(width=80, height=24, file=StringIO()),
        time.monotonic(),
    )
    table.screen.print(table.drawing())
    lines = table.screen.file.getvalue().splitlines()
    assert len(lines) == 18 + 5
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if "decay=0.0002 seed=20 " in line and "running" in line]


def test_of_too_many_jobs_those_that_matter_are_shown(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "12")
    monkeypatch.setenv("COLUMNS", "100")
    manifest.add([Job(n, [f"seed={n}"], tmp_path / str(n)) for n in range(50)])
    manifest.jobs[40].state = "failed"
    shown = JobsTable(manifest, quiet=False).drawing()
    assert list(shown.columns[1].cells) == ["0", "1", "2", "3", "4", "40"]


def test_the_settings_of_a_finished_run_are_compared_as_far_as_both_have_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.yaml").write_text("epochs: 3\nloss: {gamma: 2.0}\nquiet: true\n")
    assert changes(tmp_path, {"epochs": 3, "loss": {"gamma": 2.0}, "quiet": False, "new": 1}) == ""
    assert changes(tmp_path, {"epochs": 3, "loss": {"gamma": 1.0}}) == "loss.gamma: 2.0 → 1.0"
    assert changes(tmp_path / "absent", {}) == "its config.yaml cannot be read"


def test_gpus_are_those_that_are_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, wanted in {"": [], "-1": [], "2": ["2"], "0, GPU-1a2b": ["0", "GPU-1a2b"]}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert gpus() == wanted
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho '  MIG 1g'\necho 'GPU 1: A'\n")
    tool.chmod(0o755)
    assert gpus() == ["0", "1"]


def test_the_settings_that_vary_are_named(manifest: Manifest, tmp_path: Path) -> None:
    jobs = [["epochs=9", f"mining={m}", f"+optimizer.lr={lr}"] for m in "ab" for lr in (1, 2)]
    manifest.add([Job(n, job, tmp_path / str(n)) for n, job in enumerate(jobs)])
    assert manifest.varied_settings() == ["mining", "optimizer.lr"]
