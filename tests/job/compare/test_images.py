"""Intervals for new images from the predictions that runs have kept, and what pairing saves."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from trainer.compare import Anytime, StudentT
from trainer.compare.shared import two_way
from trainer.job.compare import export, images, sentences, tables
from trainer.job.compare.comparison import Comparison, compare
from trainer.job.compare.html.page import page
from trainer.job.compare.images import MEASURES, bootstrap
from trainer.job.compare.runs import find_runs, read_run
from trainer.storage import predicted

N = 40
LABELS = np.arange(N) % 4

Runs = Callable[..., Path]


def guesses(option: str, seed: int) -> np.ndarray:
    """Predictions, wrong in a tenth of the images for ohem, a quarter for none."""
    rng = np.random.default_rng([seed, len(option), ord(option[0])])
    wrong = rng.random(N) < (0.1 if option == "ohem" else 0.25)
    return np.where(wrong, (LABELS + 1) % 4, LABELS)


@pytest.fixture
def sweep(make: Runs, tmp_path: Path) -> Path:
    """Five seeds of two miners with their predictions, of which accuracy is the mean."""
    for option in ("none", "ohem"):
        for seed in range(5):
            found = guesses(option, seed)
            folder = make(f"{option}-{seed}", seed, 0.0, groups={"mining": option})
            result = read_run(folder).result  # pyright: ignore
            right = found == LABELS
            result["test"] |= {
                "accuracy": float(right.mean()),
                "balanced_accuracy": float(balanced_accuracy_score(LABELS, found)),
            }
            (folder / "result.json").write_text(json.dumps(result))
            p = np.where(right, 0.7, 0.2)
            records = {"label": LABELS, "prediction": found, "confidence": p}
            predicted.write(folder, np.arange(N), records)
    return tmp_path / "runs"


def compared(folder: Path, **settings: object) -> Comparison:
    given = {"interval": StudentT()} | settings
    return compare([read_run(path) for path in find_runs([str(folder)])], **given)  # pyright: ignore


def images_of(comparison: Comparison) -> tuple[float, float]:
    (row,) = (row for row in comparison.final.rows if row.images is not None)
    assert row.images is not None
    assert row.images.bounds is not None
    return row.images.bounds


def test_a_mean_over_examples_has_the_two_way_interval(sweep: Path) -> None:
    table = np.stack(
        [(guesses("ohem", s) == LABELS) * 1.0 - (guesses("none", s) == LABELS) for s in range(5)]
    )
    comparison = compared(sweep)
    bounds = images_of(comparison)
    assert bounds == pytest.approx(StudentT().crossed(table))
    (sentence,) = sentences.verdicts(comparison, comparison.final)
    shown = comparison.format.bounds(*bounds, sign=True)
    assert f" over seeds; {shown} for new images; Holm p " in sentence
    (differences,) = tables.difference_table(comparison)
    (row,) = differences.rows
    assert dict(zip(differences.columns, row, strict=True))["for new images"] == shown
    record = export.table_records(comparison)[1]
    assert (record["images_low"], record["images_high"]) == bounds
    always = images_of(compared(sweep, interval=Anytime()))
    assert always[0] < bounds[0] < bounds[1] < always[1]


def test_another_metric_has_a_bootstrap_of_seeds_and_examples(sweep: Path) -> None:
    comparison = compared(sweep, metric="test/balanced_accuracy")
    low, high = images_of(comparison)
    (difference,) = (r.difference for r in comparison.final.rows if r.difference)
    assert difference.low is not None
    assert low < difference.low < difference.mean < high, "no narrower than over seeds"
    assert not any("new images" in note for note in sentences.notes(comparison))


def test_the_bootstrap_of_a_mean_is_near_the_two_way_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the same rows, with recall as the mean: all labels are of one class."""
    monkeypatch.setattr(images, "RESAMPLES", 250)
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(8):
        pair = [np.zeros(200, [("label", "<i4"), ("prediction", "<i4")]) for _ in range(2)]
        pair[0]["prediction"], pair[1]["prediction"] = rng.random((2, 200)) < [[0.1], [0.3]]
        rows.append(tuple(pair))
    table = np.stack([1.0 * (a["prediction"] == 0) - (b["prediction"] == 0) for a, b in rows])
    low, high = bootstrap(rows, MEASURES["balanced_accuracy"], StudentT())
    expected = two_way.bounds(table, 0.95)
    assert (low + high) / 2 == pytest.approx(sum(expected) / 2, abs=0.01)
    assert 0.95 < (high - low) / (expected[1] - expected[0]) < 1.6
    seeds = StudentT().mean(table.mean(1).tolist())
    same = [(a[:1].repeat(200), b[:1].repeat(200)) for a, b in rows]
    alike = StudentT().mean(
        [float(a["prediction"][0] == 0) - (b["prediction"][0] == 0) for a, b in same]
    )
    assert low < seeds[0] < seeds[1] < high
    assert bootstrap(same, MEASURES["balanced_accuracy"], StudentT()) == pytest.approx(
        alike, rel=0.1
    )
    always = bootstrap(rows[:3], MEASURES["balanced_accuracy"], Anytime())
    assert always == (-math.inf, math.inf), "three seeds never decide"


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1"])
def test_measures_with_weights_are_those_of_repeated_rows(name: str) -> None:
    rows = np.zeros(N, [("label", "<i4"), ("prediction", "<i4")])
    rows["label"], rows["prediction"] = LABELS, guesses("none", 0)
    weights = np.random.default_rng(0).integers(0, 4, N)
    again = np.repeat(rows, weights)
    labels, found = again["label"], again["prediction"]
    expected = {
        "balanced_accuracy": lambda: balanced_accuracy_score(labels, found),
        "macro_f1": lambda: f1_score(labels, found, average="macro"),
    }[name]()
    assert MEASURES[name](rows, weights.astype(float)) == pytest.approx(expected)


def test_why_there_is_no_interval_for_new_images_is_said(sweep: Path) -> None:
    def note(**settings: object) -> str:
        return " ".join(sentences.notes(compared(sweep, **settings)))

    assert "test/loss is not that of the predictions" in note(metric="test/loss")
    path = sweep / "ohem-1" / predicted.FILE
    rows = np.load(path)
    rows["id"] += 1
    np.save(path, rows)
    assert "the runs are tested on different images" in note()
    path.write_bytes(b"x")
    assert "predictions/test.npy cannot be read" in note()
    path.unlink()
    assert "older runs have kept no predictions" in note()
    (sentence,) = sentences.verdicts(found := compared(sweep), found.final)
    assert "new images" not in sentence


def test_pairing_shows_the_correlation_and_the_seeds_that_it_saves(three: Path) -> None:
    """ohem: 0.93, 0.951, 0.941 against 0.90, 0.92, 0.91, nearly parallel."""
    comparison = compared(three)
    row = next(row for row in comparison.final.rows if "ohem" in row.label)
    expected = np.corrcoef([0.93, 0.951, 0.941], [0.90, 0.92, 0.91])[0, 1]
    found = row.difference
    assert found is not None
    assert found.correlation == pytest.approx(expected)
    assert found.needed is not None
    assert found.unpaired is not None
    assert found.needed < found.unpaired < 10
    (differences,) = tables.difference_table(comparison)
    (line,) = (line for line in differences.rows if "ohem" in line[0])
    cells = dict(zip(differences.columns, line, strict=True))
    assert cells["correlation"] == f"{expected:.2f}"
    assert cells["seeds needed, paired / unpaired"] == f"{found.needed} / {found.unpaired}"


def test_the_page_plots_intervals_that_may_be_looked_at_by_the_number_of_seeds(
    sweep: Path,
) -> None:
    about = "mining=ohem: interval of the difference by number of seeds"
    assert about in page(compared(sweep, interval=Anytime()))
    assert about not in page(compared(sweep))
