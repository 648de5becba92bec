"""Run folders are found by their status and read as data; what is skipped has its reason."""

import json
import os

import pytest

from trainer.core.errors import ConfigError
from trainer.job.compare.runs import FinishedRun, SkippedRun, find_runs, finite, read_run


def test_a_sweep_a_run_a_list_and_a_pattern(make):
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
def test_a_typo_is_one_line(path):
    with pytest.raises(ConfigError, match=r"^runs=\S+: no run found; give"):
        find_runs([path])


def test_nothing_is_looked_for_inside_a_run(make):
    outer = make("outer", 0, 0.5)
    (outer / "examples" / "inner").mkdir(parents=True)
    (outer / "examples" / "inner" / "status.json").write_text("{}")
    assert find_runs([str(outer.parent)]) == [outer]


def test_a_finished_run(make):
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


def test_hostile_files_are_skipped_and_not_followed(make, tmp_path):
    """Nothing is imported, no link is followed, no deep or huge content is read."""
    deep = "[" * 20000 + "]" * 20000
    layers = "l0: &l0 [x, x]\n" + "".join(
        f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 8)
    )
    contents = {
        "status.json": ["[]", "{", deep],
        "config.yaml": [layers, "!!python/object/apply:os.abort []", "- 1", "job: 3", deep],
        "result.json": ["null", "{", "1" * 5000],
    }
    for name, texts in contents.items():
        for i, text in enumerate(texts):
            folder = make(f"{name}-{i}", 0, 0.9)
            (folder / name).write_text(text)
            assert isinstance(read_run(folder), SkippedRun), (name, text[:40])
    folder = make("link", 0, 0.9)
    (folder / "result.json").unlink()
    (folder / "result.json").symlink_to("/dev/zero")
    assert isinstance(read_run(folder), SkippedRun)
    (folder / "metrics.jsonl").unlink()
    os.mkfifo(folder / "metrics.jsonl")
    assert isinstance(read_run(folder), SkippedRun)


def test_malformed_lines_are_skipped(make):
    folder = make("a", 0, 0.9, [0.5])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"split": "val"\n["val"]\n{"split": "val", "epoch": "1"}\n')
        file.write(json.dumps({"split": "val", "epoch": 1, "accuracy": None}) + "\n")
    run = read_run(folder)
    assert isinstance(run, FinishedRun)
    assert [line["epochs"] for line in run.validations] == [1, 2]


def test_numbers():
    values = [1, 0.5, True, None, "1", float("nan"), float("inf"), 10**400]
    assert [finite(value) for value in values] == [1.0, 0.5, None, None, None, None, None, None]


def test_a_seed_that_is_no_number_is_skipped(make):
    skipped = read_run(make("a", 0, 0.9, settings={"seed": "<b>"}))
    assert isinstance(skipped, SkippedRun)
    assert "no seed" in skipped.reason
