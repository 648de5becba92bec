from collections import Counter

import pytest
import torch
from torchvision.transforms import AutoAugment as Reference
from torchvision.transforms import AutoAugmentPolicy

from trainer.augmentation.auto_augment import POLICIES, AutoAugment, parse
from trainer.augmentation.shared import policy
from trainer.augmentation.shared.operation import OPERATIONS, SIGNED
from trainer.augmentation.shared.policy import standard_magnitudes
from trainer.core.seed import ExampleRandom


@pytest.mark.parametrize("name", ["imagenet", "cifar10", "svhn"])
def test_the_policies_equal_torchvision(name: str) -> None:
    reference = Reference(AutoAugmentPolicy(name))
    ours = parse(POLICIES[name])
    theirs = [[(n, p, level or 0) for n, p, level in pair] for pair in reference.policies]
    assert ours == theirs
    assert len(ours) == 25


def test_a_sub_policy_by_hand() -> None:
    """The first sub-policy for ImageNet in the paper: Posterize 0.4 8, then Rotate 0.6 9."""
    assert parse(POLICIES["imagenet"])[0] == [("Posterize", 0.4, 8), ("Rotate", 0.6, 9)]
    table = standard_magnitudes(10, torch.empty(1, 3, 331, 331))
    assert table[OPERATIONS.index("Posterize"), 8] == 4
    assert table[OPERATIONS.index("Rotate"), 9] == 30
    assert table[OPERATIONS.index("TranslateX"), 9].item() == pytest.approx(150)


@pytest.mark.parametrize("size", [(32, 32), (20, 48)])
@pytest.mark.parametrize("bins", [10, 31, 9])
def test_the_magnitudes_equal_torchvision(size: tuple[int, int], bins: int) -> None:
    space = Reference()._augmentation_space(bins, size)
    table = standard_magnitudes(bins, torch.empty(1, 3, *size))
    for name in OPERATIONS:
        values, signed = space.get(name, (torch.tensor(0.0), False))
        torch.testing.assert_close(table[OPERATIONS.index(name)], values.float().expand(bins))
        assert signed is (name in SIGNED)


def test_sub_policies_and_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sub-policies are drawn uniformly, and their operations with the right probabilities."""
    seen: list[list[int]] = []

    def record(images, operation, magnitude, **_):
        seen.append(operation.tolist())
        return images

    monkeypatch.setattr(policy, "operate", record)
    number = 20000
    AutoAugment(policy="svhn")(
        torch.rand(number, 1, 2, 2), ExampleRandom(0, 0, torch.arange(number))
    )
    pairs = parse(POLICIES["svhn"])
    for turn in range(2):
        expected: Counter[str] = Counter()
        for pair in pairs:
            name, probability, _ = pair[turn]
            expected[name] += probability / 25
            expected["Identity"] += (1 - probability) / 25
        counts = Counter(OPERATIONS[i] for i in seen[turn])
        assert set(counts) == {name for name, part in expected.items() if part}
        for name, part in expected.items():
            assert counts[name] / number == pytest.approx(part, abs=0.015)  # deviation 0.0035


def test_both_signs_occur(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def record(images, operation, magnitude, **_):
        seen.append(magnitude[operation == OPERATIONS.index("Rotate")])
        return images

    monkeypatch.setattr(policy, "operate", record)
    AutoAugment()(torch.rand(5000, 1, 2, 2), ExampleRandom(0, 0, torch.arange(5000)))
    turns = torch.cat(seen)
    assert (turns > 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert {round(abs(t), 3) for t in turns.tolist()} == {10.0, 26.667, 30.0}  # levels 3, 8, 9
