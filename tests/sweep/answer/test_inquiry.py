"""Which runs are started, what is made of their results, and the words of the answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.core.errors import ConfigError
from trainer.report.fitting import natural_width
from trainer.sweep.answer.inquiry import TUNING, Inquiry
from trainer.sweep.answer.settings import Limits, Settings
from trainer.sweep.answer.strategies import Strategy
from trainer.sweep.answer.table import narrowed
from trainer.sweep.answer.text import rows, sentences
from trainer.sweep.manifest import Job, Manifest
from trainer.sweep.table import JobsTable

LABELS = ("mining=none", "mining=ohem", "mining=random")
NOT_LIMITS = ("_target_", "params", "max_batch_size")
DEFAULTS = {key: value for key, value in vars(Settings()).items() if key not in NOT_LIMITS}
EFFECTS = {"mining=none": 0.0, "mining=ohem": 0.01, "mining=random": 0.0}


class Runs:
    """Makes jobs, and ends them with results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Job] = []

    def admit(self, number: int, overrides: list[str]) -> Job:
        job = Job(number, overrides, self.folder / ",".join(overrides).replace("/", "_"))
        self.made.append(job)
        return job

    @staticmethod
    def end(inquiry: Inquiry, job: Job, result: dict[str, Any] | None) -> None:
        job.state = "finished" if result is not None else "failed"
        job.error = None if result is not None else "oops"
        assert job.folder is not None
        job.folder.mkdir()
        (job.folder / "result.json").write_text(json.dumps(result or {}))
        inquiry.ended(job)


def score(job: Job, effects: dict[str, float] = EFFECTS) -> dict[str, Any]:
    """A result with noise that pairs take away, and a little that they do not."""
    own = dict(override.split("=", 1) for override in job.overrides)
    seed = int(own["seed"])
    noise = 0.02 * ((7 * seed) % 5) + 0.001 * ((3 * seed + ord(own["mining"][0])) % 7)
    return {"test": {"loss": 1.0, "accuracy": 0.9 + noise + effects["mining=" + own["mining"]]}}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def show(_: Inquiry, manifest: Manifest) -> JobsTable:
    return JobsTable(manifest, quiet=True)


def ask(runs: Runs, **settings: Any) -> Inquiry:
    """An inquiry about the strategies."""
    strategies = [Strategy(label, (label,)) for label in LABELS]
    return Inquiry(
        strategies, strategies[0], 3, Limits.of(DEFAULTS | settings), runs.folder, runs.admit, show
    )


def test_common_seeds_come_first_and_no_slot_idles(runs: Runs) -> None:
    """Eight slots for three strategies: the next seeds begin before the first have ended."""
    inquiry = ask(runs)
    jobs = inquiry.more(8)
    seeds = [job.overrides[-1] for job in jobs]
    assert [job.overrides[0] for job in jobs] == [*LABELS, *LABELS, *LABELS[:2]]
    assert seeds == ["seed=3"] * 3 + ["seed=4"] * 3 + ["seed=5"] * 2


def finish(inquiry: Inquiry, runs: Runs, effects: dict[str, float] = EFFECTS) -> None:
    while not inquiry.over and (jobs := inquiry.more(1)):
        runs.end(inquiry, jobs[0], score(jobs[0], effects))


def test_decided_strategies_get_no_more_seeds(runs: Runs) -> None:
    inquiry = ask(runs, seeds=12)
    finish(inquiry, runs)
    found = inquiry.evidence.findings
    assert found["mining=ohem"].verdict == "better"
    assert found["mining=random"].verdict == "undecided"
    counts = [sum(job.overrides[0] == label for job in runs.made) for label in LABELS]
    assert counts == [12, found["mining=ohem"].looked, 12]
    assert counts[1] < 12
    saved = json.loads((runs.folder / "answer.json").read_text())
    assert saved["metric"] == "test/accuracy"
    assert saved["strategies"]["mining=ohem"]["verdict"] == "better"


def test_the_answer_is_three_sentences_with_the_interval_first(runs: Runs) -> None:
    inquiry = ask(runs, seeds=12, margin=0.005)
    finish(inquiry, runs)
    one, two, three = sentences(inquiry, {"mining=ohem": "+0.10 to +1.90"})
    found = inquiry.evidence.findings["mining=ohem"]
    low, high, mean = (f"{100 * x:+.2f}" for x in (found.low, found.high, found.mean))
    assert one.startswith(
        f"mining=ohem is better than mining=none: {low} to {high} points over seeds; "
        f"+0.10 to +1.90 for new images (mean {mean}, Holm p "
    )
    assert two.startswith("mining=random is level with mining=none within ±0.50 points: −")
    assert "at most 5%" in three
    cells = rows(inquiry)[1]
    assert cells[0] == "mining=ohem"
    assert cells[3:5] == [f"{low} to {high}", mean]
    assert cells[-1] == "better"
    for width, names in {
        120: ["strategy", "runs", "test/accuracy (%)", "95% interval", "difference", "Holm p"],
        80: ["strategy", "runs", "95% interval", "difference"],
        60: ["strategy", "95% interval", "difference"],
    }.items():
        drawn = narrowed(inquiry, "36 finished", width)
        assert [column.header for column in drawn.columns] == [*names, "state"]
        assert natural_width(drawn) <= width, "a line for each strategy"


def test_what_is_missing_is_said_and_decides_nothing(runs: Runs) -> None:
    """ohem fails each time, random is NaN once."""
    inquiry = ask(runs, seeds=6, first=4)
    while not inquiry.over and (jobs := inquiry.more(1)):
        result = score(jobs[0], EFFECTS | {"mining=random": 0.05})
        if jobs[0].overrides == ["mining=random", "seed=4"]:
            result["test"]["accuracy"] = None
        runs.end(inquiry, jobs[0], None if "mining=ohem" in jobs[0].overrides else result)
    found = inquiry.evidence.findings
    assert (found["mining=ohem"].verdict, found["mining=ohem"].looked) == ("failed", 3)
    assert (found["mining=random"].verdict, len(found["mining=random"].values)) == ("better", 5)
    assert inquiry.notes[:3] == [
        *("mining=ohem seed=3 failed: oops", "mining=ohem seed=4 failed: oops"),
        "mining=random seed=4: test/accuracy is not finite",
    ]
    one, two, three = sentences(inquiry, {})
    assert one.startswith("mining=random is better")
    assert two == "mining=ohem has too few results for an answer: its runs failed."
    assert "left out: mining=ohem seed=3 failed: oops" in three


def test_strategies_that_do_not_differ_end_undecided_when_the_seeds_are_spent(runs: Runs) -> None:
    inquiry = ask(runs, seeds=5)
    while not inquiry.over and (jobs := inquiry.more(1)):
        runs.end(inquiry, jobs[0], {"test": {"accuracy": 0.5}})
    assert len(runs.made) == 15
    one, two, _ = sentences(inquiry, {})
    assert one == "No strategy is known to be better or worse than mining=none."
    assert two.startswith("mining=ohem is undecided after 5 seeds: no difference with each of them")


def test_a_metric_that_no_run_has_is_named_with_those_there_are(runs: Runs) -> None:
    inquiry = ask(runs, metric="test/acuracy")
    (job,) = inquiry.more(1)
    with pytest.raises(ConfigError, match=r"metric=test/acuracy.* it has test/loss, test/accuracy"):
        runs.end(inquiry, job, score(job))


def test_the_time_of_earlier_commands_counts(runs: Runs) -> None:
    (runs.folder / "answer.json").write_text('{"seconds": 50}')
    assert ask(runs, budget="1min").left == pytest.approx(10, abs=1)
    assert ask(runs, budget="40s").over
    assert ask(runs, budget="40s").more(4) == []
    (runs.folder / "answer.json").write_text('{"seconds": "x"}')
    assert ask(runs, budget="40s").left == pytest.approx(40, abs=1)


def test_each_strategy_is_tuned_alike_and_judged_with_other_seeds(runs: Runs) -> None:
    inquiry = ask(runs, tune={"optimizer": {"lr": "log(1e-4,1e-1)"}}, trials=3)
    searches = inquiry.more(8)
    assert [job.overrides[0] for job in searches] == list(LABELS)
    assert searches[1].overrides[1:] == [
        *("job=tune", 'job.space={optimizer.lr:"log(1e-4,1e-1)"}', "job.trials=3"),
        *("job.pruner=none", f"seed={3 + TUNING}"),
    ]
    runs.end(inquiry, searches[0], {"settings": ["optimizer.lr=0.003"], "value": 0.91})
    jobs = inquiry.more(2)
    assert [job.overrides for job in jobs] == [
        ["mining=none", "optimizer.lr=0.003", "seed=3"],
        ["mining=none", "optimizer.lr=0.003", "seed=4"],
    ], "it waits for no other search"
    runs.end(inquiry, searches[1], None)
    assert inquiry.evidence.findings["mining=ohem"].verdict == "failed"
    assert rows(inquiry)[0][:4] == ["mining=none", "optimizer.lr=0.003", "0.9100", "0"]


def test_rounds_for_launchers_that_run_whole_batches(runs: Runs) -> None:
    inquiry = ask(runs)
    jobs = inquiry.round()
    assert jobs is not None
    assert len(jobs) == 15
    for job in jobs:
        runs.end(inquiry, job, score(job, EFFECTS | {"mining=ohem": 0.2}))
    assert inquiry.evidence.findings["mining=ohem"].verdict == "better"
    assert [job.overrides for job in inquiry.round() or ()] == [
        ["mining=none", "seed=8"],
        ["mining=random", "seed=8"],
    ]
