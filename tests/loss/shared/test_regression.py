"""Properties that mse, l1, huber, smooth_l1 and sobolev share."""

import pytest
import torch

from trainer.core.errors import ConfigError
from trainer.loss.huber import Huber
from trainer.loss.l1 import L1
from trainer.loss.mse import MeanSquaredError
from trainer.loss.shared.regression import Regression
from trainer.loss.smooth_l1 import SmoothL1
from trainer.loss.sobolev import Sobolev

VECTORS = {"mse": MeanSquaredError, "l1": L1, "huber": Huber, "smooth_l1": SmoothL1}
LOSSES = {**VECTORS, "sobolev": Sobolev}
RNG = torch.Generator().manual_seed(0)
OUTPUTS, TARGETS = torch.randn(2, 3, 4, 5, 6, generator=RNG, dtype=torch.float64)


@pytest.fixture(params=LOSSES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def loss(name: str) -> Regression:
    return LOSSES[name]()


def test_the_loss_of_an_example_is_the_mean_over_its_elements(loss):
    """The loss of a row does not depend on the other rows."""
    losses = loss.score(OUTPUTS, TARGETS)
    assert losses.shape == (3,)
    for i in range(3):
        errors = loss.errors(OUTPUTS[i : i + 1], TARGETS[i : i + 1])
        torch.testing.assert_close(losses[i], errors.sum() / (4 * 5 * 6))


def test_different_shapes_are_refused(loss, name):
    """[B, 1] and [B] would broadcast to [B, B], comparing each output with every target."""
    known = rf"loss={name} needs outputs and targets of the same shape, got \[3, 1\] and \[3\]"
    with pytest.raises(ConfigError, match=known):
        loss.score(torch.zeros(3, 1), torch.zeros(3))
    with pytest.raises(ConfigError, match=r"\[3, 4, 5, 6\] and \[3, 1, 5, 6\]"):
        loss.score(OUTPUTS, TARGETS[:, :1])


@pytest.mark.parametrize("shape", [(7,), (7, 1), (7, 4), (7, 2, 3)], ids=str)
@pytest.mark.parametrize("name", VECTORS)
def test_targets_of_any_shape(name, shape):
    outputs, targets = torch.randn(2, *shape, generator=RNG)
    assert LOSSES[name]().score(outputs, targets).shape == (7,)


def test_each_example_counts_once(loss):
    assert torch.equal(loss.count(TARGETS), torch.ones(3))
    assert torch.equal(loss.count(TARGETS[:, 0, 0, 0]), torch.ones(3))
    assert not loss.pixelwise


def test_accepted_targets(loss, name):
    assert loss.targets == (("image",) if name == "sobolev" else ("vector", "image"))


def test_any_memory_layout(loss):
    outputs, targets = OUTPUTS.mT, TARGETS.mT
    expected = loss.score(outputs.contiguous(), targets.contiguous())
    torch.testing.assert_close(loss.score(outputs, targets), expected)


def test_gradient(loss):
    outputs = OUTPUTS[..., :3, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda u: loss.score(u, TARGETS[..., :3, :3]), outputs)
