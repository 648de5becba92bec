"""job=predict: its table against logits computed by hand."""

import csv

import numpy as np
import pytest
import torch
from support import config_of, make_run, read_json, train

from trainer.__main__ import CONF
from trainer.cli.execute import execute
from trainer.dataset import Split
from trainer.job.predict import columns_of
from trainer.storage import checkpoint
from trainer.trained.predictions import Predictions
from trainer.training.evaluate import Evaluation


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train(folder, "epochs=3", "seed=3", "loss.label_smoothing=0.1") == 0
    return folder


def rows_of(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def predict(trained, folder, *overrides):
    """Run job=predict with the given overrides; returns the rows of its table."""
    arguments = ["job=predict", "quiet=true", f"run={trained}", *overrides]
    assert execute(config_of(*arguments), folder, arguments, [str(CONF)]) == 0
    return rows_of(folder)


def test_every_example_has_a_row_with_its_probabilities(trained, tmp_path):
    """Compared with logits of the best checkpoint, computed by hand."""
    rows = predict(trained, tmp_path / "p")
    run = make_run(tmp_path / "r", "model=mlp", "seed=3", "device=cpu")
    result = read_json(tmp_path / "p" / "result.json")
    step = read_json(trained / "result.json")["best_step"]
    best = checkpoint.load(checkpoint.step_folder(trained / "checkpoints", step))
    run.model.load_state_dict(best.model)
    run.model.eval()
    test: Split = run.data.test
    pixels = test.images.read(test.ids.tolist()).float() / 255
    mean, std = (torch.tensor(x)[:, None, None] for x in (run.data.mean, run.data.std))
    with torch.no_grad():
        logits = run.model((pixels - mean) / std)
    p, labels = logits.softmax(1), test.labels[test.ids]
    losses = torch.nn.functional.cross_entropy(
        logits, labels, reduction="none", label_smoothing=0.1
    )
    assert [int(row["id"]) for row in rows] == test.ids.tolist()
    assert [int(row["label"]) for row in rows] == labels.tolist()
    assert [int(row["prediction"]) for row in rows] == logits.argmax(1).tolist()
    probabilities = np.array([[float(row[f"p_{c}"]) for c in range(10)] for row in rows])
    np.testing.assert_allclose(probabilities, p.numpy(), rtol=1e-4, atol=1e-7)
    for name, values in (("confidence", p.amax(1)), ("p_y", p[torch.arange(359), labels])):
        np.testing.assert_allclose(
            [float(row[name]) for row in rows], values.numpy(), rtol=1e-4, atol=1e-7
        )
    np.testing.assert_allclose(
        [float(row["loss"]) for row in rows], losses.numpy(), rtol=1e-4, atol=1e-6
    )
    accuracy = np.mean([row["label"] == row["prediction"] for row in rows])
    assert result["test"]["accuracy"] == pytest.approx(accuracy)
    assert result["predictions"] == str(tmp_path / "p" / "predictions.csv")


@pytest.mark.parametrize(("split", "seen"), [("train", 1294), ("val", 0), ("test", 0)])
def test_splits_are_those_of_the_run(trained, tmp_path, split, seen):
    """The seed is the run's, not that of the command line; `seen` counts training examples."""
    rows = predict(trained, tmp_path / "p", f"split={split}")
    ids = getattr(make_run(tmp_path, "seed=3").data, split).ids
    assert [int(row["id"]) for row in rows] == ids.tolist()
    assert sum(row["seen"] == "1" for row in rows) == seen


def test_the_command_line_can_change_the_split(trained, tmp_path):
    """Images are standardised as in training; only examples trained on are seen."""
    own = {}
    for split in ("train", "val"):
        rows = predict(trained, tmp_path / split, f"split={split}")
        own |= {row["id"]: row for row in rows}
    rows = predict(trained, tmp_path / "p", "split=train", "dataset.val_fraction=0.5", "seed=4")
    data = make_run(tmp_path, "seed=4", "dataset.val_fraction=0.5").data
    assert [int(row["id"]) for row in rows] == data.train.ids.tolist()
    assert 0 < sum(row["seen"] == "1" for row in rows) < len(rows)
    for row in rows:
        before = own[row["id"]]
        assert row["seen"] == before["seen"]
        assert float(row["loss"]) == pytest.approx(float(before["loss"]), rel=1e-4)


def predictions_of(losses: torch.Tensor, **records: torch.Tensor) -> Predictions:
    ids = torch.arange(len(losses))
    evaluation = Evaluation(ids, torch.zeros(len(losses), 2), {"loss": losses, **records}, {})
    return Predictions("test", ("y", "n"), [], {"test": evaluation}, {}, ids > 0)


def test_losses_are_written_exactly():
    losses = torch.rand(50, generator=torch.Generator().manual_seed(0)) * 1e-3
    columns = dict(columns_of(predictions_of(losses)))
    assert list(columns) == ["id", "loss", "seen"], "no classes, so no columns of them"
    again = torch.tensor([float(text) for text in columns["loss"]])
    assert torch.equal(again, losses)


def test_a_class_named_y_keeps_its_own_column():
    zeros = torch.zeros(2)
    predictions = predictions_of(
        zeros, label=zeros.long(), prediction=zeros.long(), confidence=zeros
    )
    names = [name for name, _ in columns_of(predictions)]
    assert names == ["id", "label", "prediction", "confidence", "p_y", "loss", "seen", "p_y", "p_n"]


def test_a_mask_has_one_row_with_its_mean_loss():
    losses = torch.arange(8.0).view(2, 2, 2)
    columns = dict(columns_of(predictions_of(losses, prediction=torch.zeros(2, 2, 2))))
    assert [float(text) for text in columns["loss"]] == [1.5, 5.5]
