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
    """Draws no plot, which takes longer than the steps, and times no more steps than asked for."""
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
    """Let a step of more rows fill the memory once its update is made; None: the real error."""

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
def test_doubling_then_halving(fitting):
    """Within an eighth of the truth, nothing twice, and no more than log₂ of the range."""
    asked = []
    found = largest_fitting(lambda rows: asked.append(rows) or rows <= fitting, 8, 1294)
    assert len(asked) == len(set(asked)) <= 12
    if fitting < 8:
        assert (found, asked) == (0, [8])
    elif fitting >= 1294:
        assert found == 1294
    else:
        assert found <= fitting < found + max(2, found / 8 + 1)


def test_the_search_by_hand():
    """100 fit: 8 to 64 do, 128 does not; 96 does, 112 and 104 do not; 104 − 96 is within 96 / 8."""
    asked = []
    assert largest_fitting(lambda rows: asked.append(rows) or rows <= 100, 8, 1294) == 96
    assert asked == [8, 16, 32, 64, 128, 96, 112, 104]


def size(rows: int, speed: float = 1.0, memory_bytes: int = 0) -> Size:
    return Size(rows, speed, rows / speed, memory_bytes)


def test_the_knee_is_the_smallest_size_with_95_percent_of_the_best_speed():
    speeds = {8: 50.0, 16: 94.9, 32: 95.0, 64: 100.0, 128: 99.0}
    assert knee([size(*pair) for pair in speeds.items()]).batch_size == 32


def test_memory_is_predicted_by_the_line_through_the_last_two():
    """300 before; 8 rows 340, which is 5 a row; 16 rows 360, which is 2.5 a row."""
    assert predicted_memory(8, [], 300) == 300
    assert predicted_memory(16, [size(8, memory_bytes=340)], 300) == 380
    assert predicted_memory(32, [size(8, memory_bytes=340), size(16, memory_bytes=360)], 300) == 400
    assert predicted_memory(32, [size(8, memory_bytes=340), size(16, memory_bytes=330)], 300) == 330


def test_the_fullest_steps_in_turn():
    """Ten rows by four: the last step, of two, is not timed as if it had four."""
    plan = repeated(Plan.of(torch.arange(10), 4), 3)
    assert plan.ids[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]
    assert plan.bounds.tolist() == [0, 4, 8, 12]
    added = Plan.of(torch.arange(8), 4).with_added(torch.arange(100, 108), 1.0)
    assert repeated(added, 1).count.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_what_is_written(tmp_path, monkeypatch, capsys):
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
    for one in result["sizes"]:
        speed = one["batch_size"] / one["step_seconds"]
        assert one["images_per_second"] == pytest.approx(speed)
        assert one["memory_bytes"] > 2**20
    with (folder / "find_batch_size.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == result["sizes"]
    assert (folder / "find_batch_size.png").read_bytes()[:4] == b"\x89PNG"
    assert not (folder / "checkpoints").exists()


def test_no_larger_than_asked_for(tmp_path, stepped):
    result = search(tmp_path, "job.largest=24", "job.untimed=2", "job.repeats=3")[1]
    assert tried(result) == [8, 16, 24]
    assert result["limit"] == "job.largest"
    assert stepped == [8] * 5 + [16] * 5 + [24] * 5


def test_quick_steps_are_timed_for_longer_and_slow_ones_less_often(tmp_path, monkeypatch, stepped):
    """A clock that each step moves by a second: six of ten are more than five seconds."""
    monkeypatch.setattr(job.time, "perf_counter", lambda: float(len(stepped)))
    slow = search(tmp_path, "job.largest=8", "job.repeats=10")[1]
    assert stepped == [8] * 7
    assert slow["sizes"][0]["step_seconds"] == 1.0
    assert slow["sizes"][0]["images_per_second"] == 8.0
    stepped.clear()
    monkeypatch.setattr(job, "SHORTEST", 4.5)
    search(tmp_path, "job.largest=8", "job.repeats=2")  # two, four, six seconds
    assert stepped == [8] * 9


def test_an_epoch_of_fewer_rows_has_no_larger_batch(tmp_path):
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


def test_a_rate_that_would_diverge_does_not_matter(tmp_path):
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


def test_after_full_memory_mixed_precision_goes_on(tmp_path, monkeypatch, fits, stepped):
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


def test_another_error_is_not_taken_for_full_memory(tmp_path, monkeypatch, fits):
    def broken(self, batch, step_id, first_row):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(Step, "__call__", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        search(tmp_path)
    assert digest(fits[0][0]) == fits[0][1]


def test_the_cpu_has_a_budget(tmp_path, monkeypatch, stepped):
    """100 MB before and 1 MB a row, 195 MB for the steps: 256, 224 and 208 are not even tried."""
    monkeypatch.setattr(memory, "peak", lambda _: 10**8 + 10**6 * (stepped[-1] if stepped else 0))
    result = search(tmp_path, "job.memory_gb=0.195", "dataset.val_fraction=0.1")[1]
    assert tried(result) == [8, 16, 32, 64, 128, 192]
    assert max(stepped) == 192
    assert result["limit"] == "memory"
    monkeypatch.setattr(memory, "available", lambda: 2 * 0.195e9)
    stepped.clear()
    assert search(tmp_path, "dataset.val_fraction=0.1")[1]["largest"] == 192


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="no Linux")
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
def test_which_errors_say_that_memory_is_full(error, full):
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


def test_without_the_rollback_it_would_not_be(tmp_path, fits, monkeypatch):
    monkeypatch.setattr(job, "rolled_back", nullcontext)
    search(tmp_path, "job.largest=16")
    assert digest(fits[0][0]) != fits[0][1]


def test_a_signal_stops_it_and_all_state_is_restored(tmp_path, fits):
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
def test_a_bad_setting_is_named(tmp_path, setting, line):
    with pytest.raises(ConfigError, match=line):
        train(tmp_path / "f", "job=find_batch_size", setting)
    assert not (tmp_path / "f").exists()


def test_the_defaults_are_those_of_the_yaml(tmp_path):
    job = make_run(tmp_path, "job=find_batch_size").job
    assert isinstance(job, FindBatchSize)
    assert vars(job) == vars(FindBatchSize())
