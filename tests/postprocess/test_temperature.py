"""Temperature scaling: the minimum is found to machine precision."""

import math

import pytest
import torch
import torch.nn.functional as F

from trainer.postprocess.temperature import Temperature


def fitted(outputs, labels) -> float:
    temperature = Temperature()
    temperature.fit(outputs, labels)
    return temperature.fitted["temperature"]


def test_by_hand():
    """Correct three times out of four at a margin of 2: σ(2/T) = 3/4, so T = 2 / ln 3."""
    outputs, labels = torch.tensor([[2.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])
    assert fitted(outputs, labels) == pytest.approx(2 / math.log(3), rel=1e-12)
    temperature = Temperature()
    temperature.fit(outputs, labels)
    assert temperature(outputs)[0, 0].item() == pytest.approx(math.log(3))


def test_the_gradient_is_zero(many):
    """The usual 50 steps of LBFGS at a low learning rate stop short of it."""
    outputs, labels = many
    log_t = torch.tensor(fitted(outputs, labels), dtype=torch.float64).log().requires_grad_()
    F.cross_entropy(outputs.double() / log_t.exp(), labels).backward()
    assert abs(log_t.grad.item()) < 1e-12
    t = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([t], lr=0.01, max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(outputs / t, labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert abs(t.item() - log_t.exp().item()) > 0.01


def test_the_minimum_is_that_of_lbfgs(many):
    outputs, labels = many
    log_t = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [log_t], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-12
    )

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(outputs.double() / log_t.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    t = fitted(outputs, labels)
    assert t == pytest.approx(log_t.exp().item(), rel=1e-6)
    assert 2.7 < t < 3.3  # the logits are three times too large


def test_predictions_do_not_change(many):
    outputs, labels = many
    temperature = Temperature()
    temperature.fit(outputs, labels)
    assert torch.equal(temperature(outputs).argmax(1), outputs.argmax(1))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 60.0])
def test_temperature_scales_with_the_outputs(many, scale):
    """Even if the optimum is far from the initial T = 1."""
    outputs, labels = many
    t = fitted(outputs * scale, labels)
    assert t == pytest.approx(fitted(outputs, labels) * scale, rel=1e-5)


def test_temperature_without_a_minimum():
    """All correct: 1, since T → 0 makes a single test error infinitely costly. All wrong: 1e6."""
    outputs = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert fitted(outputs, torch.tensor([0, 1])) == 1.0
    assert fitted(outputs, torch.tensor([1, 0])) == pytest.approx(1e6)
