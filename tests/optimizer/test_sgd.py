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


def test_bad_settings_are_named() -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"optimizer\.momentum must be in \[0, 1\)"):
        Sgd(model, momentum=1.0)
    with pytest.raises(ValueError, match=r"optimizer\.nesterov=true needs optimizer\.momentum"):
        Sgd(model, momentum=0.0, nesterov=True)
