from collections import Counter

import pytest
import torch
from torchvision.transforms import RandAugment as Reference

from trainer.augmentation.rand_augment import RandAugment
from trainer.augmentation.shared import policy
from trainer.augmentation.shared.operation import OPERATIONS, SIGNED
from trainer.augmentation.shared.policy import FOURTEEN
from trainer.core.seed import ExampleRandom


def drawn(augmentation: RandAugment, monkeypatch, number: int = 14000, side: int = 4):
    """(operation, magnitude) of each call, for images of a side."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def record(images, operation, magnitude, **_):
        seen.append((operation, magnitude))
        return images

    monkeypatch.setattr(policy, "operate", record)
    augmentation(torch.rand(number, 1, side, side), ExampleRandom(0, 0, torch.arange(number)))
    return seen


def test_operations_equal_torchvision_and_are_equally_likely(monkeypatch) -> None:
    names = set(Reference()._augmentation_space(31, (4, 4)))
    assert names == set(FOURTEEN)
    seen = drawn(RandAugment(num_ops=3), monkeypatch)
    assert len(seen) == 3
    for operation, _ in seen:
        counts = Counter(OPERATIONS[i] for i in operation.tolist())
        assert set(counts) == names
        assert min(counts.values()) > 850  # 1000 expected, deviation 30
    assert not torch.equal(seen[0][0], seen[1][0])


@pytest.mark.parametrize("magnitude", [0, 9, 30])
def test_magnitudes_equal_torchvision(monkeypatch, magnitude: int) -> None:
    space = Reference()._augmentation_space(31, (32, 32))
    [(operation, values)] = drawn(
        RandAugment(num_ops=1, magnitude=magnitude), monkeypatch, number=600, side=32
    )
    for name in FOURTEEN:
        own = values[operation == OPERATIONS.index(name)]
        expected = space[name][0].float().expand(31)[magnitude].item()
        assert own.abs().unique().tolist() == pytest.approx([expected])
        if name in SIGNED and expected:
            assert 0.2 < (own < 0).float().mean() < 0.8
        else:
            assert (own >= 0).all()


def test_by_hand() -> None:
    """Magnitude 9 of 30: 9 degrees, a factor of 1 ± 0.27."""
    space = Reference()._augmentation_space(31, (32, 32))
    table = policy.standard_magnitudes(31, torch.empty(1, 1, 32, 32))[:, 9]
    assert table[OPERATIONS.index("Rotate")].item() == pytest.approx(9)
    assert table[OPERATIONS.index("Color")].item() == pytest.approx(0.27)
    assert table[OPERATIONS.index("Posterize")].item() == 7
    assert space["Posterize"][0][9].item() == 7
