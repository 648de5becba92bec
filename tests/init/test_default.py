"""The library's own initialisation."""

from collections.abc import Callable

import torch
from torch import nn

from trainer.init.default import Default


def test_nothing_changes(network: Callable[[], nn.Sequential]) -> None:
    model = network()
    Default()(model)
    untouched = network().state_dict()
    assert all(torch.equal(value, untouched[name]) for name, value in model.state_dict().items())
    assert model[0].bias.abs().sum() > 0
