"""SSD: its matching and its loss are torchvision's own; its anchors, its refusals."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import box_iou

from trainer.core.batch import Batch, Elements, mean_loss, only
from trainer.loss.cross_entropy import CrossEntropy
from trainer.loss.focal import Focal
from trainer.mining.hard_negative import HardNegative
from trainer.model.ssd import Ssd
from trainer.task.detection import UNKNOWN

SHAPE, OUTPUTS = (1, 64, 64), 15  # ten classes, background, four edges
LABELS = torch.zeros(3, 3, 5)  # the last image is empty
LABELS[:2, 0] = torch.tensor([3.0, 5, 5, 17, 20])
LABELS[0, 1] = torch.tensor([7.0, 30, 30, 45, 46])


@pytest.fixture(scope="module")
def model() -> Ssd:
    torch.manual_seed(0)
    return Ssd(shape=SHAPE, outputs=OUTPUTS)


@pytest.fixture(scope="module")
def outputs(model: Ssd) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.rand(3, *SHAPE))


def elements_of(model: Ssd, outputs: torch.Tensor, labels: torch.Tensor) -> Elements:
    return model.elements(outputs, Batch.of(torch.zeros(len(labels), *SHAPE), labels))


def cross_entropy() -> CrossEntropy:
    loss = CrossEntropy()
    loss.ignore(UNKNOWN)
    return loss


def theirs(model: Ssd, outputs: torch.Tensor, labels: torch.Tensor) -> tuple[dict, list]:
    """torchvision's loss, and its matches of each image's anchors."""
    boxes = [row[row[:, 0] > 0] for row in labels]
    targets = [{"boxes": b[:, 1:], "labels": b[:, 0].long()} for b in boxes]
    anchors = model.anchors
    nothing = torch.full((len(anchors),), -1)
    matches = [
        model.network.proposal_matcher(box_iou(t["boxes"], anchors)) if len(t["boxes"]) else nothing
        for t in targets
    ]
    heads = {"cls_logits": outputs[..., :-4], "bbox_regression": outputs[..., -4:]}
    return model.network.compute_loss(targets, heads, [anchors] * len(boxes), matches), matches


def test_positives_are_torchvisions(model, outputs):
    _, matches = theirs(model, outputs, LABELS)
    own = elements_of(model, outputs, LABELS)
    assert torch.equal(own.matched, torch.stack(matches))
    assert own.count.sum() > 10
    assert torch.equal(own.weight, torch.ones_like(own.weight))


def test_loss_with_torchvisions_hard_negatives_is_torchvisions(model, outputs):
    """Its rank is the class loss of the negatives, which is all that a negative has."""
    parts, _ = theirs(model, outputs, LABELS)
    own = elements_of(model, outputs, LABELS)
    losses = model.losses(cross_entropy().forward, outputs, own)
    held = HardNegative(ratio=3.0, min_kept=0).weigh(losses, own, None)  # pyright: ignore
    assert mean_loss(losses, held).item() == pytest.approx(float(sum(parts.values())), rel=1e-5)


def test_loss_of_all_anchors_by_hand(model, outputs):
    own = elements_of(model, outputs, LABELS)
    losses = model.losses(cross_entropy().forward, outputs, own)
    labels, positive = own.labels[:, 0], own.labels[:, 0] > 0
    classes = F.cross_entropy(outputs[..., :-4].flatten(0, 1), labels.flatten(), reduction="sum")
    edges = LABELS[0, 0, 1:]
    anchor = model.anchors[own.matched[1] >= 0]
    size, centre = anchor[:, 2:] - anchor[:, :2], (anchor[:, 2:] + anchor[:, :2]) / 2
    middle = ((edges[2:] + edges[:2]) / 2 - centre) / size * 10
    offsets = torch.cat([middle, ((edges[2:] - edges[:2]) / size).log() * 5], 1)
    assert torch.allclose(own.wanted[1][own.matched[1] >= 0], offsets, atol=1e-5)
    boxes = F.smooth_l1_loss(outputs[..., -4:][positive], own.wanted[positive], reduction="sum")
    total = (classes + boxes) / positive.sum()
    assert mean_loss(losses, own).item() == pytest.approx(total.item(), rel=1e-5)


def test_two_boxes_with_one_best_anchor_have_a_fixed_winner(model, outputs):
    """The later has it, and the earlier what else it overlaps enough."""
    labels = torch.zeros(1, 2, 5)
    labels[0, 0] = torch.tensor([1.0, 20, 20, 20.5, 20.5])  # overlaps no anchor by half
    labels[0, 1] = torch.tensor([2.0, 20, 20, 20.4, 20.4])
    for order in ([0, 1], [1, 0]):
        own = elements_of(model, outputs[:1], labels[:, order])
        assert own.matched.max() == 1
        assert (own.matched >= 0).sum() == 1


def test_what_lies_in_a_crowd_counts_nothing(model, outputs):
    labels = LABELS[:1].clone()
    labels[0, 2] = torch.tensor([-7.0, -64, -64, 128, 128])  # anchors reach beyond images
    own = elements_of(model, outputs[:1], labels)
    plain = elements_of(model, outputs[:1], LABELS[:1])
    assert torch.equal(own.labels > 0, plain.labels > 0)
    assert torch.equal(own.labels == -1, plain.labels == 0)
    losses = model.losses(cross_entropy().forward, outputs[:1], own)
    assert torch.equal(losses > 0, own.labels[:, 0] > 0)
    assert own.weight.sum() == own.count.sum() == (own.labels > 0).sum()


def test_an_image_without_boxes_has_negatives_alone(model, outputs):
    own = elements_of(model, outputs[2:], LABELS[2:])
    losses = model.losses(cross_entropy().forward, outputs[2:], own)
    assert own.labels.max() == 0
    share = own.weight / own.each(own.totals())
    assert (share * losses).sum() == 0  # the paper's loss without positives
    held = HardNegative().weigh(losses, own, None)  # pyright: ignore
    assert held.weight.sum() == 1
    assert held.count.sum() == 0


def test_focal_is_a_loss_of_the_class(model, outputs):
    """With γ = 0 it is cross entropy."""
    focal = Focal(gamma=0.0)
    focal.ignore(UNKNOWN)
    own = elements_of(model, outputs, LABELS)
    values = [model.losses(loss.forward, outputs, own) for loss in (focal, cross_entropy())]
    assert torch.allclose(*values, atol=1e-5)


def test_decoded_boxes_are_those_that_the_offsets_are_for(model):
    own = elements_of(model, torch.zeros(3, *model.shape_of_outputs), LABELS)
    outputs = torch.cat([torch.zeros(3, len(model.anchors), 11), own.wanted], 2)
    boxes, p = model.decoded(outputs)
    there = own.matched[1] >= 0
    assert torch.allclose(boxes[1][there], LABELS[1, 0, 1:].expand(int(there.sum()), 4), atol=1e-4)
    assert torch.allclose(p, torch.full_like(p, 1 / 11))


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"scales": [0.1, 0.2]}, "model.scales must be 3 numbers"),
        ({"backbone": "vgg16", "scales": [0.1]}, "model.scales"),
        ({"match_iou": 0.0}, "model.match_iou"),
        ({"aspect_ratios": [0.5]}, "model.aspect_ratios"),
    ],
)
def test_settings_are_refused(settings, wrong):
    with pytest.raises(ValueError, match=wrong):
        Ssd(shape=SHAPE, outputs=OUTPUTS, **settings)


@pytest.mark.parametrize(("backbone", "side"), [("resnet18", 96), ("mobilenet_v3", 320)])
def test_backbones(backbone, side):
    model = Ssd(shape=(1, side, side), outputs=OUTPUTS, backbone=backbone).eval()
    with torch.no_grad():
        outputs = model(torch.zeros(1, 1, side, side))
    assert tuple(outputs.shape[1:]) == model.shape_of_outputs == (len(model.anchors), OUTPUTS)


def test_only_drops_weight_and_count(model, outputs):
    own = elements_of(model, outputs, LABELS)
    none = only(own, torch.zeros_like(own.weight, dtype=torch.bool))
    assert isinstance(none, Elements)
    assert none.weight.sum() == none.count.sum() == 0
