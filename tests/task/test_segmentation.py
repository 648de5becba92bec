import math

import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from trainer.task.classification import Classification
from trainer.task.segmentation import Segmentation

TASK = Segmentation()
RNG = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(6, 5, 7, 8, generator=RNG)
MASKS = torch.randint(0, 5, (6, 7, 8), generator=RNG)
IGNORED = torch.rand(6, 7, 8, generator=RNG) < 0.2


def logits_of(prediction: torch.Tensor, classes: int) -> torch.Tensor:
    """Logits [B, C, H, W] whose maximum is at the classes [B, H, W]."""
    return 3.0 * torch.nn.functional.one_hot(prediction, classes).movedim(-1, 1)


def test_iou_by_hand():
    """IoU 2/4 of class 0, 1/3 of class 1; class 2 is absent; 255 is ignored."""
    labels = torch.tensor([[[0, 0, 1], [1, 0, 255]]])
    prediction = torch.tensor([[[0, 0, 1], [0, 1, 1]]])
    records = TASK.records(logits_of(prediction, 3), labels)
    assert records["pixels"].tolist() == [5]
    assert records["intersection"].tolist() == [[2, 1, 0]]
    assert records["union"].tolist() == [[4, 3, 0]]
    assert records["pixel_accuracy"].item() == pytest.approx(3 / 5)
    assert records["iou"].item() == pytest.approx((2 / 4 + 1 / 3) / 2)
    metrics = TASK.metrics(records)
    assert metrics == {"accuracy": pytest.approx(3 / 5), "mean_iou": pytest.approx(5 / 12)}
    assert metrics["mean_iou"] != pytest.approx(5 / 18), "an absent class does not count as 0"


def test_mean_iou_sums_over_the_split_before_dividing():
    """One image has 1 of 1 pixel correct, the other 0 of 3: not the mean of the two images."""
    labels = torch.tensor([[[0, 255, 255]], [[0, 0, 0]]])
    prediction = torch.tensor([[[0, 0, 0]], [[1, 1, 1]]])
    records = TASK.records(logits_of(prediction, 2), labels)
    assert records["iou"].tolist() == [1, 0]
    assert TASK.metrics(records) == {"accuracy": 1 / 4, "mean_iou": 1 / 8}  # 1/4 and 0/3


def test_ignored_pixels_are_in_no_metric():
    labels = torch.full((1, 2, 2), 255)
    records = TASK.records(LOGITS[:1, :, :2, :2], labels)
    assert records["pixels"].tolist() == [0]
    assert records["confidence"].isnan().all()
    assert records["iou"].isnan().all()
    assert all(math.isnan(value) for value in TASK.metrics(records).values())
    more = TASK.records(LOGITS[:, :, :2, :2], MASKS[:, :2, :2])
    both = {name: torch.cat([more[name], records[name]]) for name in more}
    assert TASK.metrics(both) == TASK.metrics(more)


@pytest.mark.parametrize("classes", [5, 7], ids=["all occur", "two absent"])
def test_against_torchmetrics(classes):
    """It leaves out absent classes, too, and sums over batches."""
    masks = MASKS.masked_fill(IGNORED, 255)
    logits = torch.cat([LOGITS, torch.full((6, classes - 5, 7, 8), -9.0)], 1)
    reference = MulticlassJaccardIndex(num_classes=classes, average="macro", ignore_index=255)
    parts = []
    for rows in (slice(0, 4), slice(4, 6)):
        parts.append(TASK.records(logits[rows], masks[rows]))
        reference.update(logits[rows], masks[rows])
    metrics = TASK.metrics({k: torch.cat([p[k] for p in parts]) for k in parts[0]})
    assert metrics["mean_iou"] == pytest.approx(reference.compute().item())
    accuracy = (logits.argmax(1) == MASKS)[~IGNORED].float().mean().item()
    assert metrics["accuracy"] == pytest.approx(accuracy)


def test_ignore_index_can_be_another_label_or_none():
    masks = MASKS.masked_fill(IGNORED, 0)
    background = Segmentation(ignore_index=0).records(LOGITS, masks)
    expected = TASK.records(LOGITS, masks.masked_fill(masks == 0, 255))
    assert all(torch.equal(background[name], expected[name]) for name in expected)
    whole = Segmentation(ignore_index=None).records(LOGITS, MASKS)
    assert whole["pixels"].tolist() == [56] * 6
    with pytest.raises(ValueError, match=r"task\.ignore_index must be in \[0, 255\], got 256"):
        Segmentation(ignore_index=256)


@pytest.mark.parametrize("name", TASK.scores)
def test_pixels_are_scored_like_examples_of_classification(name):
    masks = MASKS.masked_fill(IGNORED, 255)
    scores = TASK.score(name, LOGITS, masks)
    rows = LOGITS.movedim(1, -1)[~IGNORED]
    expected = Classification().score(name, rows, MASKS[~IGNORED])
    torch.testing.assert_close(scores[~IGNORED], expected)
    assert (scores[IGNORED] <= expected.min()).all(), "no harder than any counted pixel"


def test_confidence_is_the_mean_over_counted_pixels():
    p = torch.tensor([[[[0.9, 0.6, 0.5]], [[0.1, 0.4, 0.5]]]])
    records = TASK.records(p.log(), torch.tensor([[[0, 1, 255]]]))
    assert records["confidence"].item() == pytest.approx((0.9 + 0.4) / 2)
