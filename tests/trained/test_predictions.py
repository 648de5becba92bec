"""Evaluating finished runs: postprocessing, ensembles, test-time augmentation."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import config_of, make_run, read_json, train

from trainer.__main__ import CONF
from trainer.cli.execute import execute
from trainer.core.errors import ConfigError, DataError
from trainer.storage import checkpoint
from trainer.training.evaluate import Evaluator

TRAINED = ("epochs=2", "dataset.val_fraction=0.3", "model.hidden=[32]")


def trained(folder: Path, *overrides: str) -> Path:
    assert train(folder, *TRAINED, *overrides) == 0
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> Path:
    """Train the same run with temperature scaling."""
    return trained(tmp_path_factory.mktemp("runs") / "calibrated", "postprocess=temperature")


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> list[Path]:
    """Train two runs with the same seed, so the same split, and one with another seed."""
    folder = tmp_path_factory.mktemp("runs")
    settings = (("optimizer.lr=3e-3",), ("model.hidden=[16]",), ("seed=1",))
    return [trained(folder / str(i), *more) for i, more in enumerate(settings)]


def job(name: str, folder: Path, *overrides: str) -> dict:
    arguments = [f"job={name}", "quiet=true", *overrides]
    assert execute(config_of(*arguments), folder, arguments, [str(CONF)]) == 0
    return read_json(folder / "result.json")


def evaluate(folder: Path, *overrides: str) -> dict:
    return job("evaluate", folder, *overrides)


def refused(folder: Path, *overrides: str) -> int:
    arguments = ["job=evaluate", "quiet=true", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


def logits_of(folder: Path, split: str, tmp_path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return outputs of a run's best checkpoint and labels, without evaluator or job."""
    config = read_json(next((folder / "checkpoints").iterdir()) / "config.json")
    hidden, seed = config["model"]["hidden"], config["seed"]
    overrides = ["model=mlp", f"model.hidden={hidden}", f"seed={seed}", "device=cpu"]
    run = make_run(tmp_path, *overrides, "dataset.val_fraction=0.3")
    best = read_json(folder / "result.json")["best_step"]
    run.model.load_state_dict(
        checkpoint.load(checkpoint.step_folder(folder / "checkpoints", best)).model
    )
    run.model.eval()
    examples = getattr(run.data, split)
    pixels = examples.images.read(examples.ids.tolist()).float() / 255
    mean, std = (torch.tensor(x)[:, None, None] for x in (run.data.mean, run.data.std))
    with torch.no_grad():
        return run.model((pixels - mean) / std), examples.labels[examples.ids]


def test_training_reports_metrics_before_and_after_postprocessing(plain, calibrated):
    """`test_before` equals the run without postprocessing, which never affects training."""
    before, after = (read_json(folder / "result.json") for folder in (plain, calibrated))
    for split in ("val", "test"):
        assert after[f"{split}_before"] == before[split]
        assert f"{split}_before" not in before
        assert after[split]["accuracy"] == before[split]["accuracy"]
        assert {"nll", "ece", "brier"} <= set(after[split])
    assert after["val"]["nll"] < before["val"]["nll"]
    assert not (plain / "postprocess.json").exists()
    log = [json.loads(line) for line in (calibrated / "metrics.jsonl").read_text().splitlines()]
    (test,) = [line for line in log if line["split"] == "test"]
    assert test["nll"] == after["test"]["nll"]


@pytest.mark.parametrize(("postprocess", "judged"), [("none", 0), ("temperature", 2)])
def test_no_split_is_evaluated_twice_at_the_end(tmp_path, monkeypatch, postprocess, judged):
    """Each split once after training; postprocessing reuses those outputs."""
    calls = {"__call__": 0, "judge": 0}

    def counted(name):
        plain = getattr(Evaluator, name)

        def call(*args, **more):
            calls[name] += 1
            return plain(*args, **more)

        monkeypatch.setattr(Evaluator, name, call)

    for name in calls:
        counted(name)
    assert train(tmp_path / "r", "epochs=1", f"postprocess={postprocess}") == 0
    assert calls == {"__call__": 3, "judge": judged}


def test_tta_of_a_regression_is_refused(tmp_path, capsys):
    settings = ("dataset=digits_canvas", "dataset.target=box", "dataset.digits=1", "loss=mse")
    more = ("task=regression", "dataset.examples=40", "epochs=1", "postprocess=none")
    assert trained(tmp_path / "r", *settings, *more)
    capsys.readouterr()
    assert refused(tmp_path / "e", f"run={tmp_path / 'r'}", "job.tta=flip") == ConfigError.exit_code
    error = capsys.readouterr().err
    assert error.startswith("job.tta")
    assert "vector labels" in error
    assert error.count("\n") == 1


def test_the_temperature_is_fitted_on_val_and_not_on_test(calibrated, tmp_path):
    saved = read_json(calibrated / "postprocess.json")
    t = saved["fitted"]["temperature"]
    assert saved["of"] == f"step-{read_json(calibrated / 'result.json')['best_step']}"
    for split, optimal in (("val", True), ("test", False)):
        logits, labels = logits_of(calibrated, split, tmp_path)
        log_t = torch.tensor(t, dtype=torch.float64).log().requires_grad_()
        loss = F.cross_entropy(logits.double() / log_t.exp(), labels)
        loss.backward()
        assert (abs(log_t.grad.item()) < 1e-6) is optimal
        result = read_json(calibrated / "result.json")[split]["nll"]
        assert result == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_saved_fit_is_reused(calibrated, tmp_path, split):
    training = read_json(calibrated / "result.json")
    result = evaluate(tmp_path / "e", f"run={calibrated}", f"split={split}")
    assert result[split] == pytest.approx(training[split])
    assert result[f"{split}_before"] == pytest.approx(training[f"{split}_before"])
    assert not (tmp_path / "e" / "postprocess.json").exists(), "nothing was fitted"
    raw = evaluate(tmp_path / "r", f"run={calibrated}", f"split={split}", "postprocess=none")
    assert raw[split] == pytest.approx(training[f"{split}_before"])


def test_a_run_without_postprocessing_can_be_postprocessed_later(plain, calibrated, tmp_path):
    result = evaluate(tmp_path / "e", f"run={plain}", "postprocess=temperature")
    expected = read_json(calibrated / "result.json")
    assert result["test"] == pytest.approx(expected["test"])
    t = [read_json(f / "postprocess.json")["fitted"] for f in (tmp_path / "e", calibrated)]
    assert t[0]["temperature"] == pytest.approx(t[1]["temperature"])


def test_another_checkpoint_gets_its_own_temperature(calibrated, tmp_path):
    steps = checkpoint.steps(calibrated / "checkpoints")
    best = read_json(calibrated / "result.json")["best_step"]
    (other,) = [step for step in steps if step != best]
    evaluate(tmp_path / "e", f"run={calibrated / 'checkpoints' / f'step-{other}'}")
    fit = read_json(tmp_path / "e" / "postprocess.json")
    assert fit["of"] == f"step-{other}"
    own = read_json(calibrated / "postprocess.json")
    assert fit["fitted"] != own["fitted"]


@pytest.mark.parametrize("name", ["platt", "isotonic", "prior_correction", "threshold"])
def test_every_postprocessing_works_after_training(plain, tmp_path, name):
    result = evaluate(tmp_path / "e", f"run={plain}", f"postprocess={name}")
    assert result["test_before"]["accuracy"] == read_json(plain / "result.json")["test"]["accuracy"]
    assert result["test"]["accuracy"] > 0.5
    assert ("f1" in result["test"]) == (name == "threshold")


def test_postprocessing_is_never_fitted_on_training_examples(plain, tmp_path, capsys):
    code = refused(tmp_path / "e", f"run={plain}", "postprocess=temperature", "seed=5")
    assert code == ConfigError.exit_code
    error = capsys.readouterr().err
    assert error.startswith("postprocess")
    assert str(plain) in error
    assert "seed" in error


def test_postprocessing_without_val_is_refused_before_training(tmp_path):
    with pytest.raises(ConfigError, match="no validation split for postprocess"):
        train(tmp_path / "r", "postprocess=temperature", "dataset.val_fraction=0")
    arguments = ["postprocess=prior_correction", "dataset.val_fraction=0", "epochs=1"]
    assert train(tmp_path / "p", *arguments) == 0
    assert "test_before" in read_json(tmp_path / "p" / "result.json")


def test_an_ensemble_averages_probabilities(plain, others, tmp_path):
    """Runs with different seeds can be averaged too: they share the test split."""
    runs = [plain, *others]
    result = evaluate(tmp_path / "e", f"runs=[{','.join(map(str, runs))}]")
    outputs = [logits_of(folder, "test", tmp_path) for folder in runs]
    labels = outputs[0][1]
    p = torch.stack([logits.softmax(1) for logits, _ in outputs]).mean(0)
    assert result["test"]["nll"] == pytest.approx(F.nll_loss(p.log(), labels).item(), rel=1e-5)
    accuracy = (p.argmax(1) == labels).double().mean().item()
    assert result["test"]["accuracy"] == pytest.approx(accuracy)
    assert list(result["members"]) == [str(folder) for folder in runs]
    for folder in runs:
        own = read_json(folder / "result.json")["test"]
        assert result["members"][str(folder)] == pytest.approx(own)
    assert len(result["checkpoint"]) == 4
    mean = np.mean([member["nll"] for member in result["members"].values()])
    assert result["test"]["nll"] < mean


def test_predictions_of_an_ensemble(plain, others, tmp_path):
    result = job("predict", tmp_path / "p", f"runs=[{plain},{others[2]}]")
    with Path(result["predictions"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    outputs = [logits_of(folder, "test", tmp_path)[0] for folder in (plain, others[2])]
    p = torch.stack([logits.softmax(1) for logits in outputs]).mean(0)
    written = [[float(row[f"p_{c}"]) for c in range(10)] for row in rows]
    np.testing.assert_allclose(written, p.numpy(), rtol=1e-4, atol=1e-7)


def test_the_runs_of_an_ensemble_keep_their_postprocessing(plain, calibrated, tmp_path):
    result = evaluate(tmp_path / "e", f"runs=[{plain},{calibrated}]")
    expected = read_json(calibrated / "result.json")["test"]
    assert result["members"][str(calibrated)] == pytest.approx(expected)
    t = read_json(calibrated / "postprocess.json")["fitted"]["temperature"]
    logits, labels = logits_of(plain, "test", tmp_path)
    p = (logits.softmax(1) + (logits / t).softmax(1)) / 2
    assert result["test"]["nll"] == pytest.approx(F.nll_loss(p.log(), labels).item(), rel=1e-5)


def test_postprocessing_of_an_ensemble_is_fitted_to_the_mean(plain, others, tmp_path):
    runs = [plain, *others[:2]]
    arguments = [f"runs=[{','.join(map(str, runs))}]", "postprocess=temperature"]
    result = evaluate(tmp_path / "e", *arguments)
    t = read_json(tmp_path / "e" / "postprocess.json")["fitted"]["temperature"]
    outputs = [logits_of(folder, "val", tmp_path) for folder in runs]
    log_p = torch.stack([logits.softmax(1) for logits, _ in outputs]).mean(0).log().double()
    log_t = torch.tensor(t, dtype=torch.float64).log().requires_grad_()
    F.cross_entropy(log_p / log_t.exp(), outputs[0][1]).backward()
    assert abs(log_t.grad.item()) < 1e-6
    assert result["test_before"]["accuracy"] == result["test"]["accuracy"]
    assert result["test_before"] == pytest.approx(evaluate(tmp_path / "p", arguments[0])["test"])


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (("split=val",), ("examples in val", "seed=0")),
        (("postprocess=temperature",), ("examples in val",)),
        (("run=somewhere",), ("either run", "runs", "both")),
        (("postprocess=temperature", "seed=0"), ("postprocess", "val", "seed")),
    ],
)
def test_mismatched_runs_are_one_line_each(plain, others, tmp_path, capsys, overrides, parts):
    code = refused(tmp_path / "e", f"runs=[{plain},{others[2]}]", *overrides)
    assert code == ConfigError.exit_code
    error = capsys.readouterr().err
    for part in parts:
        assert part in error
    assert error.count("\n") == 1


def test_runs_with_other_classes_are_refused(plain, tmp_path, capsys):
    more = trained(tmp_path / "more", "dataset.threshold_class=true", "epochs=1")
    assert refused(tmp_path / "e", f"runs=[{plain},{more}]") == ConfigError.exit_code
    ten = "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    error = capsys.readouterr().err
    assert (
        error
        == f"runs: {plain} and {more} have different classes: [{ten}] and [{ten}, threshold]\n"
    )
    few = trained(
        tmp_path / "few", "dataset.classes=[0,1]", "epochs=1"
    )  # a test split of another size
    assert refused(tmp_path / "f", f"runs=[{plain},{few}]") == ConfigError.exit_code
    error = capsys.readouterr().err
    assert error == f"runs: {plain} and {few} have different classes: [{ten}] and [0, 1]\n"
    assert refused(tmp_path / "n", f"runs=[{plain},{tmp_path}]") == ConfigError.exit_code
    assert f"runs={tmp_path}: no run there" in capsys.readouterr().err


def test_an_ensemble_predicts_on_a_split_of_a_given_seed(plain, others, tmp_path):
    """One seed for all; an example counts as seen if any run was trained on it."""
    result = job("predict", tmp_path / "p", f"runs=[{plain},{others[2]}]", "split=val", "seed=0")
    with Path(result["predictions"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    ids = {}
    for seed in (0, 1):
        data = make_run(tmp_path, f"seed={seed}", "dataset.val_fraction=0.3").data
        ids[seed] = set(data.val.ids.tolist()), set(data.train.ids.tolist())
    assert {int(row["id"]) for row in rows} == ids[0][0]
    seen = {int(row["id"]) for row in rows if row["seen"] == "1"}
    assert seen == ids[0][0] & ids[1][1]


@pytest.mark.parametrize("tta", ["flip", "shift", "[flip,shift]"])
def test_tta_averages_views(plain, tmp_path, tta):
    from trainer.trained.tta import TestTimeAugmentation

    result = evaluate(tmp_path / "e", f"run={plain}", f"job.tta={tta}")
    run = make_run(tmp_path, "model=mlp", "model.hidden=[32]", "dataset.val_fraction=0.3")
    best = read_json(plain / "result.json")["best_step"]
    run.model.load_state_dict(
        checkpoint.load(checkpoint.step_folder(plain / "checkpoints", best)).model
    )
    test = run.data.test
    images = run.forward.standardise(run.forward.unit(test.images.read(test.ids.tolist())))
    with torch.no_grad():
        log_p = TestTimeAugmentation(
            run.model.eval(), [name for name in ("flip", "shift") if name in tta]
        )(images)
    expected = F.nll_loss(log_p, test.labels[test.ids]).item()
    assert result["test"]["nll"] == pytest.approx(expected, rel=1e-5)
    assert result["test"]["nll"] != pytest.approx(
        read_json(plain / "result.json")["test"]["nll"], rel=1e-3
    )


def test_tta_refits_the_postprocessing(calibrated, tmp_path):
    evaluate(tmp_path / "e", f"run={calibrated}", "job.tta=shift")
    fit = read_json(tmp_path / "e" / "postprocess.json")
    assert fit["of"].endswith(" shift")
    assert fit["fitted"] != read_json(calibrated / "postprocess.json")["fitted"]


def test_an_unknown_view_is_reported(plain, tmp_path):
    with pytest.raises(ConfigError, match=r"job\.tta must be none, flip or shift or a list"):
        refused(tmp_path / "e", f"run={plain}", "job.tta=rotate")


def test_an_empty_split_is_a_data_error(plain, tmp_path):
    arguments = [f"run={plain}", "split=val", "dataset.val_fraction=0"]
    assert refused(tmp_path / "e", *arguments) == DataError.exit_code
