"""Properties that all policies share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainer.augmentation.augmix import Augmix
from trainer.augmentation.auto_augment import AutoAugment
from trainer.augmentation.rand_augment import RandAugment
from trainer.augmentation.shared import policy
from trainer.augmentation.shared.operation import OPERATIONS
from trainer.augmentation.shared.policy import Policy
from trainer.augmentation.trivial_augment import TrivialAugment
from trainer.core.seed import ExampleRandom

POLICIES: dict[str, Policy] = {
    "imagenet": AutoAugment(),
    "cifar10": AutoAugment(policy="cifar10"),
    "svhn": AutoAugment(policy="svhn"),
    "rand": RandAugment(),
    "trivial": TrivialAugment(),
    "augmix": Augmix(),
}
EVERY = pytest.mark.parametrize("augmentation", POLICIES.values(), ids=POLICIES)


@EVERY
@pytest.mark.parametrize("channels", [3, 1])
def test_images_keep_their_shape_and_range(augmentation: Policy, channels, pictures, draws) -> None:
    images = pictures(60, channels)
    before = images.clone()
    got = augmentation(images, draws(60))
    assert got.shape == images.shape
    assert got.dtype == torch.float32
    assert got.isfinite().all()
    assert got.min() >= 0
    assert got.max() <= 1
    assert torch.equal(images, before)
    changed = (got != images).flatten(1).any(1).float().mean()
    assert changed > 0.5


@EVERY
def test_the_change_depends_only_on_seed_epoch_and_position(augmentation: Policy, pictures) -> None:
    """It does not depend on the other images of the batch."""
    images = pictures(30)
    whole = augmentation(images, ExampleRandom(0, 0, torch.arange(30)))
    part = augmentation(images[10:15], ExampleRandom(0, 0, torch.arange(10, 15)))
    torch.testing.assert_close(part, whole[10:15], atol=1e-6, rtol=0)
    later = augmentation(images, ExampleRandom(0, 1, torch.arange(30)))
    assert not torch.equal(later, whole)


@EVERY
def test_two_policies_in_a_list_draw_independently(augmentation: Policy, pictures) -> None:
    images, draws = pictures(60), ExampleRandom(0, 0, torch.arange(60))
    first = augmentation(images, draws)
    assert not torch.equal(first, augmentation(images, draws))


@EVERY
def test_mask_and_image_targets_are_errors(augmentation: Policy, pictures, draws) -> None:
    images = pictures(4)
    with pytest.raises(ValueError, match=r"augmentation=\w+ moves pixels .* use rotate") as error:
        augmentation.with_target(images, images.long(), draws(4), fill=0)
    assert f"augmentation={type(augmentation).__module__.rpartition('.')[2]} " in str(error.value)


@EVERY
def test_no_value_is_read_from_the_device_of_the_images(augmentation: Policy) -> None:
    """Tensors on the meta device have no values, so reading one would raise an error."""
    device = torch.device("meta")
    images = torch.rand(20, 3, 8, 8, device=device)
    got = augmentation(images, ExampleRandom(0, 0, torch.arange(20), device))
    assert got.device.type == "meta"
    assert got.shape == images.shape


def test_only_signed_operations_change_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "operate", lambda images, operation, magnitude, **_: magnitude)
    every, twos = torch.arange(len(OPERATIONS)), torch.full((len(OPERATIONS),), 2.0)
    images = torch.rand(len(OPERATIONS), 1, 2, 2)
    got: Tensor = RandAugment().apply(images, every, twos, torch.ones_like(every) == 1)
    turned = [name for name, value in zip(OPERATIONS, got.tolist(), strict=True) if value == -2]
    assert turned == [*OPERATIONS[:5], "Brightness", "Color", "Contrast", "Sharpness"]
    same: Tensor = RandAugment().apply(images, every, twos, torch.zeros_like(every) == 1)
    assert torch.equal(same, twos)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: RandAugment(fill=2.0), r"augmentation\.rand_augment\.fill must be in \[0, 1\]"),
        (lambda: RandAugment(num_ops=0), r"augmentation\.rand_augment\.num_ops"),
        (
            lambda: RandAugment(magnitude=31),
            r"rand_augment\.magnitude must be in \[0, 31\), got 31",
        ),
        (lambda: RandAugment(num_magnitude_bins=1), r"augmentation\.rand_augment\.num_magnitude"),
        (lambda: TrivialAugment(num_magnitude_bins=1), r"augmentation\.trivial_augment\.num_mag"),
        (lambda: AutoAugment(fill=-1.0), r"augmentation\.auto_augment\.fill"),
        (lambda: Augmix(severity=11), r"augmentation\.augmix\.severity must be in \[1, 10\]"),
        (lambda: Augmix(mixture_width=0), r"augmentation\.augmix\.mixture_width"),
        (lambda: Augmix(alpha=0.0), r"augmentation\.augmix\.alpha"),
        (lambda: Augmix(chain_depth=0), r"augmix\.chain_depth must be -1 or at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], Policy], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        make()
