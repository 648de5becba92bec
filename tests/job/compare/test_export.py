"""Markdown, CSV and JSON hold the same numbers, and nothing that a reader would run."""

import csv
import json

import pytest

from trainer.compare.t import StudentT
from trainer.job.compare.comparison import compare
from trainer.job.compare.export import as_json, markdown, runs_csv, table_csv
from trainer.job.compare.runs import find, read
from trainer.job.compare.tables import brief, sheets


@pytest.fixture
def of(three, make):
    make("stopped", 3, 0.9, state="preempted")
    return compare([read(run) for run in find([str(three)])], interval=StudentT())


def test_markdown(of):
    text = markdown(of)
    assert text.startswith(
        "# test/accuracy: compared with `mining=none`\n\n- mining=ohem is 3.07 po"
    )
    line = "| mining=ohem | 3 | 94.07 ± 1.05 | 91.46 to 96.68 | +3.07 | +2.92 to +3.21 | < 0.001 "
    assert line.replace("<", "\\<") + "| better |" in text
    assert "## val/accuracy at equal backward passes: 150" in text
    assert "/stopped | preempted |" in text
    table = [row for row in text.splitlines() if row.startswith("|")]
    assert all(row.count("|") == row.count("\\|") + len(row.split(" | ")) + 1 for row in table)


def test_csv(of):
    rows = list(csv.DictReader(table_csv(of).splitlines()))
    assert len(rows) == 5 * 3, "final, and at four equal costs"
    assert [row["at_equal"] for row in rows[::3]] == [
        "",
        "epochs",
        "examples_seen",
        "backward_passes",
        "train_seconds",
    ]
    ohem = rows[1]
    assert (ohem["group"], ohem["test"], ohem["beyond_noise"]) == ("mining=ohem", "paired", "True")
    assert float(ohem["mean"]) == pytest.approx((0.93 + 0.951 + 0.941) / 3)
    assert float(ohem["difference"]) == pytest.approx(0.092 / 3)
    runs = list(csv.DictReader(runs_csv(of).splitlines()))
    assert len(runs) == 10
    assert [row["seed"] for row in runs[:3]] == ["0", "1", "2"]
    assert runs[-1]["left_out"] == "preempted"


def test_json(of):
    held = json.loads(json.dumps(as_json(of), allow_nan=False))
    assert held["interval"] == {"method": "t interval", "level": 0.95}
    assert (held["correction"], held["baseline"], held["mode"]) == ("holm", "mining=none", "max")
    assert held["groups"][1]["settings"] == {"mining": "ohem"}
    assert held["tables"][0]["values"] == {"0": 0.90, "1": 0.92, "2": 0.91}
    assert held["left_out"][0]["reason"] == "preempted"
    assert len(held["verdicts"]) == 2


def test_the_console_has_one_table_of_equal_costs(of):
    titles = [sheet.title for sheet in brief(of)]
    assert titles == [
        "test/accuracy at the end",
        "spent",
        "val/accuracy % at equal cost",
        "cost to reach val/accuracy 91.00 %",
        "left out",
    ]
    equal = brief(of)[2]
    assert equal.columns == [
        "group",
        "3 epochs",
        "300 examples seen",
        "150 backward passes",
        "4.5 seconds of training",
    ]
    assert equal.rows[1][1] == "94.07 ± 1.05 better"
    assert len(sheets(of)) == 8


def test_hostile_names_run_nothing(make):
    make("a", 0, 0.9)
    bad = {"clip": "=HYPERLINK(1)|`<b>`"}
    folder = make("b", 0, 0.9, settings=bad, groups={"mining": "ohem"}).parent
    of = compare([read(run) for run in find([str(folder)])], interval=StudentT())
    assert "clip==HYPERLINK(1)\\|\\`\\<b>\\`" in markdown(of)
    from trainer.job.compare.export import harmless

    assert harmless("=1+1") == "'=1+1"
    assert harmless(-0.5) == -0.5
