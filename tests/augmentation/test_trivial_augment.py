from collections import Counter

import torch
from torchvision.transforms import TrivialAugmentWide

from trainer.augmentation.shared import policy
from trainer.augmentation.shared.operation import OPERATIONS
from trainer.augmentation.shared.policy import FOURTEEN
from trainer.augmentation.trivial_augment import TrivialAugment
from trainer.core.seed import ExampleRandom


def test_the_space_equals_torchvisions_wide_space() -> None:
    for bins in (31, 10):
        space, table = (
            TrivialAugmentWide()._augmentation_space(bins),
            TrivialAugment(num_magnitude_bins=bins).table,
        )
        assert set(space) == set(FOURTEEN)
        for name, (values, _) in space.items():
            own = table[OPERATIONS.index(name)]
            torch.testing.assert_close(own, values.float().expand(bins))


def test_by_hand() -> None:
    """The last bin: two bits, 135 degrees, 32 pixels for images of any size."""
    last = TrivialAugment().table[:, 30]
    named = dict(zip(OPERATIONS, last.tolist(), strict=True))
    assert (named["Posterize"], named["Rotate"], named["TranslateY"]) == (2, 135, 32)


def test_one_operation_at_any_magnitude(monkeypatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def record(images, operation, magnitude, **_):
        seen.append((operation, magnitude))
        return images

    monkeypatch.setattr(policy, "operate", record)
    TrivialAugment()(torch.rand(14000, 1, 2, 2), ExampleRandom(0, 0, torch.arange(14000)))
    [(operation, magnitude)] = seen
    counts = Counter(OPERATIONS[i] for i in operation.tolist())
    assert set(counts) == set(FOURTEEN)
    assert min(counts.values()) > 850  # 1000 expected, deviation 30
    turns = magnitude[operation == OPERATIONS.index("Rotate")]
    assert len(turns.unique()) == 61  # 30 bins in both directions, and 0
    levels = magnitude[operation == OPERATIONS.index("Solarize")]
    assert len(levels.unique()) == 31
    assert levels.min() == 0
