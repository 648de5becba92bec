"""job=evaluate: the metrics of training, its tables, and configs that it refuses."""

import csv

import numpy as np
import pytest
import sklearn.metrics
import torch
import yaml
from support import config_of, read_json, train
from torchmetrics.classification import MulticlassAccuracy

from trainer.__main__ import CONF
from trainer.cli.execute import execute
from trainer.core.errors import CheckpointError, ConfigError
from trainer.job.evaluate import by_class, by_mask, write_classes
from trainer.storage import predicted
from trainer.training.evaluate import Evaluation


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train(folder, "epochs=3", "loss.label_smoothing=0.1") == 0
    return folder


def evaluate(folder, *overrides):
    arguments = ["job=evaluate", "quiet=true", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_agrees_with_training(trained, tmp_path, split):
    """The run's own loss and model are taken from its folder, not from the command line."""
    assert evaluate(tmp_path / "e", f"run={trained}", f"split={split}") == 0
    result = read_json(tmp_path / "e" / "result.json")
    assert result[split] == pytest.approx(read_json(trained / "result.json")[split])


def test_a_run_keeps_its_predictions_of_test(trained):
    rows, result = predicted.read(trained), read_json(trained / "result.json")["test"]
    assert rows is not None
    assert len(rows) == 359
    assert (rows["label"] == rows["prediction"]).mean() == pytest.approx(result["accuracy"])
    assert -np.log(rows["p_y"]).mean() == pytest.approx(result["nll"], rel=1e-4)


def test_an_experiment_on_the_command_line_changes_nothing(trained, tmp_path):
    """An experiment is not a setting: the run keeps its own."""
    assert evaluate(tmp_path / "e", "experiment=init", f"run={trained}") == 0
    result = read_json(tmp_path / "e" / "result.json")
    assert result["test"] == pytest.approx(read_json(trained / "result.json")["test"])


def test_a_checkpoint_is_evaluated_with_a_table_by_class(trained, tmp_path):
    path = min((trained / "checkpoints").iterdir())
    assert evaluate(tmp_path / "e", f"run={path}") == 0
    with (tmp_path / "e" / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list("0123456789")
    assert sum(int(row["examples"]) for row in rows) == 359
    recall = sum(float(row["recall"]) for row in rows) / 10
    metrics = read_json(tmp_path / "e" / "result.json")["test"]
    assert recall == pytest.approx(metrics["balanced_accuracy"], abs=1e-4)
    assert (tmp_path / "e" / "confusion.png").read_bytes()[:4] == b"\x89PNG"


def test_what_has_no_examples_has_no_number(tmp_path):
    """Class c has no example, d is never predicted; balanced accuracy skips c."""
    labels, predictions = torch.tensor([0, 0, 1, 3]), torch.tensor([0, 2, 1, 1])
    assert by_class(labels, predictions, ("a", "b", "c", "d", "e")) == [
        ["a", "2", "1.0000", "0.5000", "0.6667"],
        ["b", "1", "0.5000", "1.0000", "0.6667"],
        ["c", "0", "0.0000", "–", "0.0000"],
        ["d", "1", "–", "0.0000", "0.0000"],
        ["e", "0", "–", "–", "–"],
    ]
    masks = {"intersection": torch.tensor([[2, 0, 0]]), "union": torch.tensor([[4, 3, 0]])}
    assert by_mask(masks, ("a", "b", "c")) == [
        ["a", "4", "0.5000"],
        ["b", "3", "0.0000"],
        ["c", "0", "–"],
    ]
    records = {"label": labels, "prediction": predictions}
    found = Evaluation(torch.arange(4), labels, records, {})
    assert write_classes(tmp_path, ("a", "b", "c", "d", "e"), found) is not None
    assert (tmp_path / "classes.csv").read_text().splitlines()[-1] == "e,0,,,"


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_report_of_training_and_evaluation_is_one(trained, tmp_path, split):
    """Measures by class and the confusion matrix, counted again from the predictions."""
    assert evaluate(tmp_path / "e", f"run={trained}", f"split={split}") == 0
    result, own = (read_json(f / "result.json") for f in (tmp_path / "e", trained))
    assert result["report"][split] == own["report"][split]
    assert {"macro_f1", "auroc", "top5_accuracy"} <= result[split].keys()
    arguments = ["job=predict", "quiet=true", f"run={trained}", f"split={split}"]
    assert execute(config_of(*arguments), tmp_path / "p", arguments, [str(CONF)]) == 0
    with (tmp_path / "p" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels, found = ([int(row[name]) for row in rows] for name in ("label", "prediction"))
    expected = sklearn.metrics.confusion_matrix(labels, found, labels=range(10))
    assert result["report"][split]["confusion"] == expected.tolist()
    f1 = [measures["f1"] for measures in result["report"][split]["classes"].values()]
    assert f1 == pytest.approx(sklearn.metrics.f1_score(labels, found, average=None))
    assert '"confusion": [\n        [' in (tmp_path / "e" / "result.json").read_text()


def test_metrics_agree_with_torchmetrics(trained, tmp_path):
    from trainer.task.classification import Classification

    rng = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(200, 5, generator=rng), torch.randint(0, 5, (200,), generator=rng)
    task = Classification()
    metrics = task.metrics(task.records(logits, labels))
    for name, average in (("accuracy", "micro"), ("balanced_accuracy", "macro")):
        reference = MulticlassAccuracy(5, average=average)(logits, labels)
        assert metrics[name] == pytest.approx(reference.item(), abs=1e-6)


def test_a_missing_run_is_a_config_error(tmp_path):
    for overrides in ((), (f"run={tmp_path}",)):
        assert evaluate(tmp_path / f"e{len(overrides)}", *overrides) == ConfigError.exit_code


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "subprocess.Popen", "torch.load"])
def test_a_hostile_config_is_refused(trained, tmp_path, target, capsys):
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    config = yaml.safe_load((trained / "config.yaml").read_text())
    config["model"]["hidden"] = [{"_target_": target, "command": "touch owned"}]
    (hostile / "config.yaml").write_text(yaml.safe_dump(config))
    assert evaluate(tmp_path / "e", f"run={hostile}") == CheckpointError.exit_code
    error = capsys.readouterr().err
    assert f"model.hidden.0._target_='{target}'" in error


def test_iou_by_class_is_summed_over_the_images():
    """3 of 4 pixels in one image and 0 of 2 in the other are 3 of 6."""
    records = {
        "intersection": torch.tensor([[3.0, 0], [0, 0]]),
        "union": torch.tensor([[4.0, 0], [2, 0]]),
    }
    assert by_mask(records, ("a", "b")) == [["a", "6", "0.5000"], ["b", "0", "–"]]


def test_a_user_class_must_be_named_on_the_command_line(tmp_path, monkeypatch, capsys):
    code = "from trainer.loss.poly1 import Poly1\n\n\nclass Mine(Poly1):\n    pass\n"
    (tmp_path / "users_own_loss.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    override = "loss._target_=users_own_loss.Mine"
    assert train(tmp_path / "run", override, "epochs=1") == 0
    run = f"run={tmp_path / 'run'}"
    assert evaluate(tmp_path / "e", run) == CheckpointError.exit_code
    error = capsys.readouterr().err
    assert "loss._target_='users_own_loss.Mine'" in error
    assert "command line" in error
    assert evaluate(tmp_path / "f", run, override) == 0


def test_classes_that_a_metric_leaves_out_are_named(trained, tmp_path, capsys):
    """With 18 test examples, some digits are in none."""
    settings = ("dataset.test_fraction=0.003", "quiet=false")
    assert evaluate(tmp_path / "e", f"run={trained}", *settings) == 0
    said = " ".join(capsys.readouterr().out.split())
    with (tmp_path / "e" / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    absent = [row["class"] for row in rows if row["examples"] == "0"]
    assert absent
    assert all(row["recall"] == "" for row in rows if row["class"] in absent)
    assert f"test has no examples of {len(absent)} of 10 classes ({', '.join(absent)})" in said


def test_examples_seen_in_training_are_counted(trained, tmp_path, capsys):
    more = ("split=val", "dataset.val_fraction=0.5", "quiet=false")
    assert evaluate(tmp_path / "e", f"run={trained}", *more) == 0
    assert "examples were seen in training" in capsys.readouterr().out
    assert evaluate(tmp_path / "f", f"run={trained}", "quiet=false") == 0
    assert "seen in training" not in capsys.readouterr().out


def test_the_metrics_shown_are_chosen(trained, tmp_path, capsys):
    shown = "metrics=[macro_f1,accuracy]"
    assert evaluate(tmp_path / "e", f"run={trained}", "quiet=false", shown) == 0
    said = capsys.readouterr().out
    assert 0 < said.index("macro_f1") < said.index("accuracy")
    assert "auroc" not in said
    assert "auroc" in read_json(tmp_path / "e" / "result.json")["test"]
    assert train(tmp_path / "t", "quiet=false", "epochs=1", shown) == 0
    said = capsys.readouterr().out
    assert 0 < said.index("macro_f1") < said.index("accuracy", said.index("macro_f1"))
    assert "balanced_accuracy" not in said
    assert "balanced_accuracy" in read_json(tmp_path / "t" / "result.json")["test"]


def test_an_unknown_metric_is_refused_with_the_list(trained, tmp_path, capsys):
    assert evaluate(tmp_path / "e", f"run={trained}", "metrics=[acuracy]") == ConfigError.exit_code
    expected = "metrics: acuracy is not a metric of this run. Did you mean accuracy? Metrics: loss,"
    assert expected in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"metrics: top1 is not.*macro_f1"):
        train(tmp_path / "t", "metrics=[top1]")
    assert not (tmp_path / "t" / "status.json").exists(), "refused before it trains"
    assert train(tmp_path / "u", "metrics=[f1]", "postprocess=threshold", "epochs=1") == 0
