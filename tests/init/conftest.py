"""A network with every kind of layer that an initialisation handles."""

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture
def network() -> Callable[[], nn.Sequential]:
    """Builds the same network each time: linear 600 → 400, norms, convolution 40 → 50."""

    def make() -> nn.Sequential:
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(600, 400),
            nn.BatchNorm1d(400),
            nn.LayerNorm(400),
            nn.Conv2d(40, 50, (3, 5)),
            nn.GroupNorm(2, 50),
            nn.Linear(20, 30, bias=False),
        )
        for norm in (model[1], model[2], model[4]):
            nn.init.constant_(norm.weight, 0.7)
            nn.init.constant_(norm.bias, 0.3)
        return model

    return make
