"""Training in two processes gives the same results as in one."""

import faulthandler
import importlib
import math
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from photos import make_photos
from support import config_of, events, make_run, read_json

from trainer import history
from trainer.__main__ import main
from trainer.config.processes import check_processes
from trainer.core.errors import ConfigError, DataError
from trainer.distributed import torchrun
from trainer.distributed.parts import NoFolder
from trainer.distributed.step import row_bounds
from trainer.distributed.torchrun import NEEDED
from trainer.distributed.world import ALONE, World, join
from trainer.job.train import Ending
from trainer.loader.memory import MemoryFeed
from trainer.report.console import Console
from trainer.storage import checkpoint
from trainer.storage.run_folder import RunFolder, write_json
from trainer.sweep.pool import warm_up

COMMON = ("model=mlp", "device=cpu", "steps=12", "log.every=3st", "optimizer=sgd")
LONG = ("steps=24", "log.every=4st")
UNEQUAL = ("loss.class_weights=balanced", "dataset.imbalance=10")
PLATEAU = ("schedule=plateau", "schedule.patience=0", "batch_size=256")
MASKS = ("dataset=digits_canvas", "dataset.examples=60", "task=segmentation", "batch_size=8")
LABELS = (
    *("dataset=digits_canvas", "dataset.examples=280", "dataset.target=labels", "task=multilabel"),
)
BOXES = (
    *("dataset=digits_canvas", "dataset.target=boxes", "dataset.examples=90", "task=detection"),
    *("dataset.size=32", "dataset.sides=[8,12]", "model=ssd", "batch_size=6", "steps=20"),
    *("log.every=5st", "optimizer.lr=1e-3"),
)
FEW = (*BOXES, "dataset.examples=24", "steps=5")
TEXTS = (
    *("dataset=definitions", "dataset.subset=200", "dataset.test_fraction=0.05"),
    *("model=embedding_bag", "augmentation=eda"),
)
ROOT = Path(__file__).parents[2]
SLOW = 240  # seconds before deadlocked processes give up, generous for a busy machine
VARYING = ("split", "images_per_second", "train_seconds", "startup_seconds", "compile_seconds")
SCENARIOS: dict[str, tuple[str, ...]] = {
    "plain": (*LONG, "batch_size=33"),
    "adam": (*LONG, "optimizer=adam", "clip=0.5", "accumulate=2", *UNEQUAL),
    "chain": (
        "mixer=chain",
        "batch_size=16",
        "warmup=constant",
        "warmup.error=0.7",
        "warmup.every=3st",
    ),
    "augmented": ("augmentation=[shift]", "mixer=cutmix", "mixer.per_image=true", *PLATEAU),
    "ohem": (*LONG, "mining=ohem", "accumulate=2", "ema=0.9", "sampler=oversample"),
    "ohem_two_pass": ("mining=ohem_two_pass", "batch_size=64"),
    "texts": (*TEXTS, "mining=ohem", "optimizer.lr=0.5"),
    "hard_example": (*LONG, "mining=hard_example", "mining.warmup_epochs=0", "mining.keep=0.1"),
    "infobatch": ("mining=infobatch", "mining.delta=0", "batch_size=128"),
    "importance": ("mining=importance", "mining.threshold=0.5", "batch_size=64"),
    "rs2": ("mining=rs2", "mining.keep=0.4", "batch_size=128"),
    "small_loss": (*LONG, "mining=small_loss", "mining.tau=0.5", "mining.fall_epochs=1"),
    "selective": ("mining=selective_backprop", "batch_size=128"),
    "ghm": (*LONG, "loss=ghm", "loss.momentum=0.5"),
    "elr": (*LONG, "loss=elr", "mixer=mixup", "mixer.probability=0.5", "accumulate=2"),
    "superloss": (*LONG, "loss=superloss", "loss.tau=mean", "accumulate=2"),
    "few_rows": ("batch_size=3", "mining=ohem", "dataset.subset=200"),
    "sam": ("sam=0.05", "accumulate=2"),
    "swa": ("swa=0.5run", "batch_size=64", "dataset.val_fraction=0.3"),
    "stream": (*LONG, "loader=stream", "loader.workers=1", "mixer=mixup", "batch_size=31"),
    "masks": (*MASKS, "model=unet", "model.width=4", "mining=ohem", "steps=4", "log.every=2st"),
    "multilabel": (*LABELS, "loss=bce", "mining=ohem", "mixer=mixup", "batch_size=16"),
    "anchors": (*FEW, "mining=hard_negative"),
    "random_anchors": (*FEW, "mining=balanced", "mining.number=64", "accumulate=2"),
    "regions": (*FEW, "model=faster_rcnn", "mining=ohem_two_pass", "batch_size=3"),
}
WHOLE = (
    *("mining=hard_example", "mining.warmup_epochs=0", "mining.keep=0.2", "steps=40"),
    *("log.every=1st", "optimizer=adam"),
)
BEGUN = (*WHOLE, "steps=15")
RESUMED = (*WHOLE, "resume=auto", "resume_allow=[steps]")
FOUND = (*BOXES, "mining=hard_negative", "dataset.sides=[8,9]", "optimizer.lr=1e-2")
FOUND_AGAIN = (*FOUND, "resume=auto")  # a finished run: nothing is left but to evaluate
RESUMES = {"ddp_begun": BEGUN, "ddp_after_one": RESUMED, "boxes": FOUND_AGAIN}
SHARDED_RESUMES = {
    "fsdp_begun": (*BEGUN, "strategy=fsdp"),
    "fsdp_after_one": (*RESUMED, "strategy=fsdp"),
}
SHARDED: dict[str, tuple[str, ...]] = {
    "fsdp": (*LONG, "strategy=fsdp", "batch_size=33"),
    "fsdp_adam": ("strategy=fsdp", "optimizer=adam", "clip=0.5", "accumulate=3"),
    "fsdp_ohem": ("strategy=fsdp", "mining=ohem_two_pass", "mixer=mixup", "batch_size=16"),
}


PLACE = dict(zip(NEEDED, ("1", "2", "1", "2", "127.0.0.1", "1"), strict=True))


def run_in(world: World, folder: Path, *overrides: str) -> dict[str, Any]:
    """Train as one of the processes of a world; return what result.json would contain."""
    folder.mkdir(exist_ok=True)
    run = make_run(folder, *COMMON, *overrides, options={"world": world})
    run.console = Console(quiet=True, silent=True)
    run.folder = (RunFolder if world.is_main else NoFolder)(folder)
    for module in run.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # batch statistics differ between processes
    with nullcontext() if folder.name == "boxes" else mock.patch.object(Ending, "show_boxes"):
        return run.do()  # pictures of boxes cost as much as a short run: one has them


def start(work: Callable[..., Any], *arguments: Any, size: int = 2) -> list[Any]:
    """Start processes as torchrun would, but forked, since torch is imported already."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    warm_up()  # imported once for all processes
    importlib.import_module("torch.distributed.fsdp")
    importlib.import_module("torch._dynamo")  # FSDP's tensors import it
    context, started = multiprocessing.get_context("fork"), []
    for rank in range(size):
        values = (rank, size, rank, size, "127.0.0.1", port)
        environment = dict(zip(NEEDED, map(str, values), strict=True))
        process = context.Process(target=child, args=(environment, work, arguments))
        with (
            warnings.catch_warnings()
        ):  # Python 3.12 warns about forking with threads; none are running
            warnings.simplefilter("ignore")
            process.start()
        started.append(process)
    return started


def child(environment: dict[str, str], work: Callable[..., Any], arguments: Any) -> None:
    """Do the work in a forked process, with the environment of its rank."""
    os.environ.update(environment)
    faulthandler.dump_traceback_later(SLOW, exit=True)
    work(*arguments)
    os._exit(0)


def end(processes: list[Any]) -> list[int]:
    """Wait for processes; return their exit codes."""
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def train_all(folder: Path, scenarios: dict[str, tuple[str, ...]], strategy: str) -> None:
    """Train every scenario, one after the other, in one world."""
    world = join(strategy, "cpu")
    for name, overrides in scenarios.items():
        result = run_in(world, folder / name, *overrides)
        if world.is_main:
            write_json(folder / name / "result.json", result)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs of every scenario by two processes."""
    folder = tmp_path_factory.mktemp("two")
    for overrides in (SCENARIOS | RESUMES | SHARDED | SHARDED_RESUMES).values():
        config_of(*COMMON, *overrides)  # composed once for all processes
    run_in(ALONE, folder / "one", *BEGUN)
    write_json(folder / "boxes_of_one.json", run_in(ALONE, folder / "boxes", *FOUND))
    for strategy in ("ddp", "fsdp"):
        shutil.copytree(folder / "one", folder / f"{strategy}_after_one")
    assert end(start(train_all, folder, SCENARIOS | RESUMES, "ddp")) == [0, 0]
    assert end(start(train_all, folder, SHARDED | SHARDED_RESUMES, "fsdp")) == [0, 0]
    return folder


@pytest.fixture(scope="module")
def whole(two: Path) -> dict[str, Any]:
    """Result of a run started and resumed by one process."""
    return run_in(ALONE, two / "one", *RESUMED)


@pytest.mark.parametrize("name", [*SCENARIOS, *SHARDED])
def test_two_processes_train_as_one(two, tmp_path, name):
    """Losses, rates, metrics, cost and difficulty store equal those of a single process."""
    overrides = [o for o in (SCENARIOS | SHARDED)[name] if not o.startswith("strategy")]
    alone = run_in(ALONE, tmp_path / name, *overrides)
    result = read_json(two / name / "result.json")
    for split in ("val", "test"):
        known = {name: value for name, value in alone[split].items() if not math.isnan(value)}
        found = {name: value for name, value in result[split].items() if value is not None}
        assert found == pytest.approx(known, rel=1e-5, abs=1e-5)
        for exact in {"accuracy", "label_accuracy"} & alone[split].keys():
            assert result[split][exact] == alone[split][exact]
    for key in ("best_step", "steps", "examples_seen", "forward_passes", "backward_passes"):
        assert result[key] == alone[key], key
    lines = events(tmp_path / name)
    for line, other in zip(lines, events(two / name), strict=True):
        assert line.keys() == other.keys()
        assert [key for key in line if line[key] is None] == [k for k in other if other[k] is None]
        for key in {key for key in line if line[key] is not None} - set(VARYING):
            assert other[key] == pytest.approx(line[key], rel=1e-5, abs=1e-5), (key, line["step"])
    own_store, other_store = history.open(tmp_path / name), history.open(two / name)
    for field in own_store.fields:
        np.testing.assert_allclose(own_store[field], other_store[field], atol=2e-2, err_msg=field)


def test_pieces_are_those_that_one_process_cuts(tmp_path):
    """Out of images stored uncut, with the numbers of the rows' places in the epoch."""
    make_photos(tmp_path / "photos")
    settings = (
        *("dataset=image_folder", f"dataset.root={tmp_path / 'photos'}", "dataset.cache=null"),
        *("dataset.fit=uncut", "dataset.crop=16", "dataset.val_fraction=0.2", "batch_size=7"),
        *("augmentation=[random_resized_crop]", "augmentation.random_resized_crop.size=16"),
        *("loader=stream", "loader.workers=0", "mixer=cutmix", "optimizer.lr=1e-3"),
    )
    assert end(start(train_all, tmp_path, {"two": settings}, "ddp")) == [0, 0]
    run_in(ALONE, tmp_path / "one", *settings)
    losses = [[line["loss"] for line in events(tmp_path / name)] for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert len({*losses[0]}) == len(losses[0]) > 3


def test_two_processes_find_the_boxes_that_one_finds(two):
    """Of the same weights, average precision and recall are the same to the last bit."""
    alone, shared = read_json(two / "boxes_of_one.json"), read_json(two / "boxes" / "result.json")
    assert shared["best_step"] == alone["best_step"] > 0
    for split in ("val", "test"):
        exact = {name for name in alone[split] if name.startswith(("map", "mar"))}
        assert {name: shared[split][name] for name in exact} == {
            name: alone[split][name] for name in exact
        }
    assert alone["test"]["map"] > 0
    assert alone["report"] == shared["report"]


def cli(folder: Path, *arguments: str) -> None:
    """Run the command line in an empty folder, with stderr in one file per process."""
    os.chdir(folder)
    with Path(f"stderr-{os.environ['RANK']}").open("w") as errors:
        os.dup2(errors.fileno(), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    sys.argv = ["trainer", "model=mlp", "device=cpu", "quiet=true", *arguments]
    main()


def errors_of(folder: Path) -> list[str]:
    """Read what each process wrote to stderr.

    torch's own warning is left out: here rank 0 holds the store, under torchrun its agent does, so
    a process that waits for an ended rank 0 is warned only here.
    """
    texts = (path.read_text() for path in sorted(folder.glob("stderr-*")))
    warning = re.compile(r"\[rank\d+\]:\[W.*?<omitting python frames>\n+", re.DOTALL)
    return [warning.sub("", text) for text in texts]


def wait_for(folder: Path, steps: int) -> None:
    """Wait until a run has logged so many steps."""
    log = folder / "metrics.jsonl"
    while not log.exists() or log.read_text().count("\n") < steps:
        time.sleep(0.05)


def test_only_rank_0_creates_a_run_folder(tmp_path):
    """Only rank 0 creates a run folder."""
    assert end(start(cli, tmp_path, "steps=5")) == [0, 0]
    assert len(list(tmp_path.glob("outputs/*/*"))) == 1
    (folder,) = tmp_path.glob("outputs/*/*")
    assert read_json(folder / "status.json")["state"] == "finished"
    assert read_json(folder / "result.json")["processes"] == 2
    assert len(list(folder.glob("tensorboard/*"))) == 1
    assert errors_of(tmp_path) == ["", ""]


def test_a_signal_to_one_process_stops_all(tmp_path):
    """All processes stop at the same step and write one checkpoint."""
    options = ("log.every=1st", "epochs=1000", "checkpoint.every=1000ep", "hydra.run.dir=run")
    started = start(cli, tmp_path, *options, "dataset.val_fraction=0")
    wait_for(tmp_path / "run", 8)
    began = time.monotonic()
    os.kill(started[1].pid, signal.SIGINT)
    assert end(started) == [130, 130]
    assert time.monotonic() - began < 10
    assert read_json(tmp_path / "run" / "status.json")["state"] == "preempted"
    checkpoints = tmp_path / "run" / "checkpoints"
    (step,) = checkpoint.steps(checkpoints)
    saved = checkpoint.load(checkpoint.step_folder(checkpoints, step))
    assert saved.state["progress"]["step"] == step
    assert [text.count("\n") for text in errors_of(tmp_path)] == [1, 0]


def test_if_one_process_is_killed_the_other_exits_with_a_reason(tmp_path):
    """The other exits within a minute and reports why; its last checkpoint is complete."""
    options = ("log.every=1st", "epochs=1000", "checkpoint.every=5st", "hydra.run.dir=run")
    started = start(cli, tmp_path, *options, "batch_size=256", "dataset.val_fraction=0")
    wait_for(tmp_path / "run", 12)
    began = time.monotonic()
    os.kill(started[1].pid, signal.SIGKILL)
    assert end(started) == [1, -signal.SIGKILL]
    assert time.monotonic() - began < 60
    error = errors_of(tmp_path)[0]
    assert "another process" in error
    assert "resume=auto" in error
    assert read_json(tmp_path / "run" / "status.json")["state"] == "failed"
    saved = checkpoint.latest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert saved is not None
    assert saved.state["progress"]["step"] % 5 == 0


def unreadable(folder: Path, *arguments: str) -> None:
    """Run the command line; rank 1 fails to read an image."""

    def broken(*_: Any) -> None:
        raise DataError("an image is damaged")

    if os.environ["RANK"] == "1":
        MemoryFeed.batches = broken
    cli(folder, *arguments)


def test_an_error_in_one_process_ends_all(tmp_path):
    """The failing rank reports the error once; all exit with its code."""
    assert end(start(unreadable, tmp_path, "hydra.run.dir=run")) == [3, 3]
    assert errors_of(tmp_path) == ["", "rank 1: an image is damaged\n"]
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["exit_code"], status["error"]) == (3, "rank 1: an image is damaged")


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        (["lr=1"], "lr=1"),
        (["mining=ohem", "mining.keep=2"], "mining.keep"),
    ],
)
def test_a_wrong_setting_is_reported_once(tmp_path, monkeypatch, arguments, setting):
    """Rank 0 reports it; torchrun then ends the others."""
    monkeypatch.setattr(torchrun, "GRACE", SLOW)
    first, other = start(cli, tmp_path, *arguments)
    assert end([first]) == [2]
    other.terminate()
    end([other])
    text, silence = errors_of(tmp_path)
    assert text.startswith(setting)
    assert text.count("\n") == 1
    assert not silence
    assert not (tmp_path / "outputs").exists()


def test_whole_batch_loss_needs_one_process(tmp_path):
    run = make_run(tmp_path, *MASKS, "model=unet", "loss=dice", "loss.batch=true")
    run.world = mock.Mock(size=2)
    with pytest.raises(ConfigError, match=r"loss\.batch=true .*\b2\b"):
        _ = run.data


def test_a_job_for_one_process_is_refused(tmp_path):
    run = make_run(tmp_path, "job=preview")
    run.world = mock.Mock(alone=False, size=2)
    with pytest.raises(ConfigError, match="job=preview"):
        run.validate()


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_run_is_resumed_by_another_number_of_processes(two, whole, strategy):
    """Started by one and resumed by two, or the reverse, a run ends the same as by one."""
    after_one = read_json(two / f"{strategy}_after_one" / "result.json")
    own = f"strategy={strategy}" if strategy == "fsdp" else "strategy=auto"
    after_two = run_in(ALONE, two / f"{strategy}_begun", *RESUMED, own)
    for result, name in ((after_one, "after_one"), (after_two, "begun")):
        assert result["test"] == pytest.approx(whole["test"], abs=1e-5)
        lines = events(two / f"{strategy}_{name}")
        seen = [line["step"] for line in lines if line["split"] == "train"]
        assert seen[-25:] == [*range(16, 41)]


FSDP = {"strategy": "fsdp"}
REFUSED: list[tuple[dict[str, str], dict[str, Any], tuple[str, ...]]] = [
    ({}, {"strategy": "ddp"}, ("strategy=ddp", "torchrun --nproc-per-node 2")),
    ({}, FSDP, ("strategy=fsdp", "torchrun")),
    ({"WORLD_SIZE": "2"}, {}, ("WORLD_SIZE", "RANK, LOCAL_RANK")),
    (PLACE, {"strategy": "single"}, ("2 processes", "auto")),
    (PLACE, {"device": "cuda:1"}, ("device=cuda:1", "2 processes")),
    (PLACE, {"batch_size": 1}, ("batch_size=1", "2 processes")),
    (PLACE, FSDP | {"ema": 0.9}, ("ema=0.9", "strategy=fsdp")),
    (PLACE, FSDP | {"compile": True}, ("compile=true", "strategy=fsdp")),
    (PLACE, FSDP | {"finetune": {"freeze": "backbone"}}, ("finetune.freeze=backbone", "fsdp")),
]


def check_here(settings: dict[str, Any]) -> None:
    here = torchrun.place()
    check_processes(settings, here.size, started=here.started)


@pytest.mark.parametrize(("environment", "settings", "fragments"), REFUSED)
def test_settings_that_do_not_fit_the_processes_are_refused(
    monkeypatch, environment, settings, fragments
):
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        check_here(config_of() | settings)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_sweep_starts_its_own_processes(monkeypatch):
    torchrun.check_sweep(["-m", "seed=0,1"])
    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="without torchrun"):
        torchrun.check_sweep(["-m", "seed=0,1"])


@pytest.mark.parametrize(
    ("rows", "number", "ends"),
    [(32, 2, [0, 16, 32]), (5, 2, [0, 2, 5]), (3, 2, [0, 3, 3]), (5, 4, [0, 2, 5, 5, 5])],
)
def test_bounds_of_each_processs_rows(rows, number, ends):
    """Each row once and in order; none gets a single row, which has no variance in BatchNorm."""
    assert row_bounds(rows, number) == ends


def test_a_signal_to_torchrun_stops_all_processes(tmp_path):
    """All processes stop at the same step and write one checkpoint."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    options = ["model=mlp", "device=cpu", "threads=1", "epochs=1000", "log.every=1st"]
    options += ["dataset.val_fraction=0", "checkpoint.every=1000ep", "hydra.run.dir=run"]
    command = [*torchrun, "--standalone", "-m", "trainer", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (tmp_path / "stderr-all").open("w") as errors:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=errors, stderr=errors
        )
    wait_for(tmp_path / "run", 8)
    began = time.monotonic()
    process.terminate()
    assert process.wait(60) != 0
    assert time.monotonic() - began < 10
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["state"], status["exit_code"]) == ("preempted", 143)
    checkpoints = tmp_path / "run" / "checkpoints"
    (step,) = checkpoint.steps(checkpoints)
    assert events(tmp_path / "run")[-1]["step"] in (step - 1, step)
    (text,) = errors_of(tmp_path)
    assert text.count("; continue with torchrun --standalone --nproc-per-node 2 -m trainer ") == 1
