"""A job runs in the folder of the run with its settings; what lies there is checked first."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from support import config_of

from trainer.storage.run_folder import write_json
from trainer.sweep.manifest import Job, final_metrics
from trainer.sweep.places import Places
from trainer.sweep.table import last_events


def job(sweep: Path, number: int, name: str, **settings: Any) -> Job:
    """A job of a sweep, by default in the folder of that name."""
    config = OmegaConf.create(config_of() | settings | {"hydra": {"sweep": {"subdir": name}}})
    OmegaConf.set_readonly(config.hydra, True)  # as Hydra does
    return Job(number, [], sweep / name, config)


def run(sweep: Path, name: str, state: str = "finished", **settings: Any) -> Path:
    """The folder of a run."""
    folder = sweep / name
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config_of() | settings))
    write_json(folder / "status.json", {"state": state})
    return folder


def assign(sweep: Path, *jobs: Job) -> list[tuple[str, str]]:
    """The state of each job and the name of its folder."""
    Places(sweep).assign(jobs)
    subdirs = [str(one.config.hydra.sweep.subdir) for one in jobs if one.config]
    assert subdirs == [one.folder.name for one in jobs if one.folder]
    return [(one.state, name) for one, name in zip(jobs, subdirs, strict=True)]


def test_a_job_is_found_by_its_settings_whatever_its_number(tmp_path: Path) -> None:
    run(tmp_path, "0-a", seed=0)
    run(tmp_path, "1-b", seed=1, resume="auto", quiet=True)
    run(tmp_path, "2-c", "preempted", seed=2)
    jobs = [job(tmp_path, n, f"{n}-x", seed=2 - n) for n in range(3)]
    assert assign(tmp_path, *jobs) == [("pending", "2-c"), ("skipped", "1-b"), ("skipped", "0-a")]


def test_a_size_that_the_images_have_decided_is_that_of_its_job(tmp_path: Path) -> None:
    node = config_of("dataset=image_folder")["dataset"]
    sizes: list[int | str] = [12, 12, 16]
    for number, size in enumerate(sizes):
        run(tmp_path, f"{number}-a", dataset=node | {"size": size}, seed=number)
    asked: list[int | str] = ["auto", 12, "auto"]
    jobs = [
        job(tmp_path, n, f"{n}-x", dataset=node | {"size": size}, seed=n)
        for n, size in enumerate(asked)
    ]
    assert assign(tmp_path, *jobs) == [("skipped", f"{n}-a") for n in range(3)]
    other = job(tmp_path, 0, "0-a", dataset=node | {"size": 9}, seed=0)
    assert assign(tmp_path, other) == [("refused", "0-a")]


def test_a_run_is_found_by_the_content_of_its_corrections(tmp_path: Path) -> None:
    """A run records the hash of the file, which its job, composed anew, does not have."""
    file = tmp_path / "corrections.csv"
    file.write_text("id,drop\n1,1\n")
    node = config_of()["dataset"] | {"corrections": str(file)}
    recorded = node | {"corrections_sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    run(tmp_path, "0-a", dataset=recorded)
    assert assign(tmp_path, job(tmp_path, 0, "0-a", dataset=node)) == [("skipped", "0-a")]
    assert assign(tmp_path, job(tmp_path, 1, "1-b", dataset=node)) == [("skipped", "0-a")]
    for change in (lambda: file.write_text("id,drop\n2,1\n"), file.unlink):
        change()
        other = job(tmp_path, 0, "0-a", dataset=node)
        assert assign(tmp_path, other) == [("refused", "0-a")]
        assert "(dataset.corrections: the file had another content); remove it" in str(other.error)


def test_numbers_alone_do_not_name_a_run(tmp_path: Path) -> None:
    """With hydra.sweep.subdir=${hydra.job.num}, another order is the same folders swapped."""
    for seed in range(2):
        run(tmp_path, str(seed), seed=seed)
    jobs = [job(tmp_path, n, str(n), seed=1 - n) for n in range(2)]
    assert assign(tmp_path, *jobs) == [("skipped", "1"), ("skipped", "0")]


def test_jobs_with_the_same_settings_have_a_folder_each(tmp_path: Path) -> None:
    run(tmp_path, "old")
    jobs = [job(tmp_path, n, str(n)) for n in range(2)]
    assert assign(tmp_path, *jobs) == [("skipped", "old"), ("pending", "1")]


def test_components_of_one_name_from_two_modules_are_told_apart(tmp_path: Path) -> None:
    run(tmp_path, "old", job={"_target_": "mine.Act"})
    one = job(tmp_path, 0, "0", job={"_target_": "yours.Act"})
    assert assign(tmp_path, one) == [("pending", "0")]


def link_log(folder: Path, victim: Path) -> None:
    (folder / "job.log").symlink_to(victim)


def hard_link_log(folder: Path, victim: Path) -> None:
    os.link(victim, folder / "job.log")


def pipe_for_config(folder: Path, _: Path) -> None:
    (folder / "config.yaml").unlink()
    os.mkfifo(folder / "config.yaml")


def linked_folder(folder: Path, victim: Path) -> None:
    folder.rename(victim.parent / "elsewhere")
    folder.symlink_to(victim.parent / "elsewhere")


@pytest.mark.parametrize("plant", [link_log, hard_link_log, pipe_for_config, linked_folder])
def test_a_job_whose_folder_has_a_link_or_a_pipe_is_refused(
    tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    plant(run(sweep, "0"), victim)
    refused = job(sweep, 0, "0")
    fine = job(sweep, 1, "1")
    assert assign(sweep, refused, fine) == [("refused", "0"), ("pending", "1")]
    assert str(sweep / "0") in str(refused.error)
    assert victim.read_text() == "mine"


HOSTILE = {
    '{"val": 5}': {"val": {}},
    '{"val": {"loss": [1], "accuracy": NaN, "f1": 0.5}, "test": "x"}': {
        "val": {"f1": 0.5},
        "test": {},
    },
    '{"val": {"loss": 1e999, "accuracy": 1%s}}' % ("0" * 400): {"val": {}},
    "[" * 20000: {},
    "[1]": {},
    "{": {},
}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:30])
def test_only_the_numbers_of_a_result_count(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    assert final_metrics(path) == HOSTILE[text]
    os.mkfifo(tmp_path / "pipe")
    assert final_metrics(tmp_path / "pipe") == {}


def test_only_events_count_in_the_metrics_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    event = {"split": "val", "epoch": 1, "loss": 0.5}
    others = ["[]", "5", '{"split": ["val"]}', '{"split": "val", "epoch": "x"}', "[" * 3000]
    path.write_text("\n".join([json.dumps(event), *others, ""]))
    assert last_events(path) == {"epoch": 2, "val": event}
    path.unlink()
    os.mkfifo(path)
    assert last_events(path) == {}
