"""Training a small network by two optimizers."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Optimizer

Make = Callable[[nn.Module], Optimizer]


def halves(model: nn.Module, weight_decay: float) -> list[dict]:
    """torch's own groups: weights decayed, biases and norms not."""
    weights = [p for name, p in model.named_parameters() if name in ("0.weight", "3.weight")]
    rest = [p for name, p in model.named_parameters() if name not in ("0.weight", "3.weight")]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0}]


@pytest.fixture
def furthest() -> Callable[[Make, Callable[[list[dict]], Optimizer], float], float]:
    """The largest difference of any weight over six steps of an optimizer and of a reference."""

    def run(make: Make, reference: Callable[[list[dict]], Optimizer], weight_decay: float) -> float:
        torch.manual_seed(0)
        ours = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.BatchNorm1d(8), nn.Linear(8, 3))
        theirs = copy.deepcopy(ours)
        pair = [(ours, make(ours)), (theirs, reference(halves(theirs, weight_decay)))]
        start = [p.detach().clone() for p in ours.parameters()]
        largest = 0.0
        for _ in range(6):
            inputs, labels = torch.randn(7, 5), torch.randint(3, (7,))
            for model, optimizer in pair:
                optimizer.zero_grad()
                F.cross_entropy(model(inputs), labels).backward()
                optimizer.step()
            both = zip(ours.parameters(), theirs.parameters(), strict=True)
            largest = max(largest, *((a - b).abs().max().item() for a, b in both))
        moved = zip(ours.parameters(), start, strict=True)
        assert max((a - b).abs().max().item() for a, b in moved) > 1e-2
        return largest

    return run


@pytest.fixture
def after() -> Callable[..., float]:
    """A weight that begins at 1, after steps with the gradients."""

    def run(make: Make, *gradients: float) -> float:
        model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(model.weight)
        optimizer = make(model)
        for gradient in gradients:
            model.weight.grad = torch.full((1, 1), gradient)
            optimizer.step()
        return model.weight.item()

    return run
