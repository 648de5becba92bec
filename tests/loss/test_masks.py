"""Per-pixel losses on masks: each pixel is scored as an example, and ignored pixels are not."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from support import CONF, options

from trainer.config.build import build
from trainer.core.batch import Batch
from trainer.loss import Loss
from trainer.loss.cross_entropy import CrossEntropy

RNG = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(2, 3, 4, 5, generator=RNG).movedim(-1, 1)  # [B, C, H, W]
MASKS = torch.randint(0, 5, (2, 3, 4), generator=RNG)
IGNORED = torch.rand(2, 3, 4, generator=RNG) < 0.3
COUNTS = torch.tensor([50, 20, 10, 5, 1])
ROWS = LOGITS.movedim(1, -1).reshape(-1, 5)  # [B·H·W, C]
PIXELWISE = ["cross_entropy", "label_smoothing", "bce", "focal", "ghm"]
PIXELWISE += ["gce", "sce", "poly1", "logit_adjusted", "superloss"]
SETTINGS = {
    "cross_entropy": {"class_weights": "balanced", "label_smoothing": 0.1},
    "bce": {"pos_weight": [1.0, 2.0, 3.0, 0.5, 4.0], "label_smoothing": 0.1},
    "focal": {"alpha": [1.0, 2.0, 3.0, 0.5, 4.0]},
    "superloss": {"tau": "mean"},
}


def yaml_of(name: str) -> dict[str, Any]:
    """The settings in the file of an option."""
    return yaml.safe_load((CONF / "loss" / f"{name}.yaml").read_text())


def prepared(name: str) -> Loss:
    """A loss that has received the class counts."""
    loss = build(yaml_of(name) | SETTINGS.get(name, {}), "loss", Loss)
    loss.prepare(COUNTS)
    return loss


def test_the_list_of_losses_is_complete():
    losses = {name: build(yaml_of(name), "loss", Loss) for name in options("loss")}
    pixelwise = {n for n, loss in losses.items() if loss.pixelwise and "mask" in loss.targets}
    assert pixelwise == set(PIXELWISE)
    assert all({"class", "mask"} <= {*losses[name].targets} for name in PIXELWISE)
    for name in ("dice", "dice_cross_entropy"):
        assert losses[name].targets == ("mask",)


@pytest.mark.parametrize("name", PIXELWISE)
def test_each_pixel_is_scored_as_an_example(name):
    assert not LOGITS.is_contiguous()
    loss = prepared(name)
    expected = loss.score(ROWS, MASKS.flatten())
    torch.testing.assert_close(loss.score(LOGITS, MASKS).flatten(), expected)
    torch.testing.assert_close(loss.count(MASKS).flatten(), loss.count(MASKS.flatten()))


def batch_of(labels: torch.Tensor, weight: torch.Tensor) -> Batch:
    """A batch of unmixed examples with labels [B, ...] and counts equal to the weights."""
    ones = torch.ones(len(labels), 1)
    return Batch(torch.zeros(len(labels), 1, 1, 1), labels[:, None], ones, labels, weight, weight)


@pytest.mark.parametrize("name", PIXELWISE)
def test_ignored_pixels_have_no_effect(name):
    """In the losses, in the denominator and in the statistics of the batch."""
    loss, rest = prepared(name), prepared(name)
    loss.ignore_index = 255
    masks, kept = MASKS.masked_fill(IGNORED, 255), ~IGNORED.flatten()
    losses, counts = loss.forward(LOGITS, masks), loss.denominator(masks)
    assert (losses[IGNORED] == 0).all()
    assert (counts[IGNORED] == 0).all()
    expected = rest.forward(ROWS[kept], MASKS.flatten()[kept])
    torch.testing.assert_close(losses[~IGNORED], expected)
    torch.testing.assert_close(counts.sum(), rest.denominator(MASKS.flatten()[kept]).sum())
    batch = batch_of(masks, (~IGNORED).float())  # weighted as in the training step
    alone = batch_of(MASKS.flatten()[kept], torch.ones(int(kept.sum())))
    loss.survey(losses, LOGITS, batch)
    rest.survey(expected, ROWS[kept], alone)
    weighed = batch.weight * loss.reweigh(losses, LOGITS, batch)
    torch.testing.assert_close(weighed[~IGNORED], rest.reweigh(expected, ROWS[kept], alone))
    torch.testing.assert_close(weighed.sum(), weighed[~IGNORED].sum())


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 3.0, 0.5, 0.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_mean_of_cross_entropy_equals_torch(weights, smoothing):
    loss = CrossEntropy(class_weights=weights, label_smoothing=smoothing)
    loss.prepare(COUNTS)
    loss.ignore_index = 255
    masks = MASKS.masked_fill(IGNORED, 255)
    mean = loss(LOGITS, masks).sum() / loss.denominator(masks).sum()
    weight = None if weights is None else torch.tensor(weights)
    expected = F.cross_entropy(LOGITS, masks, weight, ignore_index=255, label_smoothing=smoothing)
    torch.testing.assert_close(mean, expected)
