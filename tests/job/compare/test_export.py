"""Markdown, CSV and JSON have the same numbers, and nothing that a program would execute."""

import csv
import json

import pytest

from trainer.job.compare.export import as_json, markdown, runs_csv, table_csv
from trainer.job.compare.tables import console_tables, text_tables


@pytest.fixture
def comparison(three, make, compared):
    make("stopped", 3, 0.9, state="preempted")
    return compared(three)


def test_markdown_has_verdicts_tables_and_skipped_runs(comparison):
    text = markdown(comparison)
    assert text.startswith("# test/accuracy: compared with `mining=none`\n\n- mining=ohem is 3.07")
    line = "| mining=ohem | 3 | 94.07 ± 1.05 | 91.46 to 96.68 | +3.07 | +2.92 to +3.21 | < 0.001 "
    assert line.replace("<", "\\<") + "| better |" in text
    assert "## val/accuracy at equal cost: 150 backward passes" in text
    assert "/stopped | preempted |" in text
    table = [row for row in text.splitlines() if row.startswith("|")]
    assert all(row.count("|") == row.count("\\|") + len(row.split(" | ")) + 1 for row in table)


def test_csv_has_a_row_per_group_and_table_and_per_run(comparison):
    rows = list(csv.DictReader(table_csv(comparison).splitlines()))
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
    runs = list(csv.DictReader(runs_csv(comparison).splitlines()))
    assert len(runs) == 10
    assert [row["seed"] for row in runs[:3]] == ["0", "1", "2"]
    assert runs[-1]["left_out"] == "preempted"


def test_json_has_groups_tables_and_verdicts(comparison):
    content = json.loads(json.dumps(as_json(comparison), allow_nan=False))
    assert content["interval"] == {"method": "t interval", "level": 0.95}
    assert (content["correction"], content["mode"]) == ("holm", "max")
    assert content["baseline"] == "mining=none"
    assert content["groups"][1]["settings"] == {"mining": "ohem"}
    assert content["tables"][0]["values"] == {"0": 0.90, "1": 0.92, "2": 0.91}
    assert content["left_out"][0]["reason"] == "preempted"
    assert len(content["verdicts"]) == 2


def test_the_console_has_one_table_of_equal_costs(comparison):
    tables = console_tables(comparison)
    titles = " | ".join(table.title for table in tables)
    assert len(tables) == 6
    assert max(len(table.columns) for table in tables) == 8, "as many as fit 1200 pixels"
    assert "val/accuracy (%) at equal cost" in titles
    assert "cost to reach val/accuracy 91.00%" in titles
    equal = tables[3]
    assert equal.columns[1:4] == ["3 epochs", "300 examples seen", "150 backward passes"]
    assert equal.rows[1][1] == "94.07 ± 1.05 better"
    assert len(text_tables(comparison)) == 9


def test_hostile_names_are_escaped(make, compared):
    make("a", 0, 0.9)
    bad = {"clip": "=HYPERLINK(1)|`<b>`"}
    folder = make("b", 0, 0.9, settings=bad, groups={"mining": "ohem"}).parent
    assert "clip==HYPERLINK(1)\\|\\`\\<b>\\`" in markdown(compared(folder))
    rows = list(csv.DictReader(table_csv(compared(folder)).splitlines()))
    assert rows[0]["group"].startswith("mining=")


def test_tables_clip_shares_at_100_percent_and_the_csv_does_not(make, compared):
    """The CSV keeps the bounds as computed: 99.5 ± 6.35."""
    for seed, final in enumerate((0.99, 1.0)):
        folder = make(str(seed), seed, final).parent
    comparison = compared(folder)
    assert "93.15 to 100.00" in text_tables(comparison)[0].rows[0]
    (row, *_) = csv.DictReader(table_csv(comparison).splitlines())
    assert float(row["high"]) == pytest.approx(1.05853, abs=1e-5)
