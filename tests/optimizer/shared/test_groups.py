"""Parameter groups: which parameters are decayed."""

import pytest
import torch
from torch import nn

from trainer.optimizer.shared.groups import fusable, parameter_groups


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


def numbers(groups: list[dict]) -> list[tuple[int, float]]:
    """The number of values in each group, and its weight decay."""
    return [(sum(p.numel() for p in g["params"]), g["weight_decay"]) for g in groups]


def test_biases_and_norms_are_not_decayed() -> None:
    """2·9 + 6 weights are decayed; 2 + 3 biases and 2 + 2 values of the norm are not."""
    groups = parameter_groups(network(), lr=0.1, weight_decay=0.01, decay_bias_norm=False)
    assert numbers(groups) == [(24, 0.01), (9, 0.0)]


def test_decay_bias_norm_decays_all_parameters() -> None:
    groups = parameter_groups(network(), lr=0.1, weight_decay=0.01, decay_bias_norm=True)
    assert numbers(groups) == [(33, 0.01)]


def test_no_empty_groups_and_one_group_without_decay() -> None:
    settings = {"lr": 0.1, "decay_bias_norm": False}
    assert numbers(parameter_groups(network(), weight_decay=0.0, **settings)) == [(33, 0.0)]
    bare = nn.Linear(2, 3, bias=False)
    assert numbers(parameter_groups(bare, weight_decay=0.5, **settings)) == [(6, 0.5)]


def test_frozen_parameters_are_excluded() -> None:
    model = network()
    model[0].requires_grad_(requires_grad=False)
    groups = parameter_groups(model, lr=0.1, weight_decay=0.01, decay_bias_norm=False)
    assert numbers(groups) == [(6, 0.01), (7, 0.0)]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lr", 0.0), ("lr", -1.0), ("lr", float("nan")), ("weight_decay", -0.1)],
)
def test_bad_settings_are_named(setting: str, value: float) -> None:
    settings = {"lr": 0.1, "weight_decay": 0.0, "decay_bias_norm": False, setting: value}
    with pytest.raises(ValueError, match=f"optimizer.{setting}"):
        parameter_groups(network(), **settings)


def test_fusable() -> None:
    assert fusable([torch.zeros(2)])
    assert not fusable([torch.zeros(2), torch.zeros(2, dtype=torch.int64)])
    assert not fusable([torch.zeros(2, device="meta")])
