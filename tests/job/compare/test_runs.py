"""Run folders are found by their status file and read as data; a skipped one has its reason."""

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.core.errors import ConfigError, DiskError
from trainer.core.number import finite
from trainer.job.compare.runs import FinishedRun, SkippedRun, find_runs, read_run


def test_runs_are_found_by_sweep_run_list_or_pattern(make):
    runs = [make(f"{i}-x", seed=i, accuracy=0.5) for i in (10, 2, 1)]
    sweep = runs[0].parent
    (sweep / "manifest.json").write_text("{}")
    (sweep / "empty").mkdir()
    in_order = [sweep / name for name in ("1-x", "2-x", "10-x")]
    assert find_runs([str(sweep)]) == in_order
    assert find_runs([str(sweep.parent)]) == in_order
    assert find_runs([str(runs[0])]) == [runs[0]]
    assert find_runs([str(sweep / "1*")]) == [sweep / "1-x", sweep / "10-x"]
    once = [runs[1], in_order[0], in_order[2]]
    assert find_runs([str(runs[1]), str(sweep), str(runs[1])]) == once


@pytest.mark.parametrize("path", ["outputs/typo", "outputs/*typo*", "trainer"])
def test_a_path_without_runs_is_named(path):
    with pytest.raises(ConfigError, match=rf"^runs={re.escape(path)}: no run found"):
        find_runs([path])


def test_runs_inside_a_run_are_not_searched(make):
    outer = make("outer", 0, 0.5)
    (outer / "examples" / "inner").mkdir(parents=True)
    (outer / "examples" / "inner" / "status.json").write_text("{}")
    assert find_runs([str(outer.parent)]) == [outer]


def test_a_finished_run_has_its_metrics_validations_and_costs(make):
    run = read_run(make("a", 3, 0.9, [0.5, 0.7]))
    assert isinstance(run, FinishedRun)
    assert (run.seed, run.final("test/accuracy"), run.final("test/nope")) == (3, 0.9, None)
    assert run.final("epochs") is None
    assert [line["epochs"] for line in run.validations] == [1, 2]
    assert run.spent("backward_passes") == 200


@pytest.mark.parametrize("state", ["running", "failed", "preempted"])
def test_an_unfinished_run_is_skipped_with_its_state(make, state):
    skipped = read_run(make("a", 0, 0.9, state=state))
    assert isinstance(skipped, SkippedRun)
    assert skipped.reason == ("failed: it broke" if state == "failed" else state)


def test_another_job_is_skipped(make):
    skipped = read_run(make("a", 0, 0.9, groups={"job": "evaluate"}))
    assert isinstance(skipped, SkippedRun)
    assert skipped.reason == "not a training run: job=evaluate"


DEEP = "[" * 20000 + "]" * 20000
ALIASES = "l0: &l0 [x, x]\n" + "".join(
    f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 8)
)
HOSTILE = [  # file, its content, part of the reason
    ("status.json", "[]", "does not contain a mapping"),
    ("status.json", "{", "cannot be read: Expecting"),
    ("status.json", DEEP, "cannot be read"),
    ("config.yaml", ALIASES, "aliases expand to more than"),
    ("config.yaml", "- 1", "is not a config"),
    ("config.yaml", "job: 3", "job must be a mapping, got 3"),
    ("config.yaml", DEEP, "nested more than 50 deep"),
    ("result.json", "null", "does not contain a mapping"),
    ("result.json", "{", "cannot be read: Expecting"),
    ("result.json", "1" * 5000, "cannot be read: Exceeds the limit"),
    ("result.json", DEEP, "cannot be read"),
    ("result.json", '{"val": 5}', "val must be a mapping of metrics, got 5"),
    ("result.json", '{"test": {"loss": [1]}}', "test/loss must be a number, got [1]"),
    ("result.json", '{"epochs": true}', "epochs must be a number, got True"),
    ("result.json", json.dumps({"val": dict.fromkeys(map(str, range(2000)))}), "more than 1,000"),
]


@pytest.mark.parametrize(
    ("name", "text", "reason"), HOSTILE, ids=[f"{name}: {text[:9]}" for name, text, _ in HOSTILE]
)
def test_a_hostile_file_is_skipped_with_a_reason(make, name, text, reason):
    """No deep, huge or malformed content reaches the comparison."""
    folder = make("a", 0, 0.9)
    (folder / name).write_text(text)
    skipped = read_run(folder)
    assert isinstance(skipped, SkippedRun)
    assert f"{folder / name}" in skipped.reason
    assert reason in skipped.reason


def test_nothing_in_a_config_is_called(make, tmp_path):
    folder = make("a", 0, 0.9)
    marker = tmp_path / "called"
    (folder / "config.yaml").write_text(f"!!python/object/apply:os.mkdir [{str(marker)!r}]")
    skipped = read_run(folder)
    assert isinstance(skipped, SkippedRun)
    assert "config.yaml: it has a tag, tag:yaml.org,2002:python" in skipped.reason
    assert not marker.exists()


@pytest.mark.parametrize("name", ["status.json", "config.yaml", "result.json", "metrics.jsonl"])
def test_no_link_is_followed(make, tmp_path, name):
    """The file behind the link is the run's own: followed, the run would count as finished."""
    folder = make("a", 0, 0.9)
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    skipped = read_run(folder)
    assert isinstance(skipped, SkippedRun)
    assert f"{name} is a link" in skipped.reason


def test_a_pipe_is_not_waited_for(make):
    folder = make("a", 0, 0.9)
    (folder / "metrics.jsonl").unlink()
    os.mkfifo(folder / "metrics.jsonl")
    skipped = read_run(folder)
    assert isinstance(skipped, SkippedRun)
    assert "metrics.jsonl is not a regular file" in skipped.reason


def test_malformed_lines_are_skipped(make):
    folder = make("a", 0, 0.9, [0.5])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"split": "val"\n["val"]\n{"split": "val", "epoch": "1"}\n')
        file.write(json.dumps({"split": "val", "epoch": 1, "accuracy": None}) + "\n")
    run = read_run(folder)
    assert isinstance(run, FinishedRun)
    assert [line["epochs"] for line in run.validations] == [1, 2]


def test_only_finite_numbers_count():
    values = [1, 0.5, True, None, "1", float("nan"), float("inf"), 10**400, 1e200, -1e-200]
    assert [finite(value) for value in values] == [1.0, 0.5, *[None] * 7, 0.0]


def test_a_config_with_too_many_settings_is_skipped(make):
    skipped = read_run(make("a", 0, 0.9, settings={"x": list(range(6000))}))
    assert isinstance(skipped, SkippedRun)
    assert skipped.reason == "its config has more than 5,000 settings"


def test_the_reason_is_one_line_of_visible_characters(make):
    folder = make("a", 0, 0.9, state="failed")
    status = {"state": "failed", "error": "\x1b[31mred\n\u202eevil" + "x" * 1000}
    (folder / "status.json").write_text(json.dumps(status))
    skipped = read_run(folder)
    assert isinstance(skipped, SkippedRun)
    assert skipped.reason.startswith("failed: \\x1b[31mred \\u202eevilxxx")
    assert len(skipped.reason) < 330


def test_a_run_whose_seed_is_not_a_number_is_skipped(make):
    skipped = read_run(make("a", 0, 0.9, settings={"seed": "<b>"}))
    assert isinstance(skipped, SkippedRun)
    assert "no seed" in skipped.reason


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_folder_that_cannot_be_read_is_named(
    make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    make("a", 0, 0.9)
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "runs":
            raise OSError(code, os.strerror(code), str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DiskError, match=rf"runs cannot be read or written: {os.strerror(code)}"):
        find_runs([str(tmp_path / "runs")])
