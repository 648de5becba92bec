import numpy as np
import pytest
import torch
from torchvision.transforms import AugMix as Reference

from trainer.augmentation.augmix import Augmix, dirichlet, gamma
from trainer.augmentation.shared import policy
from trainer.augmentation.shared.operation import OPERATIONS, SIGNED
from trainer.core.seed import ExampleRandom


def recorded(augmix: Augmix, monkeypatch, number: int = 2000, side: int = 24):
    """The (operation, magnitude) [width·B] of each call."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def record(images, operation, magnitude, **_):
        seen.append((operation, magnitude))
        return images

    monkeypatch.setattr(policy, "operate", record)
    augmix(torch.rand(number, 1, side, side), ExampleRandom(0, 0, torch.arange(number)))
    return seen


@pytest.mark.parametrize("all_ops", [True, False])
@pytest.mark.parametrize("severity", [1, 3, 10])
def test_operations_and_magnitudes_equal_torchvision(monkeypatch, all_ops, severity) -> None:
    space = Reference(all_ops=all_ops)._augmentation_space(10, (24, 24))
    augmix = Augmix(chain_depth=1, all_ops=all_ops, severity=severity)
    [(operation, magnitude)] = recorded(augmix, monkeypatch)
    assert {OPERATIONS[i] for i in operation.tolist()} == set(space)
    for name, (values, signed) in space.items():
        own = magnitude[operation == OPERATIONS.index(name)]
        expected = values.float().expand(10)[:severity]
        torch.testing.assert_close(own.abs().unique(), expected.unique())
        assert bool((own < 0).any()) is (signed and severity > 1)
        assert signed is (name in SIGNED)


def test_depths_are_one_to_three(monkeypatch) -> None:
    seen = recorded(Augmix(), monkeypatch)
    assert len(seen) == 3
    identity = OPERATIONS.index("Identity")
    ended = [(operation == identity).float().mean().item() for operation, _ in seen]
    assert ended == pytest.approx([0, 1 / 3, 2 / 3], abs=0.03)  # deviation 0.006
    assert ((seen[1][0] != identity) | (seen[2][0] == identity)).all(), "what ended stays ended"


def test_a_fixed_depth(monkeypatch) -> None:
    seen = recorded(Augmix(chain_depth=4, mixture_width=2), monkeypatch, number=50)
    assert len(seen) == 4
    assert all(len(operation) == 100 for operation, _ in seen)
    assert not any((o == OPERATIONS.index("Identity")).any() for o, _ in seen)


def test_chains_are_blended_by_the_weights(monkeypatch, pictures, draws) -> None:
    """Chain i is replaced by the constant (i + 1) / 4: m·0 + (1 − m)·Σ w_i (i + 1) / 4."""
    number, width = 40, 3

    def count(images, operation, magnitude, **_):
        return (torch.arange(len(images)) // number + 1).view(-1, 1, 1, 1).expand_as(images) / 4

    monkeypatch.setattr(policy, "operate", count)
    got = Augmix(mixture_width=width)(torch.zeros(number, 1, 2, 2), draws(number))
    host = draws(number).on_host()
    m, w = dirichlet(host, 1.0, 2), dirichlet(host, 1.0, width)
    expected = m[:, 1] * (w * torch.tensor([0.25, 0.5, 0.75])).sum(1)
    torch.testing.assert_close(got[:, 0, 1, 1], expected)


def test_identity_chains_leave_the_image_unchanged(monkeypatch, pictures, draws) -> None:
    monkeypatch.setattr(policy, "operate", lambda images, *_, **__: images)
    images = pictures()
    torch.testing.assert_close(Augmix()(images, draws()), images)


@pytest.mark.parametrize("shape", [0.2, 0.5, 1.0, 2.5, 10.0])
def test_gamma(shape: float) -> None:
    """Against NumPy's, by the largest distance of the distribution functions."""
    own = np.sort(gamma(ExampleRandom(0, 0, torch.arange(40000)), shape).double().numpy())
    other = np.sort(np.random.default_rng(0).gamma(shape, size=40000))
    assert own.mean() == pytest.approx(shape, rel=0.04)
    assert own.var() == pytest.approx(shape, rel=0.1)
    both = np.concatenate([own, other])
    distance = np.searchsorted(own, both, "right") - np.searchsorted(other, both, "right")
    assert np.abs(distance).max() / 40000 < 0.0138  # 1.95·√(2/n): one time in a thousand


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_dirichlet(alpha: float) -> None:
    """Rows sum to 1; the mean is 1/k, the variance (k − 1) / (k²(kα + 1))."""
    rows = dirichlet(ExampleRandom(0, 0, torch.arange(40000)), alpha, 3)
    torch.testing.assert_close(rows.sum(1), torch.ones(40000))
    assert rows.mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.01)
    assert rows.var(0).tolist() == pytest.approx([2 / (9 * (3 * alpha + 1))] * 3, rel=0.05)
