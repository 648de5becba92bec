"""job=preview: the learning-rate curve against formulas, and the files it writes."""

import csv
import math

import pytest
from matplotlib.figure import Figure
from support import node_of, options, train

from trainer.config.build import build
from trainer.core.duration import Clock
from trainer.schedule import Schedule
from trainer.training.learning_rate import LearningRate
from trainer.warmup.gradual import Gradual

DRAW = Figure.draw


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    """Leave the plots white, which saves half of most tests' time."""
    monkeypatch.setattr(Figure, "draw", lambda *_: None)


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_curve_needs_no_data(tmp_path, monkeypatch):
    """100 steps, ten of them warmup from 0.1: every row against the formula."""
    monkeypatch.setattr(Figure, "draw", DRAW)
    overrides = ["job=preview", "steps=100", "schedule=cosine_decay", "optimizer.lr=0.5"]
    overrides += ["warmup=gradual", "warmup.steps=0.1run", "dataset=mnist", "dataset.root=/none"]
    assert train(tmp_path / "p", *overrides) == 0
    curve = rows(tmp_path / "p" / "lr.csv")
    assert list(curve[0]) == ["step", "lr"]
    assert [int(row["step"]) for row in curve] == list(range(100))
    for t, row in enumerate(curve):
        warm = 0.5 * (0.1 + 0.9 * t / 10)
        cosine = 0.5 * 0.5 * (1 + math.cos(math.pi * (t - 10) / 90))
        assert float(row["lr"]) == pytest.approx(warm if t < 10 else cosine)
    picture = (tmp_path / "p" / "lr.png").read_bytes()
    assert picture[:4] == b"\x89PNG"
    assert len(picture) > 5000  # a white one has less
    assert not (tmp_path / "p" / "inputs.png").exists()


@pytest.mark.parametrize("steps", [["job.steps=35"], ["steps=35"], ["job.steps=35", "steps=7"]])
def test_steps_are_those_of_the_job_or_else_of_the_run(tmp_path, steps):
    """S = 10 steps from 1e-3 to 1e-4, cycled, without a data set."""
    overrides = ["job=preview", "schedule=polynomial", "schedule.cycle=true", *steps]
    overrides += ["schedule.decay_steps=10st", "dataset=mnist", "dataset.root=/none"]
    assert train(tmp_path / "p", *overrides) == 0
    curve = [float(row["lr"]) for row in rows(tmp_path / "p" / "lr.csv")]
    longer = [10 * max(1, math.ceil(t / 10)) for t in range(35)]
    assert curve == pytest.approx([9e-4 * (1 - t / s) + 1e-4 for t, s in enumerate(longer)])


@pytest.mark.parametrize("schedule", options("schedule"))
def test_every_schedule_has_a_curve(tmp_path, schedule):
    overrides = ["job=preview", "job.steps=12", f"schedule={schedule}", "warmup=gradual"]
    assert train(tmp_path / "p", *overrides, "warmup.steps=3st", "epochs=3") == 0
    curve = [float(row["lr"]) for row in rows(tmp_path / "p" / "lr.csv")]
    node = node_of("schedule", schedule)
    learning_rate = LearningRate(
        build(node, "schedule", Schedule, seed=0), Gradual(steps="3st"), 1e-3, Clock(4, 12)
    )
    assert curve == [learning_rate.lr(t) for t in range(12)]


def test_a_constant_warmup_lasts_its_steps(tmp_path):
    overrides = ["job=preview", "job.steps=9", "warmup=constant", "warmup.steps=4st"]
    assert train(tmp_path / "p", *overrides, "schedule=step", "schedule.step_size=3st") == 0
    curve = [float(row["lr"]) for row in rows(tmp_path / "p" / "lr.csv")]
    assert curve == pytest.approx([0.01] * 4 + [1e-3] * 3 + [1e-4] * 2)


@pytest.mark.parametrize(
    ("choice", "warning"),
    [("warmup=constant", "training error or warmup.steps"), ("schedule=plateau", "metrics")],
)
def test_a_curve_that_depends_on_the_run_gives_a_warning(tmp_path, choice, warning, capsys):
    assert train(tmp_path / "p", "job=preview", "job.steps=9", choice) == 0
    assert warning in " ".join(capsys.readouterr().err.split())
    assert len({row["lr"] for row in rows(tmp_path / "p" / "lr.csv")}) == 1


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["schedule=cosine_decay", "schedule.decay_steps=36st"],
            "schedule.decay_steps=36st is 36 steps, but the run has 35 steps; shorten it",
        ),
        (
            ["schedule=one_cycle", "schedule.total_steps=35st", "warmup=gradual"],
            "schedule.total_steps=35st is 35 steps, but the run has 35 steps, "
            "34 of them after the warmup",
        ),
        (["warmup=gradual", "warmup.steps=35st"], "warmup.steps=35st is 35 steps, but the run"),
        (["warmup=gradual", "warmup.steps=1run"], "warmup.steps=1run is 35 steps, but the run"),
    ],
)
def test_a_schedule_longer_than_the_run_is_refused_in_one_line(tmp_path, overrides, line, capsys):
    assert train(tmp_path / "p", "job=preview", "job.steps=35", "epochs=35", *overrides) == 2
    error = capsys.readouterr().err
    assert error.startswith(line)
    assert error.count("\n") == 1


def test_the_curve_has_a_row_per_step_of_the_sampled_epoch(tmp_path):
    """Fewer examples make fewer steps; the curve still reaches its end."""
    overrides = ["job=preview", "sampler=undersample", "schedule=cosine_decay", "epochs=2"]
    overrides += ["dataset.imbalance=10"]
    assert train(tmp_path / "p", *overrides) == 0
    curve = [float(row["lr"]) for row in rows(tmp_path / "p" / "lr.csv")]
    half = len(curve) // 2
    assert half < 10  # 41 steps without the sampler and the long tail
    assert curve[half] == pytest.approx(5e-4)
    assert curve == pytest.approx(
        [5e-4 * (1 + math.cos(math.pi * i / len(curve))) for i in range(len(curve))]
    )


def test_inputs_and_class_counts_are_written(tmp_path):
    assert train(tmp_path / "p", "job=preview", "mixer=mixup", "augmentation=light") == 0
    folder = tmp_path / "p"
    assert (folder / "inputs.png").read_bytes()[:4] == b"\x89PNG"
    shares: dict[str, float] = {}
    for row in rows(folder / "inputs.csv"):
        shares[row["image"]] = shares.get(row["image"], 0) + float(row["share"])
    assert len(shares) == 32
    assert all(total == pytest.approx(1, abs=1e-3) for total in shares.values())
    counts = rows(folder / "classes.csv")
    assert sum(int(row["examples"]) for row in counts) == 1294
    assert len(rows(folder / "lr.csv")) == 2 * 41
