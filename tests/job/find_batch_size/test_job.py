"""job=find_batch_size: the search, full memory, its files, and the state it restores."""

import csv
import mmap
import os
import signal
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from support import SMALL, digest, make_run, read_json, train

from trainer.core.errors import ConfigError, Interrupted
from trainer.core.plan import Plan
from trainer.job.find_batch_size import job, sizes
from trainer.job.find_batch_size.job import FindBatchSize, largest_fitting, repeated
from trainer.job.find_batch_size.sizes import Size, knee, predicted_memory
from trainer.run import memory
from trainer.training.nonfinite import NonFiniteGuard
from trainer.training.step import Step

JOB = ("job=find_batch_size", "job.untimed=1", "job.repeats=2")
PICTURE = sizes.picture
STEP = Step.__call__


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """Draws no plot, which takes longer than the steps, and stops timing after `repeats`."""
    monkeypatch.setattr(job, "SHORTEST", 0.0)
    monkeypatch.setattr(job, "picture", lambda _: np.zeros((1, 1, 3), np.uint8))


@pytest.fixture
def stepped(monkeypatch) -> list[int]:
    """The rows of each step taken."""
    rows: list[int] = []

    def step(self, batch, step_id, first_row, part=None):
        rows.append(len(batch))
        STEP(self, batch, step_id, first_row)

    monkeypatch.setattr(Step, "__call__", step)
    return rows


def fill(monkeypatch, above: int, error: type[Exception] | None = torch.OutOfMemoryError) -> None:
    """Let steps of more rows fill the memory after the update; None raises torch's own error."""

    def step(self, batch, step_id, first_row, part=None):
        STEP(self, batch, step_id, first_row)
        if len(batch) > above:
            if error is None:
                torch.empty(2**55)
            raise error("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Step, "__call__", step)


def search(folder, *overrides: str):
    run = make_run(folder, *SMALL, *JOB, *overrides)
    return run, run.do()


def tried(result) -> list[int]:
    return [size["batch_size"] for size in result["sizes"]]


@pytest.mark.parametrize("fitting", [0, 7, 8, 9, 63, 64, 65, 100, 127, 1000, 1293, 1294, 5000])
def test_the_search_doubles_then_bisects(fitting):
    """The result is within an eighth of the truth; twelve sizes are tried at most, none twice."""
    attempts = []
    largest = largest_fitting(lambda rows: attempts.append(rows) or rows <= fitting, 8, 1294)
    assert len(attempts) == len(set(attempts)) <= 12
    if fitting < 8:
        assert (largest, attempts) == (0, [8])
    elif fitting >= 1294:
        assert largest == 1294
    else:
        assert largest <= fitting < largest + max(2, largest / 8 + 1)


def test_the_search_by_hand():
    """100 fit: 8 to 64 do, 128 does not; 96 does, 112 and 104 do not; 104 − 96 is within 96 / 8."""
    attempts = []
    assert largest_fitting(lambda rows: attempts.append(rows) or rows <= 100, 8, 1294) == 96
    assert attempts == [8, 16, 32, 64, 128, 96, 112, 104]


def size(rows: int, speed: float = 1.0, memory_bytes: int = 0) -> Size:
    return Size(rows, speed, rows / speed, memory_bytes)


def test_the_knee_is_the_smallest_size_with_95_percent_of_the_best_speed():
    speeds = {8: 50.0, 16: 94.9, 32: 95.0, 64: 100.0, 128: 99.0}
    assert knee([size(*pair) for pair in speeds.items()]).batch_size == 32


def test_memory_is_extrapolated_from_the_last_two_sizes():
    """300 before; 8 rows 340, which is 5 a row; 16 rows 360, which is 2.5 a row."""
    assert predicted_memory(8, [], 300) == 300
    assert predicted_memory(16, [size(8, memory_bytes=340)], 300) == 380
    assert predicted_memory(32, [size(8, memory_bytes=340), size(16, memory_bytes=360)], 300) == 400
    assert predicted_memory(32, [size(8, memory_bytes=340), size(16, memory_bytes=330)], 300) == 330


def test_only_the_fullest_steps_are_repeated():
    """Ten rows by four: the last step, of two, is not timed as if it had four."""
    plan = repeated(Plan.of(torch.arange(10), 4), 3)
    assert plan.ids[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]
    assert plan.bounds.tolist() == [0, 4, 8, 12]
    added = Plan.of(torch.arange(8), 4).with_added(torch.arange(100, 108), 1.0)
    assert repeated(added, 1).count.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_files_and_console_agree_with_the_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "picture", PICTURE)
    assert train(tmp_path / "f", *JOB, "quiet=false") == 0
    folder = tmp_path / "f"
    result, output = read_json(folder / "result.json"), capsys.readouterr().out
    assert tried(result) == [8, 16, 32, 64, 128, 256, 512, 1024, 1294]
    assert (result["largest"], result["limit"]) == (1294, "the rows of an epoch")
    assert f"suggestion    batch_size={result['suggestion']};" in output
    assert result["override"] == f"batch_size={result['suggestion']}"
    best = max(size["images_per_second"] for size in result["sizes"])
    fast = [s["batch_size"] for s in result["sizes"] if s["images_per_second"] >= 0.95 * best]
    assert result["suggestion"] == fast[0]
    for size_result in result["sizes"]:
        speed = size_result["batch_size"] / size_result["step_seconds"]
        assert size_result["images_per_second"] == pytest.approx(speed)
        assert size_result["memory_bytes"] > 2**20
    with (folder / "find_batch_size.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == result["sizes"]
    assert (folder / "find_batch_size.png").read_bytes()[:4] == b"\x89PNG"
    assert not (folder / "checkpoints").exists()


def test_job_largest_limits_the_sizes(tmp_path, stepped):
    result = search(tmp_path, "job.largest=24", "job.untimed=2", "job.repeats=3")[1]
    assert tried(result) == [8, 16, 24]
    assert result["limit"] == "job.largest"
    assert stepped == [8] * 5 + [16] * 5 + [24] * 5


def test_fast_steps_are_timed_more_often_and_slow_ones_less(tmp_path, monkeypatch, stepped):
    """Each step takes a second of the fake clock, so six of ten exceed LONGEST."""
    monkeypatch.setattr(job.time, "perf_counter", lambda: float(len(stepped)))
    slow = search(tmp_path, "job.largest=8", "job.repeats=10")[1]
    assert stepped == [8] * 7
    assert slow["sizes"][0]["step_seconds"] == 1.0
    assert slow["sizes"][0]["images_per_second"] == 8.0
    stepped.clear()
    monkeypatch.setattr(job, "SHORTEST", 4.5)
    search(tmp_path, "job.largest=8", "job.repeats=2")  # two, four, six seconds
    assert stepped == [8] * 9


def test_no_batch_is_larger_than_an_epoch(tmp_path):
    run, result = search(tmp_path, "sampler=undersample", "dataset.imbalance=10")
    rows = run.planner.plan(0).bounds[-1]
    assert result["largest"] == rows < len(run.data.train)


def test_the_steps_are_those_of_an_epoch_with_mining(tmp_path, stepped):
    """`hard_example` adds as many rows as a batch has, but not in its warmup: epoch 0."""
    run, result = search(tmp_path, "mining=hard_example", "job.largest=16", "epochs=3")
    assert run.miner.warmup_epochs == 1
    assert stepped == [16] * 3 + [32] * 3
    assert result["sizes"][0]["images_per_second"] == pytest.approx(
        16 / result["sizes"][0]["step_seconds"]
    )


def test_a_diverging_learning_rate_has_no_effect(tmp_path):
    result = search(tmp_path, "optimizer=sgd", "optimizer.lr=1e30", "job.largest=64")[1]
    assert tried(result) == [8, 16, 32, 64]


@pytest.mark.parametrize(
    ("error", "model"),
    [(torch.OutOfMemoryError, "resnet_cifar"), (MemoryError, "mlp"), (None, "mlp")],
)
def test_full_memory_ends_the_doubling(tmp_path, monkeypatch, fits, error, model):
    fill(monkeypatch, 100, error)
    run, result = search(tmp_path, f"model={model}", "optimizer=sgd", "dataset.subset=150")
    assert tried(result) == [8, 16, 32, 64, 96]
    assert (result["largest"], result["limit"]) == (96, "memory")
    fit, before = fits[0]
    assert digest(fit) == before
    assert not fit.step.meter.pending
    assert all(p.grad is None for p in run.model.parameters())


def test_mixed_precision_continues_after_full_memory(tmp_path, monkeypatch, fits, stepped):
    """The scaler has unscaled the gradients of a step that is never finished."""
    update = NonFiniteGuard.update

    def full(self, *arguments):
        if stepped[-1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return update(self, *arguments)

    monkeypatch.setattr(NonFiniteGuard, "update", full)
    assert tried(search(tmp_path, "precision=fp16")[1]) == [8, 16, 20]
    assert digest(fits[0][0]) == fits[0][1]


def test_a_start_that_does_not_fit_is_reported_in_one_line(tmp_path, monkeypatch, capsys):
    fill(monkeypatch, 4)
    assert train(tmp_path / "f", *JOB) == 8
    error = capsys.readouterr().err
    assert error.startswith("job.start=8 does not fit")
    assert "lower it" in error
    assert error.count("\n") == 1


def test_another_error_is_not_mistaken_for_full_memory(tmp_path, monkeypatch, fits):
    def broken(self, batch, step_id, first_row):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(Step, "__call__", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        search(tmp_path)
    assert digest(fits[0][0]) == fits[0][1]


def test_sizes_over_the_memory_budget_of_a_cpu_are_not_tried(tmp_path, monkeypatch, stepped):
    """100 MB before, 1 MB per row, 195 MB for the steps: 256, 224 and 208 are not tried."""
    monkeypatch.setattr(memory, "peak", lambda _: 10**8 + 10**6 * (stepped[-1] if stepped else 0))
    result = search(tmp_path, "job.memory_gb=0.195", "dataset.val_fraction=0.1")[1]
    assert tried(result) == [8, 16, 32, 64, 128, 192]
    assert max(stepped) == 192
    assert result["limit"] == "memory"
    monkeypatch.setattr(memory, "available", lambda: 2 * 0.195e9)
    stepped.clear()
    assert search(tmp_path, "dataset.val_fraction=0.1")[1]["largest"] == 192


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux")
def test_the_peak_can_be_reset(tmp_path):
    run = make_run(tmp_path, *SMALL)
    memory.reset_peak(run.device)
    before = memory.peak(run.device)
    with mmap.mmap(-1, 2**26) as block:  # 64 MiB, returned to the system at the end
        for start in range(0, 2**26, 4096):
            block[start] = 1
    assert before + 2**25 < memory.peak(run.device)
    memory.reset_peak(run.device)
    assert memory.peak(run.device) < before + 2**25


def test_available_memory_is_within_the_limit_of_a_container(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "GROUP", tmp_path / "none")
    host = memory.available()
    assert host > 2**20
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.available() == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() == pytest.approx(host, rel=0.5)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("memory"), False),
    ],
)
def test_errors_of_full_memory_are_recognised(error, full):
    assert memory.is_full(error) is full


STATES = [
    "mining=hard_example mining.warmup_epochs=0",
    "mining=importance loss=ghm optimizer=sgd",
    "mining=reweight ema=0.9",
    "model=resnet_cifar dataset.subset=100 mixer=mixup",
    "finetune.freeze=backbone finetune.unfreeze=1ep",
]


@pytest.mark.parametrize("choice", STATES)
def test_all_state_is_restored(tmp_path, fits, choice):
    run, _ = search(tmp_path, "job.largest=16", "epochs=3", *choice.split())
    fit, before = fits[0]
    assert digest(fit) == before
    assert all(p.requires_grad and p.grad is None for p in run.model.parameters())


def test_without_the_rollback_state_changes(tmp_path, fits, monkeypatch):
    monkeypatch.setattr(job, "rolled_back", nullcontext)
    search(tmp_path, "job.largest=16")
    assert digest(fits[0][0]) != fits[0][1]


def test_a_signal_stops_the_job_and_all_state_is_restored(tmp_path, fits):
    class Third:
        polls = 0

        def agreed_signal(self) -> None:
            return None

        def raise_if_stopped(self) -> None:
            self.polls += 1
            if self.polls == 3:
                raise Interrupted(signal.SIGTERM)

    run = make_run(tmp_path, *SMALL, *JOB)
    run.signals = Third()
    with pytest.raises(Interrupted):
        run.do()
    assert digest(fits[0][0]) == fits[0][1]


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("job.start=0", r"job.start must be in \[1, inf\), got 0"),
        ("job.largest=4", r"job.largest must be in \[8, inf\), got 4"),
        ("job.untimed=0", r"job.untimed must be in \[1, inf\), got 0"),
        ("job.repeats=0", r"job.repeats must be in \[1, inf\), got 0"),
        ("job.memory_gb=0", r"job.memory_gb must be in \(0, inf\), got 0"),
        ("job.start=8.5", r"job.start must be an integer, got 8.5"),
    ],
)
def test_a_setting_out_of_range_is_named(tmp_path, setting, line):
    with pytest.raises(ConfigError, match=line):
        train(tmp_path / "f", "job=find_batch_size", setting)
    assert not (tmp_path / "f").exists()


def test_defaults_equal_those_of_the_yaml(tmp_path):
    job = make_run(tmp_path, "job=find_batch_size").job
    assert isinstance(job, FindBatchSize)
    assert vars(job) == vars(FindBatchSize())
