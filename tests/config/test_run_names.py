"""Runs named by `latest` or by a part of their path, and the command that continues one."""

import os
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from trainer.config import run_names
from trainer.config.run_names import command, find, not_found, quoted, with_paths
from trainer.core.errors import ConfigError, DiskError

RUNS = ("2026-11-01/10-15-00-3f2a", "2026-11-02/09-00-00-aa00", "sweep-12ab/0-mining=ohem,seed=1")
SWEPT = "outputs/sweep-12ab/0-mining=ohem,seed=1"


@pytest.fixture(autouse=True)
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs in the order of their start, the last of which has not trained."""
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(RUNS):
        folder = tmp_path / "outputs" / name
        (folder / ("checkpoints" if age < 2 else "examples")).mkdir(parents=True)
        for file in ("config.yaml", "status.json"):
            (folder / file).touch()
            os.utime(folder / file, (age + 1, age + 1))
    return tmp_path / "outputs"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("run=latest", "run=outputs/2026-11-02/09-00-00-aa00"),
        ("resume=latest", "resume=outputs/2026-11-02/09-00-00-aa00"),
        ("run=10-15-00", "run=outputs/2026-11-01/10-15-00-3f2a"),
        ("run=3f2a/checkpoints/step-7", "run=outputs/2026-11-01/10-15-00-3f2a/checkpoints/step-7"),
        ("run=ohem", f'run="{SWEPT}"'),
        ("runs=[3f2a,latest]", f"runs=[outputs/{RUNS[0]},outputs/{RUNS[1]}]"),
        ("+mining.reference='aa00'", f"+mining.reference=outputs/{RUNS[1]}"),
        ("run=null", "run=null"),
        ("resume=auto", "resume=auto"),
        ("run=outputs", "run=outputs"),  # a path that exists
        ("distill.teacher=torchvision:resnet18", "distill.teacher=torchvision:resnet18"),
        ("run=nothing-like-it", "run=nothing-like-it"),  # refused later, as a path
        ("model=latest", "model=latest"),
    ],
)
def test_a_name_becomes_a_path(argument: str, expected: str) -> None:
    assert with_paths(argument) == expected


def test_a_name_of_several_runs_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"run=2026-11.*2 runs: outputs/2026-11-02/.*-01/"):
        find("2026-11", "run")


def test_a_run_directly_in_outputs_has_its_name(outputs: Path) -> None:
    """hydra.run.dir=outputs/ohem: its whole name, which is a part of another's path."""
    run = outputs / "ohem"
    (run / "checkpoints").mkdir(parents=True)
    for file in ("config.yaml", "status.json"):
        (run / file).touch()
    assert with_paths("run=ohem") == "run=outputs/ohem"
    assert with_paths("run=latest") == "run=outputs/ohem"


def test_what_is_there_instead_of_a_run_is_said() -> None:
    assert not_found("run", "latest", "give a folder") == (
        "run=latest: no run there; none has trained below outputs in the current folder"
    )
    assert not_found("run", "outputs/sweep-12ab", "give a folder") == (
        f"run=outputs/sweep-12ab: no run there; the folder holds 1, such as {SWEPT}; give one of "
        "them"
    )
    assert not_found("run", "x", "give a folder") == "run=x: no run there; give a folder"


def test_without_runs_latest_is_no_path(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(run_names, "OUTPUTS", tmp_path / "none")
    assert with_paths("run=latest") == "run=latest"


def test_the_command_is_quoted_for_the_shell_and_for_hydra() -> None:
    assert command(Path("outputs/a"), processes=1, config_folders=[]) == (
        "python -m trainer resume=outputs/a"
    )
    line = command(Path("my runs/ö"), processes=2, config_folders=["my conf"])
    assert line == (
        "torchrun --standalone --nproc-per-node 2 -m trainer "
        "--config-dir 'my conf' 'resume=\"my runs/ö\"'"
    )


@pytest.mark.parametrize("name", ["ö", "猫", "a b", "a=b,c", "it's", 'a"b', "x\\", "[1]", "a{b}"])
def test_hydra_reads_any_path_back(name: str) -> None:
    typed = f"resume={quoted(f'outputs/{name}')}"
    value = OverridesParser.create().parse_override(typed).value()
    assert str(getattr(value, "text", value)) == f"outputs/{name}"


@pytest.mark.parametrize("label", ["", "-lr=0.1"])
def test_a_whole_name_wins_over_a_part_of_one(outputs: Path, label: str) -> None:
    """Of twelve jobs 1 is named by `sweep/1`, not by 10 and 11."""
    for number in range(12):
        folder = outputs / "sweep" / f"{number}{label}"
        folder.mkdir(parents=True)
        for file in ("config.yaml", "status.json"):
            (folder / file).touch()
    assert find("sweep/1", "run") == Path("outputs/sweep") / f"1{label}"
    assert find("outputs/sweep/11", "run") == Path("outputs/sweep") / f"11{label}"
    with pytest.raises(ConfigError, match="may be any of 12 runs"):
        find("sweep/", "run")


def test_outputs_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.listdir", refuse)
    with pytest.raises(DiskError, match="outputs cannot be read or written: Permission denied"):
        find("latest", "run")
