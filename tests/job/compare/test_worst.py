"""The worst class and group of images of each strategy, and which got worse beyond noise."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from trainer.job.compare.comparison import Comparison
from trainer.job.compare.export import as_json, markdown, part_csvs, part_records
from trainer.job.compare.html.page import page
from trainer.job.compare.significance import adjust_p
from trainer.job.compare.worst import Breakdown, Part
from trainer.job.compare.worst_text import (
    change_tables,
    text_tables,
    verdicts,
    worst_cell,
    worst_table,
)
from trainer.report.console import table
from trainer.report.fitting import natural_width

Runs = Callable[..., Path]
Compared = Callable[..., Comparison]
Values = Mapping[str, Sequence[float | None]]  # by seed

CATS = {"none": (0.80, 0.82, 0.81, 0.83, 0.80), "ohem": (0.76, 0.785, 0.768, 0.79, 0.756)}
DOGS = {"none": (0.90, 0.92, 0.91, 0.92, 0.93), "ohem": (0.91, 0.91, 0.92, 0.91, 0.94)}


@pytest.fixture
def by_class(make: Runs, tmp_path: Path) -> Callable[..., Path]:
    """Writes a run per strategy and seed whose classes, or groups, have the values given."""

    def write(
        strategies: Mapping[str, Values], *, kind: str = "class", measure: str = "recall"
    ) -> Path:
        for option, values in strategies.items():
            for seed in range(len(next(iter(values.values())))):
                name = f"{option}-{seed}"
                if kind == "class":
                    own = {c: {measure: v[seed], "support": 100 + seed} for c, v in values.items()}
                    result = {"report": {"test": {"classes": own}}}
                else:
                    own = {c: {measure: v[seed], "examples": 100} for c, v in values.items()}
                    result = {"groups": {"test": own}}
                make(name, seed, 0.9, (), groups={"mining": option}, result=result)
        return tmp_path / "runs"

    return write


@pytest.fixture
def animals(by_class: Callable[..., Path]) -> Path:
    """Under ohem cats are worse beyond noise, and dogs neither better nor worse."""
    return by_class({option: {"cat": CATS[option], "dog": DOGS[option]} for option in CATS})


def only(comparison: Comparison) -> Breakdown:
    (found,) = comparison.breakdowns
    return found


def test_changes_by_hand_and_against_scipy(animals: Path, compared: Compared) -> None:
    """Cats: −4.0, −3.5, −4.2, −4.0, −4.4: −4.02."""
    found = only(compared(animals))
    changes = {part.name: change for part, change in found.changes}
    tests = [stats.ttest_rel(v["ohem"], v["none"]) for v in (CATS, DOGS)]
    assert changes["cat"].mean == pytest.approx(-0.0402)
    interval = tests[0].confidence_interval()
    assert (changes["cat"].low, changes["cat"].high) == pytest.approx(tuple(interval))
    corrected = adjust_p([test.pvalue for test in tests], "holm")
    assert [changes[name].adjusted_p for name in ("cat", "dog")] == pytest.approx(corrected)
    assert [part.name for part, _ in found.worse] == ["cat"]
    assert (found.measure, found.split) == ("recall", "test")
    worst = found.worst("mining=ohem")
    assert worst is not None
    assert (worst.name, worst.examples) == ("cat", 100)
    assert worst.summary.mean == pytest.approx(0.7718)


def test_it_is_said_in_one_sentence(animals: Path, compared: Compared) -> None:
    (line,) = verdicts(compared(animals))
    start = "mining=ohem: class cat −4.0 points (95% CI −4.4 to −3.6, Holm p < 0.001)"
    assert line == f"{start}, worse beyond noise."


def test_the_worst_has_the_lowest_mean_and_not_the_lowest_value(
    by_class: Callable[..., Path], compared: Compared
) -> None:
    found = only(compared(by_class({"none": {"a": (0.1, 0.9, 0.9), "b": (0.5, 0.5, 0.5)}})))
    (worst,) = (found.worst(label) for label in found.parts)
    assert worst is not None
    assert worst.name == "b"


def test_p_is_corrected_for_strategies_times_classes(
    by_class: Callable[..., Path], compared: Compared
) -> None:
    """Alone, cats would be worse; ten classes make it ten comparisons."""
    drop = (-0.04, -0.01, -0.04, -0.02)
    noise = (0.01, -0.01, 0.01, -0.012)
    names = "cdefghijk"
    base = {"cat": [0.8] * 4, **{c: [0.9] * 4 for c in names}}
    ours = {"cat": [0.8 + d for d in drop], **{c: [0.9 + d for d in noise] for c in names}}
    folder = by_class({"none": base, "ohem": ours})
    (alone,) = verdicts(compared(folder, correction="none"))
    assert "class cat −2.8 points" in alone
    (line,) = verdicts(compared(folder))
    assert line.startswith(
        "No class is worse beyond noise than with mining=none (10 comparisons, Holm); without the "
        "correction 1 would be, and by chance alone about 0.25. The largest drop: mining=ohem: "
        "class cat −2.8 points (95% CI "
    )


def test_few_seeds_cannot_decide(by_class: Callable[..., Path], compared: Compared) -> None:
    values = {"none": {"cat": (0.8, 0.8)}, "ohem": {"cat": (0.7, 0.78)}}
    (line,) = verdicts(compared(by_class(values)))
    assert "(1 comparison, Holm); so few seeds cannot decide 1 of them. The largest" in line


def test_one_seed_has_no_test(by_class: Callable[..., Path], compared: Compared) -> None:
    comparison = compared(by_class({"none": {"cat": (0.8,)}, "ohem": {"cat": (0.7,)}}))
    assert verdicts(comparison) == [
        "No change by class could be tested: that takes two seeds of each group of runs, and "
        "values that vary."
    ]
    worst, changes = text_tables(comparison)
    assert worst.rows[1] == ["mining=ohem", "90.0", "cat: 70.0"]
    expected = ["mining=ohem", "cat", "100", "80.0", "70.0", "−10.0", "–", "–", "no verdict"]
    assert changes.rows == [expected]


def test_a_lone_strategy_has_its_worst_class_alone(
    by_class: Callable[..., Path], compared: Compared
) -> None:
    comparison = compared(by_class({"none": {"cat": (0.8, 0.82), "dog": (0.9, 0.9)}}))
    assert verdicts(comparison) == []
    assert len(text_tables(comparison)) == 1


def test_classes_without_images_and_runs_without_records_are_left_out(
    by_class: Callable[..., Path], make: Runs, compared: Compared
) -> None:
    """JSON's null is a recall without examples; an old run has accuracy alone."""
    folder = by_class({"none": {"cat": (0.8, 0.82), "dog": (None, 0.1), "owl": (None, None)}})
    make("old", 2, 0.9, groups={"mining": "none"})
    for seed in range(2):
        make(f"older-{seed}", seed, 0.9, groups={"mining": "ohem"})
    comparison = compared(folder)
    found = only(comparison)
    assert [(p.name, p.summary.n) for p in found.parts["mining=none"]] == [("cat", 2)]
    assert found.parts["mining=ohem"] == []
    assert worst_table(comparison)[0].rows[1] == ["mining=ohem", "90.0", "–"]
    assert change_tables(comparison) == []
    assert len(part_records(comparison)["by_class"]) == 1


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"report": {"test": {"classes": {"sky": {"iou": 0.5, "union": 9}}}}},
        {"report": {"val": {"classes": {"cat": {"recall": 0.5}}}}},
        {"report": [1], "groups": "none"},
        {"report": {"test": {"classes": [1]}}, "groups": {"test": {"a": 3}}},
        {"groups": {"test": {"a": {"accuracy": "high"}, "b": {"accuracy": 7}}}},
    ],
)
def test_without_records_there_is_no_section(
    make: Runs, compared: Compared, result: dict[str, Any]
) -> None:
    comparison = compared(make("a", 0, 0.9, result=result).parent)
    assert comparison.breakdowns == []
    assert "worst" not in markdown(comparison) + page(comparison)
    assert not {"by_class", "by_group", "hurt"} & as_json(comparison).keys()


def test_the_split_is_that_of_the_metric(make: Runs, compared: Compared) -> None:
    report = {s: {"classes": {s: {"recall": 0.5, "support": 3}}} for s in ("val", "test")}
    result = {"val": {"accuracy": 0.9}, "report": report}
    found = only(compared(make("a", 0, 0.9, result=result).parent, metric="val/accuracy"))
    assert [part.name for own in found.parts.values() for part in own] == ["val"]


def test_several_labels_have_average_precision_and_groups_exact_match(
    make: Runs, compared: Compared
) -> None:
    classes = {"cat": {"average_precision": 0.5, "recall": 0.9, "support": 10}}
    groups = {"ward": {"examples": 10, "exact_match": 0.25}}
    result = {
        "test": {"mAP": 0.75},
        "report": {"test": {"classes": classes}},
        "groups": {"test": groups},
    }
    (shown,) = worst_table(compared(make("a", 0, 0.9, result=result).parent))
    assert shown.title.startswith(
        "test mAP, %: mean, and worst class (average precision) and group (exact match) with"
    )
    assert shown.columns == ["group", "mean", "worst class", "worst group"]
    assert shown.rows == [["all runs", "75.0", "cat: 50.0", "ward: 25.0"]]


def test_of_more_than_100_groups_the_file_has_all(make: Runs, compared: Compared) -> None:
    """result.json lists the worst of each run, which differ; without the file there are none."""
    listed = {f"g{i}": {"examples": 1, "accuracy": 0.0} for i in range(100)}
    run = make("a", 0, 0.9, result={"groups": {"test": listed}})
    assert compared(run.parent).breakdowns == []
    rows = [f"test,g{i},1,0.0" for i in range(100)] + ["test,'=g,4,0.75", "val,other,1,0.5"]
    (run / "groups.csv").write_text("\n".join(["split,group,examples,accuracy", *rows]))
    (parts,) = only(compared(run.parent)).parts.values()
    assert len(parts) == 101
    assert (parts[-1].name, parts[-1].examples, parts[-1].summary.mean) == ("=g", 4, 0.75)


def test_of_many_classes_the_largest_changes_are_shown_and_all_are_written(
    by_class: Callable[..., Path], compared: Compared
) -> None:
    names = [f"n{i:03}" for i in range(300)]
    base = dict.fromkeys(names, (0.5, 0.51))
    ours = {name: (0.5 - i / 1000, 0.51 - i / 1000 - 1e-4) for i, name in enumerate(names)}
    comparison = compared(by_class({"none": base, "ohem": ours}), correction="none")
    (shown,) = change_tables(comparison)
    assert shown.title == (
        "test recall by class (%): the 10 largest changes of 300, those beyond noise first"
    )
    assert [row[1] for row in shown.rows] == [f"n{i:03}" for i in range(299, 289, -1)]
    *_, last = verdicts(comparison, 3)
    worse = len(only(comparison).worse)
    assert worse > 100
    assert last == f"{worse - 3} classes more got worse beyond noise: by_class.csv."
    rows = list(csv.DictReader(part_csvs(comparison)["by_class.csv"].splitlines()))
    assert len(rows) == 600
    assert [(row["group"], row["name"]) for row in rows if row["worst"] == "True"] == [
        ("mining=none", "n000"),
        ("mining=ohem", "n299"),
    ]
    assert float(rows[-1]["difference"]) == pytest.approx(-0.29905)


def test_the_table_of_the_worst_fits_80_columns(animals: Path, compared: Compared) -> None:
    for seed, run in enumerate(sorted(animals.glob("ohem-*"))):
        result = json.loads((run / "result.json").read_text())
        result["groups"] = {"test": {"ward": {"examples": 9, "accuracy": 0.5 + 0.01 * seed}}}
        (run / "result.json").write_text(json.dumps(result))
    (shown,) = worst_table(compared(animals))
    expected = ["mining=ohem", "90.0", "cat: 77.2 (75.3 to 79.1)", "ward: 52.0 (50.0 to 54.0)"]
    assert shown.rows[1] == expected
    assert verdicts(compared(animals))[0] == (
        "Of the worst groups, ward has 9 examples in test: an interval over seeds says little "
        "about other images."
    )
    assert natural_width(table(shown.title, shown.columns, shown.rows)) <= 80


def test_a_long_name_is_cut_in_the_table_of_the_worst(
    by_class: Callable[..., Path], compared: Compared
) -> None:
    (own,) = only(compared(by_class({"none": {"x" * 30: (0.5,)}}))).parts.values()
    assert isinstance(own[0], Part)
    assert worst_cell(own[0]) == f"{'x' * 23}…: 50.0"


def test_everything_is_in_markdown_json_and_the_page(animals: Path, compared: Compared) -> None:
    comparison = compared(animals)
    (line,) = verdicts(comparison)
    text, html, content = markdown(comparison), page(comparison), as_json(comparison)
    row = "| mining=ohem | cat | 100 | 81.2 | 77.2 | −4.0 | −4.4 to −3.6 | \\< 0.001 | worse |"
    assert row in text
    assert f"## Whom it helps and hurts\n\n- {line}".replace("<", "\\<") in text
    assert '<td class="text worse">worse</td>' in html
    assert "<h2>Whom it helps and hurts</h2>" in html
    for output in (text, html):
        assert "The lowest of several noisy means is on average too low" in output
    assert content["hurt"] == [line]
    assert len(json.loads(json.dumps(content, allow_nan=False))["by_class"]) == 4


def test_hostile_names_are_escaped(by_class: Callable[..., Path], compared: Compared) -> None:
    name = "=1|<script>\x1b"
    values = {"none": {name: (0.8, 0.81)}, "ohem": {name: (0.7, 0.72)}}
    comparison = compared(by_class(values))
    assert "<script>" not in page(comparison)
    assert "=1\\|\\<script>\\\\x1b" in markdown(comparison)
    assert ",'=1|" in part_csvs(comparison)["by_class.csv"]
