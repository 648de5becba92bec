import csv
import math

import pytest
from support import train


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_curve_needs_no_data(tmp_path):
    """100 steps, ten of them warmup from 0.1: every row against the formula."""
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
    assert (tmp_path / "p" / "lr.png").read_bytes()[:4] == b"\x89PNG"
    assert not (tmp_path / "p" / "inputs.png").exists()


def test_inputs_and_classes(tmp_path):
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
