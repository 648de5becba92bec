"""An arbitrary factor on the previous learning rate."""

import pytest
from torch.optim.lr_scheduler import MultiplicativeLR

from trainer.core.errors import ConfigError
from trainer.schedule.multiplicative import Multiplicative

MODULE = """
def factor(n):
    return 1 / n
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    (tmp_path / "some_factor.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "some_factor.factor"


def test_by_hand(follow, path):
    """0.4 / n!: 0.4, 0.4, 0.2, 0.4/6."""
    got = follow(Multiplicative(function=path))
    assert [got[0], got[5], got[10], got[15]] == pytest.approx([0.4, 0.4, 0.2, 0.4 / 6])


def test_equals_torch_at_every_step(follow, follow_torch, path):
    """As in torch, the function is not called for n = 0, where 1/0 would fail."""
    expected = follow_torch(MultiplicativeLR, 60, every=5, lr_lambda=lambda n: 1 / n)
    assert follow(Multiplicative(function=path)) == pytest.approx(expected, rel=1e-12)


def test_steps_may_be_evaluated_in_any_order(path, follow):
    """A resumed run starts in the middle."""
    every = follow(Multiplicative(function=path))
    resumed = Multiplicative(function=path)
    follow(resumed, 0)
    assert resumed.lr(33, 0.4) == every[33]
    assert resumed.lr(7, 0.4) == every[7]


def test_a_missing_function_is_refused():
    with pytest.raises(ConfigError, match=r"schedule\.function=no\.thing cannot be imported"):
        Multiplicative(function="no.thing").prepare()
