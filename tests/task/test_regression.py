from dataclasses import dataclass

import pytest
import torch
from support import CONF, config_of, read_json
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, R2Score

from trainer.cli.execute import execute
from trainer.dataset import Dataset, Raw, Split
from trainer.dataset.digits import Digits
from trainer.task.regression import Regression

TASK = Regression()
RNG = torch.Generator().manual_seed(0)


def metrics_of(outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
    """Metrics from the concatenated records of two batches."""
    parts = [TASK.records(outputs[rows], targets[rows]) for rows in (slice(0, 3), slice(3, None))]
    return TASK.metrics({name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def test_by_hand():
    """Targets 0, 2, 4, 6 (variance 5), off by 1, −1, 1, −3: mse 12/4, r2 1 − 3/5."""
    targets = torch.tensor([[0.0, 2.0], [4.0, 6.0]])
    records = TASK.records(targets + torch.tensor([[1.0, -1.0], [1.0, -3.0]]), targets)
    assert records["absolute_error"].tolist() == [1, 2]
    assert records["squared_error"].tolist() == [1, 5]
    assert TASK.metrics(records) == pytest.approx({"mse": 3, "mae": 1.5, "rmse": 3**0.5, "r2": 0.4})


@pytest.mark.parametrize("shape", [(1,), (4,), (2, 5, 3)], ids=str)
def test_errors_against_torchmetrics(shape):
    targets = torch.randn(8, *shape, generator=RNG)
    outputs = targets + 0.3 * torch.randn(8, *shape, generator=RNG)
    metrics = metrics_of(outputs, targets)
    for name, reference in (
        ("mse", MeanSquaredError()),
        ("rmse", MeanSquaredError(squared=False)),
        ("mae", MeanAbsoluteError()),
    ):
        expected = reference(outputs.flatten(), targets.flatten()).item()
        assert metrics[name] == pytest.approx(expected, rel=1e-5)
    pooled = R2Score()(outputs.flatten(), targets.flatten()).item()
    assert metrics["r2"] == pytest.approx(pooled, rel=1e-5)


def test_r2_of_large_targets_is_not_lost_in_rounding():
    """In float32, E[x²] − E[x]² differs from the variance by more than 20 % of it."""
    targets = 2e5 + 10 * torch.randn(50, 1, generator=RNG)
    outputs = targets + 3 * torch.randn(50, 1, generator=RNG)
    expected = R2Score()(outputs[:, 0].double(), targets[:, 0].double()).item()
    assert metrics_of(outputs, targets)["r2"] == pytest.approx(expected, rel=1e-4)
    squares = targets.square().mean(1).double().mean() - targets.mean(1).double().mean() ** 2
    assert abs(squares.item() - targets.double().var(correction=0).item()) > 20


def test_r2_of_constant_targets_is_0():
    targets = torch.ones(4, 1)
    assert metrics_of(targets + 0.1, targets)["r2"] == 0
    assert metrics_of(targets, targets)["r2"] == 0


@dataclass(kw_only=True)
class Ink(Dataset):
    """The digits, labelled with their mean grey level: one number per image."""

    def load(self) -> Raw:
        split = Digits().load().train
        ink = split.images.read(split.ids.tolist()).float().mean((1, 2, 3)) / 255
        return Raw(Split(split.images, ink, split.ids), None, ())


def test_one_number_per_image_is_learned(tmp_path):
    """Labels [M] against outputs [B, 1], through training, mining, mixing and evaluation."""
    node = {"_target_": f"{__name__}.Ink"}
    overrides = ("task=regression", "loss=mse", "mining=ohem", "mixer=mixup", "optimizer.lr=0.01")
    config = config_of("epochs=4", "quiet=true", "model=mlp", "device=cpu", *overrides)
    assert execute(config | {"dataset": node}, tmp_path / "run", [], [str(CONF)]) == 0
    assert read_json(tmp_path / "run" / "result.json")["test"]["r2"] > 0.5


def test_the_score_is_the_mean_absolute_error():
    targets = torch.zeros(2, 3)
    outputs = torch.tensor([[1.0, -1.0, 4.0], [0.0, 0.0, 0.0]])
    assert TASK.scores == ("error",)
    assert TASK.score("error", outputs, targets).tolist() == [2, 0]


@pytest.mark.parametrize(("r2", "learned"), [(0.99, True), (0.95, True), (0.94, False)])
def test_learned_needs_an_r2_of_0_95(r2, learned):
    assert TASK.learned({"r2": r2}) is learned
