"""An arbitrary factor on the initial learning rate."""

import sys

import pytest
from torch.optim.lr_scheduler import LambdaLR

from trainer.core.errors import ConfigError
from trainer.schedule.lambda_ import Lambda, decay

PATH = "trainer.schedule.lambda_.decay"


def test_by_hand(follow):
    """0.4 · 0.95^n, where n increases every two epochs of five steps."""
    got = follow(Lambda(function=PATH, every="2ep"))
    assert got[0] == got[9] == 0.4
    assert got[10] == got[19] == pytest.approx(0.38)
    assert got[20] == pytest.approx(0.361)


def test_the_factor_applies_to_the_initial_rate(follow):
    got = follow(Lambda(function=PATH))
    assert got[15] == pytest.approx(0.4 * 0.95**3)
    assert got[15] != pytest.approx(0.4 * 0.95**0 * 0.95**1 * 0.95**2 * 0.95**3)


def test_equals_torch_at_every_step(follow, follow_torch):
    expected = follow_torch(LambdaLR, 60, every=5, lr_lambda=decay)
    assert follow(Lambda(function=PATH)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere.to.be.found", "cannot be imported"),
        ("trainer.schedule.shared.function.nothing", "cannot be imported"),
        ("decay", "must be an import path"),
        ("math.pi", "is not callable"),
        ("math.hypot2", "cannot be imported"),
        ("math.atan2", r"fails when called with \(0\): TypeError"),
        ("os.path.abspath", r"fails when called with \(0\): TypeError"),
        ("builtins.str", r"must return a factor of at least 0, but for \(0\) it returned '0'"),
        ("math.gamma", r"fails when called with \(0\): ValueError"),
    ],
)
def test_an_unusable_function_is_refused(path, reason):
    with pytest.raises(ConfigError, match=rf"schedule\.function\S* .*{reason}") as caught:
        Lambda(function=path).prepare()
    assert "\n" not in str(caught.value)


def test_a_negative_factor_is_refused_when_it_occurs(follow, tmp_path, monkeypatch):
    (tmp_path / "of_mine.py").write_text("def fall(n):\n    return 1.0 - n\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"of_mine\.fall must return .* \(2\) it returned -1\.0"):
        follow(Lambda(function="of_mine.fall"))


def test_an_import_error_names_the_function(tmp_path, monkeypatch):
    (tmp_path / "broken_one.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"broken_one\.f cannot be imported: ZeroDivisionError"):
        Lambda(function="broken_one.f").prepare()


def test_a_run_that_is_only_read_imports_nothing(tmp_path, monkeypatch):
    """Only `prepare` and `lr` import the function: a run folder may come from another machine."""
    (tmp_path / "seen_here.py").write_text("def f(n):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = Lambda(function="seen_here.f")
    assert "seen_here" not in sys.modules
    made.prepare()
    assert "seen_here" in sys.modules
