"""Test-time augmentation: its views and the mean of their probabilities."""

import math

import pytest
import torch
from torch import nn

from trainer.core.probability import mean_outputs
from trainer.trained.tta import TestTimeAugmentation as Augmented
from trainer.trained.tta import shifted


class Pixels(nn.Module):
    """Returns the first row's first three pixels as logits, or all pixels as a two-class mask."""

    def __init__(self, *, mask: bool = False) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([images, 0 * images], 1) if self.mask else images[:, 0, 0, :3]


def test_flip_by_hand():
    """Rows 0, 0, ln 4 and its mirror image: (1, 1, 4)/6 and (4, 1, 1)/6."""
    images = torch.tensor([0.0, 0.0, 4.0]).clamp(min=1).log().expand(1, 1, 3, 3)
    log_p = Augmented(Pixels(), ["flip"])(images)
    torch.testing.assert_close(log_p.exp(), torch.tensor([[5.0, 2.0, 5.0]]) / 12)


def test_shifts_by_hand():
    image = torch.tensor([[[[1.0, 2], [3, 4]]]])
    assert shifted(image, 0, 1)[0, 0].tolist() == [[1, 1], [3, 3]]
    assert shifted(image, 0, -1)[0, 0].tolist() == [[2, 2], [4, 4]]
    assert shifted(image, 1, 0)[0, 0].tolist() == [[1, 2], [1, 2]]
    assert shifted(image, -1, 0)[0, 0].tolist() == [[3, 4], [3, 4]]
    assert shifted(image, 0, 0) is image
    large = torch.arange(64.0).expand(1, 1, 64, 64)
    assert shifted(large, 0, 1)[0, 0, 0, :4].tolist() == [0, 0, 0, 1]  # 1/32 of the side


@pytest.mark.parametrize(
    ("names", "number"), [([], 1), (["flip"], 2), (["shift"], 5), (["flip", "shift"], 10)]
)
def test_each_view_is_averaged_once(names, number):
    """The mean over plain, shifted and mirrored images, each of them once."""
    views = []
    model = Pixels()
    model.register_forward_pre_hook(lambda _, inputs: views.append(inputs[0]))
    images = torch.rand(4, 1, 5, 6, generator=torch.Generator().manual_seed(0))
    log_p = Augmented(model, names)(images)
    assert len({tuple(image.flatten().tolist()) for image in views}) == len(views) == number
    assert torch.equal(views[0], images)
    mean = torch.stack([image[:, 0, 0, :3].softmax(1) for image in views]).mean(0)
    torch.testing.assert_close(log_p.exp(), mean)
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(4))


def test_masks_are_shifted_back():
    """A pixelwise model gives the same output in each view, except at the edge."""
    images = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    plain = Pixels(mask=True)(images).log_softmax(1)
    log_p = Augmented(Pixels(mask=True), ["flip", "shift"])(images)
    torch.testing.assert_close(log_p[..., 1:-1, 1:-1], plain[..., 1:-1, 1:-1])
    assert not torch.allclose(log_p[..., 0, :], plain[..., 0, :])


def test_several_labels_have_the_mean_of_their_sigmoids():
    """Logits 0, ln 3 and 50 in one view and in the other mirrored; far out, nothing is lost."""
    images = torch.tensor([0.0, math.log(3), 50]).expand(1, 1, 3, 3)
    logits = Augmented(Pixels(), ["flip"], several=True)(images)
    half, three = (0.5 + 1) / 2, 0.75
    torch.testing.assert_close(logits.sigmoid(), torch.tensor([[half, three, half]]))
    far = mean_outputs([torch.tensor([[-60.0]]), torch.tensor([[-60.0]])], several=True)
    torch.testing.assert_close(far, torch.tensor([[-60.0]]))
