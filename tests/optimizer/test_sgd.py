"""SGD, against torch's own without fusion and by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainer.optimizer.sgd import Sgd


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_equals_torch(
    furthest: Callable[..., float], weight_decay: float, momentum: float, nesterov: bool
) -> None:
    difference = furthest(
        lambda model: Sgd(
            model, lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
        ),
        lambda groups: torch.optim.SGD(
            groups, lr=0.1, momentum=momentum, nesterov=nesterov, fused=False, foreach=False
        ),
        weight_decay,
    )
    assert difference < 1e-6


def test_by_hand(after: Callable[..., float]) -> None:
    """Gradient 1 twice at lr 0.1, μ 0.9: v = 1, 1.9; Nesterov steps by g + μ·v = 1.9, 2.71."""
    assert after(lambda m: Sgd(m, momentum=0.0), 1.0, 1.0) == pytest.approx(0.8)
    assert after(Sgd, 1.0, 1.0) == pytest.approx(1 - 0.1 - 0.19)
    assert after(lambda m: Sgd(m, nesterov=True), 1.0, 1.0) == pytest.approx(1 - 0.19 - 0.271)
    assert after(lambda m: Sgd(m, weight_decay=0.5), 0.0) == pytest.approx(0.95)


def test_decoupled_decay_by_hand(after: Callable[..., float]) -> None:
    """Gradient 1 twice, lr 0.1, μ 0.9, decay 0.5: 0.95 − 0.1, then 0.85 · 0.95 − 0.19.

    As L2 the momentum is 1.5, then 0.9 · 1.5 + 1.425.
    """

    def make(model: nn.Module, *, decoupled: bool) -> Sgd:
        return Sgd(model, lr=0.1, weight_decay=0.5, decoupled=decoupled)

    assert after(lambda m: make(m, decoupled=True), 1.0, 1.0) == pytest.approx(0.6175)
    assert after(lambda m: make(m, decoupled=False), 1.0, 1.0) == pytest.approx(0.5725)
    assert after(lambda m: make(m, decoupled=True), 0.0, 0.0) == pytest.approx(0.9025)


def test_a_masked_step_does_not_decay() -> None:
    """The flag that makes fused kernels skip a step applies to decoupled decay too."""
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    optimizer = Sgd(model, weight_decay=0.5, decoupled=True)
    for flag in (1.0, 0.0):
        assert torch.equal(model.weight, before)
        model.weight.grad = torch.ones(2, 2)
        optimizer.found_inf = torch.tensor(flag)  # pyright: ignore
        optimizer.step()
    assert torch.allclose(model.weight, 0.95 * before - 0.1)


def test_bad_settings_are_named() -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"optimizer\.momentum must be in \[0, 1\)"):
        Sgd(model, momentum=1.0)
    with pytest.raises(ValueError, match=r"optimizer\.nesterov=true needs optimizer\.momentum"):
        Sgd(model, momentum=0.0, nesterov=True)
