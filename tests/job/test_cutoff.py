"""Cut-offs by hand."""

import numpy as np
import pytest

from trainer.core.errors import ConfigError, DataError
from trainer.history.analysis import History
from trainer.history.confident_joint import LabelErrors
from trainer.job.shared.cutoff import Scored, checked, select
from trainer.job.shared.ranking import Source, check_alike, little_shared, mean_of, rank

EXPECTED = LabelErrors(np.array([[3.0, 1.0], [1.0, 0.0]]))


def scored(**changed: object) -> Scored:
    """Of ids 10 to 14, the lowest score is the most suspect; 12 has none."""
    values = np.array([0.5, -0.5, np.nan, -2.0, 0.0])
    settings = {"marked": np.empty(0), "rule": 0.0, "wrong": np.arange(5) % 2 == 1, **changed}
    return Scored(np.arange(10, 15), values, -1.0, **settings)  # pyright: ignore


@pytest.mark.parametrize(
    ("cutoff", "flagged", "value"),
    [
        ("estimated", 2, -0.5),
        ("25%", 1, -2.0),
        ("100 %", 4, 0.5),
        ("0%", 0, np.nan),
        (-0.5, 2, -0.5),
        (0, 3, 0.0),
        (None, 3, 0.0),
    ],
)
def test_the_number_flagged(cutoff: str | float | None, flagged: int, value: float) -> None:
    found = select(scored(), checked(cutoff), EXPECTED)
    assert found.ids.tolist() == [13, 11, 14, 10]
    assert found.flagged == flagged
    assert found.cutoff == pytest.approx(value, nan_ok=True)
    assert found.wrong is not None
    assert found.wrong.tolist() == [True, True, False, False]


def test_the_threshold_class_is_99_percent_beyond_the_limit() -> None:
    marked = np.linspace(-1, 0, 101)
    found = select(scored(marked=marked), "threshold_class", EXPECTED)
    assert found.cutoff == pytest.approx(-0.01)
    assert found.flagged == 2
    assert select(scored(marked=marked), None, None).flagged == 2
    with pytest.raises(ConfigError, match=r"job.cutoff=threshold_class: .*threshold_class=true"):
        select(scored(), "threshold_class", EXPECTED)


def test_without_an_estimate_the_rule_counts() -> None:
    assert select(scored(), "estimated", None).flagged == 3
    with pytest.raises(ConfigError, match=r"job.cutoff=null: mean ranks have no such rule"):
        select(scored(rule=None), None, EXPECTED)
    with pytest.raises(ConfigError, match=r"job.cutoff=10: mean ranks are from 0 to 1; .* 10%"):
        select(scored(rule=None), 10, EXPECTED)
    assert select(scored(rule=None), 0.25, EXPECTED).cutoff == 0.25


@pytest.mark.parametrize("cutoff", ["guess", "101%", "-1%", "%"])
def test_others_are_refused(cutoff: str) -> None:
    with pytest.raises(ValueError, match=r"job\.cutoff must be estimated"):
        checked(cutoff)


def test_ranks_of_runs_on_other_labels_are_refused() -> None:
    fields = {"loss": np.zeros((1, 3), np.float16)}
    runs = [History(np.arange(3), fields, np.array(labels)) for labels in ([0, 1, 1], [0, 1, 0])]
    a, b = (Source(f"run {i}", run, run, (1, 1), lambda: None) for i, run in enumerate(runs))  # pyright: ignore
    check_alike([a, a])
    with pytest.raises(DataError, match="run 0 and run 1 have different examples or labels"):
        check_alike([a, b])


def test_runs_on_other_parts_of_the_data_are_named() -> None:
    """Another subset, or validation split, leaves a run without some of the examples."""
    sources = []
    for ids in ([0, 1, 2], [2, 3], [3]):
        run = History(np.array(ids), {}, np.arange(4))
        sources.append(Source(f"run {len(sources)}", run, run, (1, 1), lambda: None))  # pyright: ignore
    check_alike(sources[:2])
    (line,) = little_shared(sources[:2])
    assert line.startswith("run 1 was trained on 1 of the 3 examples of run 0; the others are")
    assert little_shared([sources[1], sources[2]]) == []  # half of them
    with pytest.raises(DataError, match="run 2 was trained on none of the examples of run 0"):
        check_alike(sources)


def test_ranks_and_their_means_by_hand() -> None:
    np.testing.assert_allclose(rank(np.array([3.0, np.nan, 1.0])), [0.75, np.nan, 0.25])
    rows = [np.array([0.2, np.nan, np.nan]), np.array([0.4, 0.6, np.nan])]
    np.testing.assert_allclose(mean_of(rows), [0.3, 0.6, np.nan])
