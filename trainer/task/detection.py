"""Detection: boxes float [B, N, 5], found by a model that says what its outputs mean."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from trainer.core.batch import Batch, Elements
from trainer.core.errors import ConfigError
from trainer.core.option import option_of
from trainer.core.ranges import within
from trainer.dataset import Data
from trainer.dataset.shared.boxes import MIN_VISIBLE
from trainer.task.base import Report, Score, Task, Values
from trainer.task.shared import suppression
from trainer.task.shared.average_precision import PrecisionRecall, box_records
from trainer.task.shared.detections import Detections
from trainer.task.shared.detector import Detector
from trainer.task.shared.matching import by_object

LEARNED = 0.95  # mean average precision at an IoU of 0.5 of a model that has memorised its examples
UNKNOWN = -1  # label of an element that counts nothing
EDGES = 4


class Detection(Task):
    """Any number of boxes in an image, each with a class.

    A model's outputs and an image's boxes become elements (anchors, regions), each with a label:
    what the loss is computed of and a miner chooses among. The loss of an element is that of its
    class, by `loss=`, and for a positive the model's own loss of the box.

    At most `max_detections` are found in an image: those with a probability of `score_threshold` or
    more, and no more probable box of their class with an IoU above `nms_iou`.

    A box of which an augmentation leaves less than `min_visible` in the image counts nothing. The
    best weights are those with the highest `monitor`, unless `checkpoint.monitor` is set.
    """

    targets = ("boxes",)
    scores = ()
    fields = ("confidence",)
    tracked: ClassVar = {"confidence": "confidence"}
    ignore_index = UNKNOWN
    elementwise = True

    def __init__(
        self,
        *,
        max_detections: int = 100,
        score_threshold: float = 0.01,
        nms_iou: float = 0.5,
        min_visible: float = MIN_VISIBLE,
        monitor: str = "val/map",
    ) -> None:
        within("task.max_detections", max_detections, "[1, inf)")
        within("task.score_threshold", score_threshold, "[0, 1)")
        within("task.nms_iou", nms_iou, "(0, 1]")
        within("task.min_visible", min_visible, "[0, 1]")
        self.max_detections = max_detections
        self.score_threshold = score_threshold
        self.nms_iou = nms_iou
        self.min_visible = min_visible
        self.monitor = monitor
        self.detector: Detector | None = None

    def bind(self, model: nn.Module) -> None:
        """Receive the detector. Raises ConfigError for a model that finds no boxes."""
        if not isinstance(model, Detector):
            raise ConfigError(
                f"model={option_of(model)} finds no boxes, which task=detection needs; "
                "take model=ssd"
            )
        self.detector = model

    @property
    def model(self) -> Detector:
        """The detector. Raises RuntimeError before `bind`."""
        if self.detector is None:
            raise RuntimeError("the task has no model yet: call bind(model)")
        return self.detector

    @property
    def first_stage(self) -> tuple[int, float]:
        """What the detector says."""
        return self.model.first_stage

    def outputs(self, data: Data) -> int:
        """A logit for each class and one for the background, and the four edges of a box."""
        return 1 + len(data.classes) + EDGES

    def shape(self, data: Data) -> tuple[int, ...]:
        """The shape of the model's outputs; before there is one, that of outputs for no anchor."""
        return (0, self.outputs(data)) if self.detector is None else self.model.shape_of_outputs

    def elements(self, outputs: Tensor, batch: Batch) -> Elements:
        """The anchors or regions of the images, [B, E]."""
        return self.model.elements(outputs, batch)

    def losses(self, score: Score, outputs: Tensor, batch: Batch) -> Tensor:
        """The losses [B, E] of elements."""
        return self.model.losses(score, outputs, elements_of(batch))

    def counts(self, denominator: Values, batch: Batch) -> Tensor:
        """What each image adds to the denominator, [B], as `observed` has it."""
        return batch.count

    @torch.no_grad()
    def observed(
        self, outputs: Tensor, losses: Tensor, batch: Batch
    ) -> tuple[Batch, Tensor, Tensor]:
        """Records [B, 2 + 2N] and the loss [B] of each image; its count is the loss's divisor."""
        own = elements_of(batch)
        total, divisor = self.by_image(losses.detach(), own)
        records = self.parts(outputs.detach(), losses.detach(), own, total / divisor)
        one = torch.ones_like(total)
        rows = Batch(own.images, own.boxes[:, None], own.shares, own.index, one, divisor)
        return rows, records, total

    def by_image(self, losses: Tensor, elements: Elements) -> tuple[Tensor, Tensor]:
        """The sum of an image's losses [B, E], and what it is divided by, each [B]."""
        mask, number = self.model.measured(elements)
        return losses.masked_fill(~mask, 0).sum(1), number.clamp(min=1).to(losses.dtype)

    def parts(self, outputs: Tensor, losses: Tensor, elements: Elements, loss: Tensor) -> Tensor:
        """Of each image loss and confidence, then confidence and loss of its objects, [B, 2 + 2N].

        The confidence of an object is the mean p_y of the elements that are matched with it, that
        of an image the mean over its objects; without any, the least p that an element gives to the
        background. Elements that the model has not judged, since the miner dropped them, have no
        p_y and no loss.
        """
        number = elements.boxes.shape[1]
        truth = self.model.truth(outputs, elements)
        judged = ~truth.isnan()
        matched = elements.matched.masked_fill(~judged, -1)
        confidence = by_object(truth.nan_to_num(), matched, number)
        background = judged & (elements.labels[:, 0] == 0)
        empty = truth.masked_fill(~background, 1.0).amin(1)
        mean = confidence.nanmean(1)
        mean = torch.where(mean.isnan(), empty, mean)
        measured, _ = self.model.measured(elements)
        objects = by_object(losses, elements.matched.masked_fill(~measured, -1), number)
        return torch.cat([loss[:, None], mean[:, None], confidence, objects], 1)

    def judged(
        self, score: Score, denominator: Values, outputs: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss of each image, [B, 1], and its divisor."""
        elements = self.elements(outputs, Batch.of(outputs, labels))
        total, divisor = self.by_image(self.losses(score, outputs, elements), elements)
        return total[:, None], divisor[:, None]

    def score(self, name: str, outputs: Tensor, labels: Tensor) -> Tensor:
        """There is no score but the loss. Raises ValueError."""
        raise ValueError(f"boxes have no score {name}")

    def training_records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss and confidence of each image, [B], and of its objects, [B, N]: see `observed`."""
        confidence, losses = outputs[:, 2:].chunk(2, 1)
        of_objects = {"object_loss": losses, "object_confidence": confidence}
        return {"loss": outputs[:, 0], "confidence": outputs[:, 1], **of_objects}

    def found(self, outputs: Tensor) -> Detections:
        """The boxes that outputs [B, ...] of eval mode have, `max_detections` an image."""
        return suppression.detections(
            *self.model.decoded(outputs),
            most=self.max_detections,
            score_threshold=self.score_threshold,
            nms_iou=self.nms_iou,
        )

    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What was found and whether it is right, of `max_detections` boxes: see `box_records`.

        And the `confidence` [B] of each image.
        """
        if self.detector is None:
            found = suppression.empty(len(outputs), self.max_detections, outputs)
            confidence = outputs.new_zeros(len(outputs))
        else:
            found = self.found(outputs)
            elements = self.elements(outputs, Batch.of(outputs, labels))
            nothing = torch.zeros_like(elements.weight)
            confidence = self.parts(outputs, nothing, elements, nothing[:, 0])[:, 1]
        return {"confidence": confidence, **box_records(found, labels)}

    def metrics(self, records: dict[str, Tensor]) -> dict[str, float]:
        """COCO's mean average precision over the classes that have a box."""
        names = records["classes"].amax(), records["objects"][..., 0].amax()
        number = max(1, *(int(name) for name in names))
        return PrecisionRecall.of_records(records, number).metrics()

    def report(
        self, outputs: Tensor, records: dict[str, Tensor], classes: tuple[str, ...]
    ) -> Report:
        """Average precision by area, average recall, and both of each class."""
        measured = PrecisionRecall.of_records(records, len(classes))
        return Report(measured.details(), measured.by_class(classes))

    def learned(self, metrics: dict[str, float]) -> bool:
        """Whether the average precision at an IoU of 0.5 is at least 0.95."""
        return metrics["map_50"] >= LEARNED


def elements_of(batch: Batch) -> Elements:
    """The batch as elements. Raises TypeError for one of images."""
    if not isinstance(batch, Elements):
        raise TypeError("detection computes losses of elements: see Task.elements")
    return batch
