"""job=tune on the digits: spaces, a small search, its journal, resuming, failures, pruning."""

import csv
import json
import re
import shlex
import signal

import pytest
from hydra import compose
from support import CONF, config_of, read_json, train

from trainer.cli.execute import execute, make_run
from trainer.cli.trials import TrialRunner
from trainer.core.errors import CheckpointError, ConfigError
from trainer.early_stopping.none import NoEarlyStopping
from trainer.job.tune.space import Choice, Numbers, space_of
from trainer.job.tune.trial import PruningStopper

optuna = pytest.importorskip("optuna")

SPACE = 'job.space={optimizer.lr:"log(1e-4,1e-1)",mining:"none,ohem"}'
TINY = ("epochs=1", "dataset.subset=200", "batch_size=64")


def table(folder) -> list[dict[str, str]]:
    """The rows of trials.csv."""
    return list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))


def tune(folder, *overrides: str) -> int:
    return train(folder, "job=tune", "job.trials=3", *TINY, *overrides)


def test_the_space_is_hydras_sweep_syntax():
    space = space_of(
        {
            "optimizer": {"lr": "log(1e-4, 1e-1)"},
            "batch_size": "log(16,256)",
            "mining": "choice(none,ohem)",
            "mixer": ["none", "mixup"],
            "epochs": "range(2,9,3)",
            "model.dropout": "interval(0,0.5)",
            "clip": 1,
        }
    )
    assert space == {
        "optimizer.lr": Numbers(1e-4, 1e-1, log=True),
        "batch_size": Numbers(16, 256, log=True),
        "mining": Choice(("none", "ohem")),
        "mixer": Choice(("none", "mixup")),
        "epochs": Numbers(2, 8, step=3),
        "model.dropout": Numbers(0.0, 0.5),
        "clip": Choice(("1",)),
    }
    assert space["optimizer.lr"].first == "0.0001"


@pytest.mark.parametrize("text", ["log(0,1)", "interval(1,0)", "interval(0", "glob(*)", "log(a,b)"])
def test_invalid_values_are_reported_with_their_setting(text):
    with pytest.raises(ConfigError, match=r"job\.space\.optimizer\.lr"):
        space_of({"optimizer.lr": text})


def test_drawn_numbers_are_in_range_and_short():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    assert 16 <= int(Numbers(16, 256, log=True).suggest(trial, "a")) <= 256
    assert int(Numbers(2, 8, step=3).suggest(trial, "b")) in (2, 5, 8)
    drawn = Numbers(1e-4, 1e-1, log=True).suggest(trial, "c")
    assert 1e-4 <= float(drawn) <= 1e-1
    assert len(drawn.replace("e-0", "").replace(".", "").lstrip("0")) <= 5, "four digits"


def test_a_search_reports_the_best_trial_and_a_command_that_repeats_it(tmp_path, capsys):
    assert tune(tmp_path / "a", SPACE, "quiet=false") == 0
    output = capsys.readouterr().out
    result = read_json(tmp_path / "a" / "result.json")
    rows = table(tmp_path / "a")
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    assert {row["mining"] for row in rows} <= {"none", "ohem"}
    done = [row for row in rows if row["state"] == "finished"]
    assert result["trial"] == int(max(done, key=lambda row: float(row["value"]))["trial"])
    assert result["command"] in output
    # A trial is a run of its own, and the printed command repeats it.
    folder = tmp_path / "a" / f"trial-{result['trial']:03}"
    assert read_json(folder / "status.json")["state"] == "finished"
    assert read_json(folder / "result.json")["val"]["accuracy"] == result["value"]
    line = shlex.split(result["command"])[3:]
    assert execute(config_of(*line, "quiet=true"), tmp_path / "b", line, [str(CONF)]) == 0
    assert read_json(tmp_path / "b" / "result.json")["val"]["accuracy"] == result["value"]


def pasted(folder) -> int:
    """Run the line that an interrupted search prints."""
    line = [f"resume={folder}", "quiet=true"]
    return execute(config_of(*line), folder, line, [str(CONF)])


@pytest.mark.parametrize(
    "foreign",
    ["loss._target_=subprocess.Popen", "hydra.searchpath=[file:///]", "job=tune", "nosuch=1"],
)
def test_a_saved_line_that_is_not_a_searchs_is_refused(tmp_path, foreign):
    trials = TrialRunner([f"resume={tmp_path}"], [str(CONF)], {}, make_run)
    with pytest.raises(CheckpointError, match=re.escape(foreign.partition("=")[0])):
        trials.take_over(["epochs=1", foreign], tmp_path / "study.journal")


def test_a_signal_waits_until_the_config_of_a_trial_is_composed(tmp_path, monkeypatch, capsys):
    """OmegaConf, interrupted, would leave a config that looks wrong."""
    whole = []

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        whole.append(compose(*arguments))
        return whole[-1]

    monkeypatch.setattr("trainer.cli.trials.compose", interrupted)
    assert tune(tmp_path / "t", SPACE, "job.trials=2") == 130
    assert len(whole) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "stopped by signal 2" in error


def test_an_interrupted_search_resumes_to_the_same_result(tmp_path, monkeypatch):
    """The interrupted trial is resumed and the others are the same."""
    assert tune(tmp_path / "whole", SPACE, "epochs=2", "job.trials=2") == 0

    own = PruningStopper.update

    def interrupted(self, metrics):
        if calls and calls.pop() == 0:
            signal.raise_signal(signal.SIGINT)
        return own(self, metrics)

    calls = [0, 1, 2]  # the third validation, the first of the second trial
    monkeypatch.setattr(PruningStopper, "update", interrupted)
    folder = tmp_path / "parts"
    assert tune(folder, SPACE, "epochs=2", "job.trials=2") == 130
    assert read_json(folder / "status.json")["state"] == "preempted"
    monkeypatch.undo()
    with (folder / "study.journal").open("a") as journal:
        journal.write('{"half": ')  # as a process killed while writing leaves it
    assert pasted(folder) == 0
    columns = ("trial", "state", "value", "validations", "optimizer.lr", "mining")
    whole, parts = (
        [[row[column] for column in columns] for row in table(tmp_path / name)]
        for name in ("whole", "parts")
    )
    assert whole == parts
    assert [row[3] for row in parts] == ["2", "2"]
    lines = (folder / "trial-001" / "metrics.jsonl").read_text().splitlines()
    seen = [json.loads(line) for line in lines]
    assert [line["epoch"] for line in seen if line["split"] == "val"] == [0, 1], "each once"


def test_a_trial_that_ended_before_it_was_reported_counts(tmp_path, monkeypatch):
    def killed(*_):
        raise RuntimeError("killed")

    monkeypatch.setattr(optuna.study.Study, "tell", killed)
    assert tune(tmp_path, SPACE, "job.trials=1") == 1
    monkeypatch.undo()
    assert tune(tmp_path, SPACE, "job.trials=1", "resume=auto") == 0
    trial = read_json(tmp_path / "trial-000" / "result.json")
    assert read_json(tmp_path / "result.json")["value"] == trial["val"]["accuracy"]


def test_a_changed_search_cannot_be_resumed(tmp_path, capsys):
    assert tune(tmp_path / "a", SPACE, "job.trials=1") == 0
    status = read_json(tmp_path / "a" / "status.json")
    (tmp_path / "a" / "status.json").write_text(json.dumps(status | {"state": "preempted"}))
    other = SPACE.replace("1e-1", "1e-2")
    assert tune(tmp_path / "a", other, "job.trials=2", "resume=auto") == 2
    assert "job.space.optimizer.lr: log(1e-4,1e-1) → log(1e-4,1e-2)" in capsys.readouterr().err


def test_a_finished_search_goes_on_with_more_trials(tmp_path):
    assert tune(tmp_path / "a", SPACE, "job.trials=1") == 0
    assert tune(tmp_path / "a", SPACE, "job.trials=2", "resume=auto") == 0
    assert [row["state"] for row in table(tmp_path / "a")] == ["finished", "finished"]
    with pytest.raises(ConfigError, match=r"job\.metric: val/accuracy → val/loss"):
        tune(tmp_path / "a", SPACE, "job.trials=3", "job.metric=val/loss", "resume=auto")


def test_a_setting_is_asked_for_where_the_option_drawn_has_it(tmp_path):
    space = 'job.space={mining.keep:"0.2,0.5",mining:"none,ohem"}'
    assert tune(tmp_path / "a", space, "job.trials=8", "job.pruner=none") == 0
    rows = table(tmp_path / "a")
    drawn = {(row["mining"], row["mining.keep"]) for row in rows}
    assert drawn <= {("none", ""), ("ohem", "0.2"), ("ohem", "0.5")}
    assert len({mining for mining, _ in drawn}) == 2
    assert {row["state"] for row in rows} == {"finished"}


def test_settings_that_were_tried_before_are_not_trained_again(tmp_path, capsys):
    assert tune(tmp_path / "a", 'job.space={clip:"null,1.0"}', "job.trials=6", "quiet=false") == 0
    out = capsys.readouterr().out
    rows = table(tmp_path / "a")
    assert len(list((tmp_path / "a").glob("trial-*"))) == len({row["clip"] for row in rows}) == 2
    assert len({(row["clip"], row["value"], row["state"]) for row in rows}) == 2
    assert "trial 5/6  as trial " in out
    assert (tmp_path / "a" / f"trial-{read_json(tmp_path / 'a/result.json')['trial']:03}").is_dir()


def test_a_failed_trial_is_recorded_and_the_search_continues(tmp_path):
    """A setting that parses but fails when the run begins."""
    assert (
        tune(tmp_path / "a", 'job.space={schedule:"constant,cosine",batch_size:"64,100000"}') == 0
    )
    space = 'job.space={clip:"null,1.0",schedule:"constant,rubbish"}'
    assert tune(tmp_path / "b", space, "job.trials=6") == 0
    rows = table(tmp_path / "b")
    states = {row["schedule"]: (row["state"], row["error"]) for row in rows}
    assert states["constant"] == ("finished", "")
    assert states["rubbish"][0] == "failed"
    assert "rubbish" in states["rubbish"][1]


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        ([], "job.space"),
        (['job.space={optimizer.lrr:"1,2"}'], "lrr"),
        ([SPACE, "job.metric=val/acuracy"], "job.metric=val/acuracy .*val/accuracy"),
        ([SPACE, "job.trials=0"], "job.trials"),
        (['job.space={mining:"rubbish"}'], "rubbish"),
        (
            ['job.space={mining:"none,ohem",mining.kep:"1,2"}'],
            r"^job\.space\.mining\.kep: no mining of the space \(none, ohem\) has such a setting",
        ),
        (['job.space={mining.keep:"1,2"}'], r"^mining\.keep=1: mining=none has no such setting"),
    ],
)
def test_errors_are_reported_before_the_first_trial(tmp_path, overrides, error):
    text = failure(tmp_path / "a", *overrides)
    assert re.search(error, text)
    assert "\n" not in text
    assert not (tmp_path / "a" / "trial-000").exists()


def failure(folder, *overrides: str) -> str:
    """The error of a search that fails, either on the command line or once it has a folder."""
    try:
        assert tune(folder, *overrides) != 0
    except ConfigError as error:
        return str(error)
    return read_error(folder)


def read_error(folder) -> str:
    return read_json(folder / "status.json")["error"]


def test_pruning_ends_a_run_early_but_not_after_its_last_epoch():
    values = []

    def judge(step: int, value: float) -> bool:
        values.append((step, value))
        return step >= 1

    stopper = PruningStopper(NoEarlyStopping(), "val/accuracy", judge, epochs=lambda: 3)
    assert not stopper.update({"val/accuracy": 0.7})
    assert stopper.update({"val/accuracy": 0.6})
    assert stopper.pruned
    assert values == [(0, 0.7), (1, 0.7)], "the best so far"
    last = PruningStopper(NoEarlyStopping(), "val/loss", lambda step, value: step >= 1, lambda: 2)
    assert not last.update({"val/loss": 0.7})
    assert not last.update({"val/loss": 0.6})
    assert (last.pruned, last.best) == (False, 0.6)


def test_a_pruned_trial_is_never_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(optuna.pruners.NopPruner, "prune", lambda *_: True)
    space = 'job.space={optimizer.lr:"log(1e-3,1e-2)"}'
    assert tune(tmp_path / "a", space, "job.pruner=none", "epochs=2", "job.trials=1") == 1
    assert "none of 1 trial finished" in read_error(tmp_path / "a")
    assert read_json(tmp_path / "a" / "trial-000" / "result.json")["epochs"] == 1


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    from trainer.job.tune.job import Tune

    with pytest.raises(ValueError, match=r"pip install -e '\.\[tune\]'"):
        Tune()
