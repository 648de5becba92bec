"""Faster R-CNN: its loss is torchvision's own; one pass of OHEM and two have one gradient."""

from dataclasses import replace

import pytest
import torch

from trainer.core.batch import Batch, Elements
from trainer.core.seed import StepId
from trainer.loss.cross_entropy import CrossEntropy
from trainer.mining.base import Miner
from trainer.mining.ohem import Ohem
from trainer.mining.ohem_two_pass import OhemTwoPass
from trainer.model.faster_rcnn import FasterRcnn
from trainer.task.detection import UNKNOWN

SHAPE, OUTPUTS = (1, 64, 64), 15  # ten classes, background, four edges
LABELS = torch.zeros(3, 4, 5)  # the second image is empty; padding may come first
LABELS[0, 1] = torch.tensor([3.0, 5, 5, 17, 20])
LABELS[0, 3] = torch.tensor([7.0, 30, 30, 45, 46])
LABELS[2, 0] = torch.tensor([1.0, 10, 40, 20, 58])
MOMENT = StepId(0, 0, 0)


class Everything:
    """Takes all that is known, in the place of torchvision's samplers."""

    def __call__(self, labels: list) -> tuple[list, list]:
        return [(y >= 1).byte() for y in labels], [(y == 0).byte() for y in labels]


@pytest.fixture(scope="module")
def model() -> FasterRcnn:
    torch.manual_seed(0)
    return FasterRcnn(shape=SHAPE, outputs=OUTPUTS)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1))


def cross_entropy() -> CrossEntropy:
    loss = CrossEntropy()
    loss.ignore(UNKNOWN)
    return loss


def total(model: FasterRcnn, images: torch.Tensor, miner: Miner, *, first: bool) -> torch.Tensor:
    """The loss as a training step reduces it, without random anchors."""
    score = cross_entropy().forward
    found = model.train()(images)
    elements = model.elements(found, Batch.of(images, LABELS))

    def rank(_: Batch) -> torch.Tensor:
        with torch.no_grad():
            return model.losses(score, found, elements)[:, -elements.sizes[1] :]

    if first:
        elements = elements.with_stage(-1, miner.select(elements.last(), rank, MOMENT))
    losses = model.losses(score, found, elements)
    if not first:
        last = elements.last()
        chosen = miner.weigh(losses[:, -last.sizes[0] :].detach(), last, MOMENT)
        elements = elements.with_stage(-1, chosen)
    return (elements.weight * losses / elements.each(elements.totals())).sum()


def test_loss_of_all_elements_is_torchvisions(model, images):
    network = model.network
    network.rpn.fg_bg_sampler = network.roi_heads.fg_bg_sampler = Everything()  # pyright: ignore
    network.transform.image_mean, network.transform.image_std = [0.0], [1.0]
    network.transform.min_size, network.transform.max_size = (64,), 64
    boxes = [row[row[:, 0] > 0] for row in LABELS]
    targets = [{"boxes": b[:, 1:], "labels": b[:, 0].long()} for b in boxes]
    theirs = torch.stack([*network.train()(list(images), targets).values()]).sum()
    own = total(model, images, Miner(), first=False)
    assert own.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_one_pass_and_two_have_the_same_gradient(model, images):
    gradients = []
    for miner, first in ((Ohem(keep=0.25), False), (OhemTwoPass(keep=0.25), True)):
        model.zero_grad()
        total(model, images, miner, first=first).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert (gradients[0] - gradients[1]).abs().max() < 1e-6
    assert gradients[0].abs().max() > 1e-3


def test_regions_that_are_dropped_are_not_judged(model, images):
    """They have no p, and their loss is 0; nor have anchors, the first in each image."""
    found = model.train()(images)
    elements = model.elements(found, Batch.of(images, LABELS))
    last = elements.last()
    kept = torch.zeros_like(last.weight)
    kept[:, ::2] = last.weight[:, ::2]
    elements = elements.with_stage(-1, replace(last, weight=kept, count=kept))
    losses = model.losses(cross_entropy().forward, found, elements).detach()
    truth = model.truth(found, elements)
    first, _ = elements.sizes
    assert torch.equal(~truth[:, first:].isnan(), kept > 0)
    assert truth[:, :first].isnan().all()
    assert (losses[:, first:][kept == 0] == 0).all()


def test_true_boxes_join_the_proposals(model, images):
    found = model.train()(images)
    elements = model.elements(found, Batch.of(images, LABELS))
    last = elements.last()
    for row, boxes in enumerate(LABELS):
        near = last.regions[row][last.matched[row] >= 0].tolist()
        assert all(box[1:].tolist() in near for box in boxes if box[0] > 0)
        at = last.matched[row][last.matched[row] >= 0]
        assert torch.equal(boxes[at, 0].long(), last.labels[row, 0][last.matched[row] >= 0])
    assert (last.labels[1] <= 0).all()
    assert last.labels.shape[2] == 128 + LABELS.shape[1]
    assert (last.labels[:, 0][last.regions[..., 2] <= last.regions[..., 0]] == -1).all()


def test_what_lies_in_a_crowd_counts_nothing(model, images):
    labels = LABELS.clone()
    labels[1, 0] = torch.tensor([-2.0, -64, -64, 128, 128])
    found = model.train()(images)
    elements = model.elements(found, Batch.of(images, labels))
    assert (elements.labels[1] == -1).all()
    assert elements.weight[1].sum() == 0
    assert isinstance(elements, Elements)
    assert model.losses(cross_entropy().forward, found, elements)[1].abs().sum() == 0


def test_outputs_of_eval_mode_say_what_they_are_for(model, images):
    with torch.no_grad():
        outputs = model.eval()(images)
    assert tuple(outputs.shape[1:]) == model.shape_of_outputs
    boxes, p = model.decoded(outputs)
    assert boxes.shape == (3, 64, 10, 4)
    assert p.shape == (3, 64, 10)
    there = outputs[..., 2] > outputs[..., 0]
    assert (p[there].sum(1) < 1).all()
    assert p[~there].abs().sum() == 0
    elements = model.elements(outputs, Batch.of(images, LABELS))
    losses = model.losses(cross_entropy().forward, outputs, elements)
    assert torch.equal(losses > 0, elements.labels[:, 0] >= 0)
    assert torch.equal(model.truth(outputs, elements) > 0, elements.labels[:, 0] >= 0)


def test_published_backbone():
    found = FasterRcnn(shape=(1, 64, 64), outputs=9, backbone="mobilenet_v3_fpn", proposals=20)
    with torch.no_grad():
        outputs = found.eval()(torch.zeros(1, 1, 64, 64))
    assert tuple(outputs.shape[1:]) == found.shape_of_outputs


@pytest.mark.parametrize("setting", ["proposals", "rpn_number"])
def test_settings_are_refused(setting):
    with pytest.raises(ValueError, match=rf"model\.{setting}"):
        FasterRcnn(shape=SHAPE, outputs=OUTPUTS, **{setting: 0})  # pyright: ignore
