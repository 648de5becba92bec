"""Run folders are found by their status and read as data; what is left out has its reason."""

import json
import os

import pytest

from trainer.core.errors import ConfigError
from trainer.job.compare.runs import FinishedRun, SkippedRun, find, number, read


def test_a_sweep_a_run_a_list_and_a_pattern(make):
    runs = [make(f"{i}-x", seed=i, accuracy=0.5) for i in (10, 2, 1)]
    sweep = runs[0].parent
    (sweep / "manifest.json").write_text("{}")
    (sweep / "empty").mkdir()
    in_order = [sweep / name for name in ("1-x", "2-x", "10-x")]
    assert find([str(sweep)]) == in_order
    assert find([str(sweep.parent)]) == in_order
    assert find([str(runs[0])]) == [runs[0]]
    assert find([str(sweep / "1*")]) == [sweep / "1-x", sweep / "10-x"]
    assert find([str(runs[1]), str(sweep), str(runs[1])]) == [runs[1], in_order[0], in_order[2]]


@pytest.mark.parametrize("path", ["outputs/typo", "outputs/*typo*", "trainer"])
def test_a_typo_is_one_line(path):
    with pytest.raises(ConfigError, match=r"^runs=\S+: no run there; give"):
        find([path])


def test_nothing_is_looked_for_inside_a_run(make):
    outer = make("outer", 0, 0.5)
    (outer / "examples" / "inner").mkdir(parents=True)
    (outer / "examples" / "inner" / "status.json").write_text("{}")
    assert find([str(outer.parent)]) == [outer]


def test_a_finished_run(make):
    run = read(make("a", 3, 0.9, [0.5, 0.7]))
    assert isinstance(run, FinishedRun)
    assert (run.seed, run.final("test/accuracy"), run.final("test/nope")) == (3, 0.9, None)
    assert run.final("epochs") is None
    assert [line["epochs"] for line in run.validations] == [1, 2]
    assert run.spent("backward_passes") == 200


@pytest.mark.parametrize("state", ["running", "failed", "preempted"])
def test_an_unfinished_run_is_left_with_its_state(make, state):
    left = read(make("a", 0, 0.9, state=state))
    assert isinstance(left, SkippedRun)
    assert left.reason == ("failed: it broke" if state == "failed" else state)


def test_another_job_is_left(make):
    left = read(make("a", 0, 0.9, groups={"job": "evaluate"}))
    assert isinstance(left, SkippedRun)
    assert left.reason == "not a training run: job=evaluate"


def test_hostile_files_are_left_and_not_followed(make, tmp_path):
    """Nothing of it is imported, no link is read, no number is taken that is none."""
    bomb = "a: &a [x]\n" + "".join(f"b{i}: &b{i} [{'*a,' * 9}*a]\n" for i in range(3))
    deep = "[" * 20000 + "]" * 20000
    layers = "l0: &l0 [x, x]\n" + "".join(
        f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 8)
    )
    contents = {
        "status.json": ["[]", "{", deep],
        "config.yaml": [layers, "!!python/object/apply:os.abort []", "- 1", "job: 3", deep],
        "result.json": ["null", "{", "1" * 5000],
    }
    assert bomb
    for name, texts in contents.items():
        for i, text in enumerate(texts):
            folder = make(f"{name}-{i}", 0, 0.9)
            (folder / name).write_text(text)
            assert isinstance(read(folder), SkippedRun), (name, text[:40])
    folder = make("link", 0, 0.9)
    (folder / "result.json").unlink()
    (folder / "result.json").symlink_to("/dev/zero")
    assert isinstance(read(folder), SkippedRun)
    (folder / "metrics.jsonl").unlink()
    os.mkfifo(folder / "metrics.jsonl")
    assert isinstance(read(folder), SkippedRun)


def test_lines_that_are_none_are_passed_over(make):
    folder = make("a", 0, 0.9, [0.5])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"split": "val"\n["val"]\n{"split": "val", "epoch": "1"}\n')
        file.write(json.dumps({"split": "val", "epoch": 1, "accuracy": None}) + "\n")
    run = read(folder)
    assert isinstance(run, FinishedRun)
    assert [line["epochs"] for line in run.validations] == [1, 2]


def test_numbers():
    values = [1, 0.5, True, None, "1", float("nan"), float("inf"), 10**400]
    assert [number(value) for value in values] == [1.0, 0.5, None, None, None, None, None, None]


def test_a_seed_that_is_none_is_left(make):
    left = read(make("a", 0, 0.9, settings={"seed": "<b>"}))
    assert isinstance(left, SkippedRun)
    assert left.reason == "its config has no seed"
