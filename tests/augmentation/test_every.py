"""Properties that all augmentations share: parameters per image, targets, devices."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from trainer.augmentation import Augmentation, Geometric
from trainer.config.build import build
from trainer.core.seed import ExampleRandom

CONF = Path(__file__).parents[2] / "conf" / "augmentation"
NAMES = [
    *("affine", "color_jitter", "cutout", "gaussian_blur", "gaussian_noise", "horizontal_flip"),
    *("pca_jitter", "random_crop", "random_erasing", "random_resized_crop", "random_scale"),
    *("rotate", "scale_jitter", "shift", "vertical_flip"),
]
INTERPOLATED = {"affine", "random_resized_crop", "random_scale", "rotate", "scale_jitter"}


@pytest.fixture
def make_augmentation(noise):
    """Builds an augmentation from its YAML, prepared for images of 3 × 24 × 20."""

    def make(name: str) -> Augmentation:
        node = yaml.safe_load((CONF / f"{name}.yaml").read_text())
        augmentation = build(node, f"augmentation.{name}", Augmentation)
        augmentation.prepare(noise(shape=(3, 24, 20)))
        return augmentation

    return make


def draws(images: int, first: int = 0, epoch: int = 0) -> ExampleRandom:
    return ExampleRandom(1, epoch, torch.arange(first, first + images))


@pytest.mark.parametrize("name", NAMES)
def test_each_image_has_its_own_parameters(name: str, make_augmentation, pictures) -> None:
    """64 copies of an image; torchvision would apply the same parameters to the whole batch."""
    images = pictures(1, 3, 24, 20).expand(64, -1, -1, -1)
    here, later = (make_augmentation(name)(images, draws(64, epoch=epoch)) for epoch in (0, 1))
    different = len(here.flatten(1).unique(dim=0))
    assert different == 2 if "flip" in name else different > 15
    assert not torch.equal(here, later)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_the_rest_of_its_batch(
    name: str, make_augmentation, pictures
) -> None:
    images, augmentation = pictures(24, 3, 24, 20), make_augmentation(name)
    whole = augmentation(images, draws(24))
    parts = [augmentation(images[i : i + 7], draws(len(images[i : i + 7]), i)) for i in (0, 7, 14)]
    torch.testing.assert_close(whole[:21], torch.cat(parts), atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_images_keep_their_shape_and_range_and_are_not_changed_in_place(
    name: str, channels: int, make_augmentation, pictures, noise
) -> None:
    images, augmentation = pictures(32, channels, 24, 20), make_augmentation(name)
    if channels == 1:
        if name == "pca_jitter":
            pytest.skip("needs RGB")
        augmentation.prepare(noise(shape=(1, 24, 20)))
    before = images.clone()
    got = augmentation(images, draws(32))
    assert (got.shape, got.dtype) == (images.shape, torch.float32)
    assert got.min() >= 0
    assert got.max() <= 1 + 1e-6
    assert not torch.equal(got, images)
    got.sub_(1)  # standardisation works in place
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_no_value_is_read_from_a_gpu_and_no_tensor_stays_on_the_cpu(
    name: str, make_augmentation
) -> None:
    """Fake CUDA tensors have no values, and raise when combined with CPU tensors."""
    augmentation = make_augmentation(name)
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = torch.empty(8, 3, 24, 20, device="cuda")
        got = augmentation(images, ExampleRandom(1, 0, torch.arange(8, device="cuda")))
    assert (got.device.type, got.shape) == ("cuda", images.shape)


def blobs(images: int) -> Tensor:
    """Images [B, 1, H, W] of 0 and 1, each a disc with random centre and radius."""
    rng = torch.Generator().manual_seed(0)
    y, x, radius = (torch.rand(3, images, 1, 1, generator=rng) * 12 + 4).unbind(0)
    rows, columns = torch.arange(24.0)[:, None], torch.arange(20.0)
    return ((rows - y).square() + (columns - x).square() < radius.square()).float()[:, None]


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_that_equals_a_channel_moves_with_the_image(name: str, make_augmentation) -> None:
    """Where the moved image is not a blend of 0 and 1 it equals the mask; 255 is from outside."""
    augmentation, channel = make_augmentation(name), blobs(64)
    images, masks = channel.expand(-1, 3, -1, -1), channel.to(torch.uint8)
    got, target = augmentation.with_target(images, masks, draws(64), fill=255)
    assert torch.equal(got, augmentation(images, draws(64)))
    if not isinstance(augmentation, Geometric):
        assert target is masks
        return
    assert target.dtype == torch.uint8
    assert set(target.unique().tolist()) <= {0, 1, 255}
    assert not torch.equal(target, masks)
    channel = got[:, :1]
    pure = ((channel < 1e-5) | (channel > 1 - 1e-5)) & (target != 255)
    assert torch.equal(target[pure].float(), channel[pure].round())
    assert (channel[target == 255] <= 0.5 + 1e-5).all()
    blended = ((channel >= 1e-5) & (channel <= 1 - 1e-5)).float().mean()
    assert blended < 0.2 if name in INTERPOLATED else blended == 0
