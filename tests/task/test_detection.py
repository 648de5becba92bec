"""Detection: images as elements, records of images and objects, runs that stop and resume."""

import numpy as np
import pytest
import torch
from support import digest, fitted, killed, make_run
from torch import Tensor

from trainer import history
from trainer.core.batch import Batch, Elements
from trainer.core.duration import Clock
from trainer.core.errors import ConfigError, Interrupted
from trainer.core.seed import StepId
from trainer.model.mlp import Mlp
from trainer.storage import checkpoint
from trainer.task.detection import Detection
from trainer.task.shared.detector import Detector
from trainer.task.shared.matching import by_object
from trainer.task.shared.suppression import detections

BOXES = (
    *("task=detection", "dataset=digits_canvas", "dataset.target=boxes", "dataset.examples=30"),
    *("dataset.sides=[8,12]", "dataset.val_fraction=0.5", "batch_size=4", "clip=1.0"),
)


class Fixed(Detector):
    """Outputs [B, E, 3] are the logits of background and two classes, of elements given."""

    def __init__(self, labels: Tensor, matched: Tensor) -> None:
        super().__init__()
        self.labels, self.matched = labels, matched
        self.shape_of_outputs = (labels.shape[1], 3)

    def elements(self, outputs: Tensor, batch: Batch) -> Elements:
        known = (self.labels >= 0).float()
        nothing = torch.zeros(*self.labels.shape, 4)
        return Elements(
            batch.images,
            self.labels[:, None],
            batch.shares,
            batch.index,
            weight=known,
            count=(self.labels > 0).float(),
            boxes=batch.labels[:, 0],
            matched=self.matched,
            wanted=nothing,
            regions=nothing,
            sizes=(self.labels.shape[1],),
        )

    def losses(self, score, outputs: Tensor, elements: Elements) -> Tensor:
        return score(outputs.flatten(0, 1), self.labels.flatten()).view_as(self.labels)

    def truth(self, outputs: Tensor, elements: Elements) -> Tensor:
        return outputs.softmax(2).gather(2, self.labels.clamp(min=0)[..., None])[..., 0]

    def measured(self, elements: Elements) -> tuple[Tensor, Tensor]:
        return self.labels >= 0, (self.labels > 0).sum(1)

    def decoded(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        return torch.rand(*self.labels.shape, 4), outputs.softmax(2)[..., 1:]


def test_records_of_images_and_objects_by_hand():
    """The first image has objects with two elements and one, and one with none; a −1 counts not."""
    labels = torch.tensor([[1, 1, 2, 0, -1], [0, 0, 0, 0, 0]])
    matched = torch.tensor([[0, 0, 2, -1, -1], [-1] * 5])
    task = Detection()
    task.bind(Fixed(labels, matched))
    p = torch.tensor([[0.4, 0.2, 0.6, 0.5, 0.9], [0.9, 0.8, 0.3, 0.7, 0.9]])
    rest = ((1 - p) / 2)[..., None].expand(-1, -1, 3).clone()
    outputs = rest.scatter(2, labels.clamp(min=0)[..., None], p[..., None]).log()
    boxes = torch.zeros(2, 3, 5)
    elements = task.elements(outputs, Batch.of(torch.zeros(2, 1, 4, 4), boxes))
    rows, kept, total = task.observed(outputs, torch.ones(2, 5), elements)
    assert total.tolist() == [4, 5]
    assert rows.count.tolist() == [3, 1]  # an image without positives is divided by 1
    assert rows.labels.shape == (2, 1, 3, 5)
    records = task.training_records(kept, rows.labels[:, 0])
    assert records["loss"].tolist() == pytest.approx([4 / 3, 5])
    assert records["confidence"].tolist() == pytest.approx([(0.3 + 0.6) / 2, 0.3])
    of_objects = records["object_confidence"]
    assert of_objects[0, [0, 2]].tolist() == pytest.approx([0.3, 0.6])
    assert of_objects.isnan().sum() == 4
    assert records["object_loss"][0, [0, 2]].tolist() == [1, 1]


def test_elements_that_are_not_judged_have_no_records():
    """As a miner drops regions before the head runs: the second object has no other."""
    labels, matched = torch.tensor([[1, 1, 2, 0, 0]]), torch.tensor([[0, 0, 1, -1, -1]])
    p = torch.tensor([[0.4, torch.nan, torch.nan, 0.8, torch.nan]])

    class Judging(Fixed):
        def truth(self, outputs: Tensor, elements: Elements) -> Tensor:
            return p

        def measured(self, elements: Elements) -> tuple[Tensor, Tensor]:
            return ~p.isnan(), torch.tensor([2])

    model, task = Judging(labels, matched), Detection()
    task.bind(model)
    boxes, outputs = torch.zeros(1, 2, 5), torch.zeros(1, 5, 3)
    elements = task.elements(outputs, Batch.of(torch.zeros(1, 1, 4, 4), boxes))
    rows, kept, _ = task.observed(outputs, torch.tensor([[3.0, 0, 0, 1, 0]]), elements)
    records = task.training_records(kept, rows.labels[:, 0])
    assert records["object_loss"].nan_to_num(-1).tolist() == [[3, -1]]
    assert records["object_confidence"].nan_to_num(-1).tolist() == [[pytest.approx(0.4), -1]]
    assert records["confidence"].tolist() == pytest.approx([0.4])
    model.labels = torch.zeros_like(labels)
    model.matched = -torch.ones_like(matched)
    elements = task.elements(outputs, Batch.of(torch.zeros(1, 1, 4, 4), boxes))
    kept = task.observed(outputs, torch.ones(1, 5), elements)[1]
    assert task.training_records(kept, boxes)["confidence"].tolist() == pytest.approx([0.4])


def test_a_mean_over_the_elements_of_each_object():
    values, matched = torch.tensor([[1.0, 2, 4, 8]]), torch.tensor([[1, 1, -1, 0]])
    assert by_object(values, matched, 3).nan_to_num(-1).tolist() == [[8, 1.5, -1]]


def test_of_overlapping_boxes_of_a_class_the_most_probable_is_found():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]])
    p = torch.tensor([[[0.9, 0.0], [0.8, 0.3], [0.0, 0.05]]])
    found = detections(boxes, p, most=3, score_threshold=0.1, nms_iou=0.5)
    assert found.classes.tolist() == [[1, 2, 0]]
    assert found.scores.tolist() == [[pytest.approx(0.9), pytest.approx(0.3), 0]]
    assert found.boxes[0].tolist() == [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 0, 0]]
    by_class = torch.stack([boxes, boxes + 1], 2)
    found = detections(by_class, p, most=1, score_threshold=0.1, nms_iou=0.5)
    assert found.boxes.tolist() == [[[0, 0, 10, 10]]]
    boxes[0, 0, 2] = 0  # without a width
    flat = detections(boxes, p, most=3, score_threshold=0.1, nms_iou=0.5)
    assert flat.scores.tolist() == [[pytest.approx(0.8), pytest.approx(0.3), 0]]
    most = detections(by_class, p, most=3, score_threshold=0.0, nms_iou=1.0)
    assert most.classes.tolist() == [[1, 1, 2]]
    assert most.boxes[0, 2].tolist() == [1, 1, 11, 10]


@pytest.mark.parametrize("model", ["ssd", "faster_rcnn"])
def test_a_batch_without_boxes_trains_as_background(tmp_path, model):
    """Without positives SSD's loss is 0, as in the paper; regions count as background."""
    run = make_run(tmp_path, *BOXES, f"model={model}", "mining=hard_negative", "device=cpu")
    run.data.train.labels.zero_()
    step = run.assemble_step(Clock(10, 100)).step
    before = [p.detach().clone() for p in run.model.parameters()]
    feed = run.open_feed(run.data.train)
    step(next(iter(feed.batches(run.planner.plan(0)))), StepId(0, 0, 0), 0)
    pairs = zip(before, run.model.parameters(), strict=True)
    moved = any(not torch.equal(b, p) for b, p in pairs)
    assert moved == (model == "faster_rcnn")
    assert step.norm.isfinite()


def test_a_model_without_boxes_is_refused():
    with pytest.raises(ConfigError, match=r"model=mlp finds no boxes, .*take model=ssd"):
        Detection().bind(Mlp(shape=(1, 8, 8), outputs=4))


@pytest.mark.parametrize(
    ("name", "value"), [("max_detections", 0), ("score_threshold", 1.0), ("nms_iou", 0.0)]
)
def test_settings_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"task\.{name}"):
        Detection(**{name: value})


@pytest.mark.parametrize(
    "overrides",
    [("model=ssd", "mining=balanced"), ("model=faster_rcnn", "mining=ohem_two_pass")],
    ids=["ssd", "faster_rcnn"],
)
def test_a_run_that_stops_and_is_killed_ends_bit_for_bit(tmp_path, overrides):
    """It stops after one of its six steps, and is killed within the fifth: it goes on from four."""
    whole = fitted(tmp_path / "whole", *BOXES, *overrides)
    overrides = (*overrides, "checkpoint.every=2st")
    with pytest.raises(Interrupted):
        fitted(tmp_path / "parts", *BOXES, *overrides, stop_after=0)
    killed(tmp_path / "parts", *BOXES, *overrides, after=2)
    assert checkpoint.steps(tmp_path / "parts" / "checkpoints")[0] == 4
    assert digest(fitted(tmp_path / "parts", *BOXES, *overrides)) == digest(whole)
    own = history.open(tmp_path / "whole")
    assert own.boxes is not None
    there = own.boxes[own.ids, :, 0] > 0
    found = own.objects["object_confidence"][:, own.ids]
    assert found.shape == (2, *there.shape)
    assert np.isfinite(found[:, there]).mean() > 0.9  # a box may lose its best anchor to another
    assert np.isnan(found[:, ~there]).all()
    assert np.isfinite(own["loss"]).all()
    assert ((own["confidence"] > 0) & (own["confidence"] <= 1)).all()
