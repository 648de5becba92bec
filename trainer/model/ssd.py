"""SSD, the single shot multibox detector (Liu et al. 2016, https://arxiv.org/abs/1512.02325).

torchvision's parts, called one by one: outputs are a tensor, and which of the anchors count is left
to `mining`. With all of them, and torchvision's hard negatives, the loss is torchvision's own.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection._utils import encode_boxes
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import clip_boxes_to_image

from trainer.core.batch import Batch, Elements
from trainer.core.forward import evaluating
from trainer.core.ranges import within
from trainer.model.shared import detectors
from trainer.task.shared import matching
from trainer.task.shared.detector import Detector, Score

Backbone = Literal["small", "resnet18", "vgg16", "mobilenet_v3"]

EDGES = 4


class Ssd(Detector):
    """Logits and box offsets of each of A anchors, from maps of several resolutions.

    `scales` are the sides of the square anchors, as parts of the image's, one for each map and one
    beyond; at each place there are two squares, and two boxes for each of `aspect_ratios`. `auto`
    are the published ones, for `small` those of objects of a sixth to a third of the side.

    An anchor is positive if it is the best of a true box, or has an IoU of `match_iou` with one; it
    counts nothing where so much of it lies in a crowd. (Sec. 2.2.) The loss is that of the class
    and, of a positive, smooth L1 of its offsets; the mean is over the positives.
    """

    head = "network.head"
    anchors: Tensor  # [A, 4] in pixels
    coding: Tensor  # [4], of offsets; torchvision's coder copies them to the device at each call

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        outputs: int,
        backbone: Backbone = "small",
        scales: Sequence[float] | Literal["auto"] = "auto",
        aspect_ratios: Sequence[float] | Literal["auto"] = "auto",
        match_iou: float = 0.5,
    ) -> None:
        super().__init__()
        within("model.match_iou", match_iou, "(0, 1]")
        self.classes = max(1, outputs - EDGES)
        self.match_iou = match_iou
        self.network = detectors.ssd(backbone, shape, self.classes, scales, aspect_ratios)
        self.register_buffer("anchors", self.place(shape, backbone), persistent=False)
        coding = torch.tensor(self.network.box_coder.weights)
        self.register_buffer("coding", coding, persistent=False)
        self.image_size = shape[1], shape[2]
        self.shape_of_outputs = len(self.anchors), self.classes + EDGES

    @torch.no_grad()
    def place(self, shape: tuple[int, int, int], backbone: str) -> Tensor:
        """The anchors [A, 4]. Raises ValueError for images that the network cannot take."""
        images = torch.zeros(1, *shape)
        try:
            with evaluating(self.network):
                maps = list(self.network.backbone(images).values())
        except RuntimeError as error:
            size = "x".join(map(str, shape[1:]))
            raise ValueError(
                f"model.backbone={backbone} does not accept images of {size}; take "
                "model.backbone=small or larger images"
            ) from error
        return self.network.anchor_generator(ImageList(images, [(shape[1], shape[2])]), maps)[0]

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, A, classes + 4], the background's logit first, then the offsets."""
        found = self.network.head(list(self.network.backbone(images).values()))
        return torch.cat([found["cls_logits"], found["bbox_regression"]], 2)

    def elements(self, outputs: Tensor, batch: Batch) -> Elements:
        """The anchors [B, A]; every one that is known has a weight, and a positive counts."""
        boxes = batch.labels[:, 0]
        iou = matching.overlaps(self.anchors, boxes)
        best, at = matching.best_boxes(iou, boxes)
        own = matching.forced(iou, boxes)
        matched = torch.where(own >= 0, own, at.masked_fill(best < self.match_iou, -1))
        unknown = matching.crowded(iou, boxes, self.anchors, self.match_iou)
        labels = matching.labelled(boxes, matched, unknown)
        return Elements(
            batch.images,
            labels[:, None],
            batch.shares,
            batch.index,
            weight=batch.weight[:, None] * (labels >= 0),
            count=batch.count[:, None] * (labels > 0),
            boxes=boxes,
            matched=matched,
            wanted=self.offsets(matching.edges_of(boxes, matched), matched >= 0),
            regions=self.anchors.expand(len(boxes), -1, -1),
            sizes=(len(self.anchors),),
        )

    def offsets(self, edges: Tensor, there: Tensor) -> Tensor:
        """What the offsets of the anchors should be for boxes [B, A, 4], 0 where there is none."""
        anchors = self.anchors.repeat(len(edges), 1)
        wanted = encode_boxes(edges.reshape(-1, 4), anchors, self.coding)
        return wanted.view_as(edges).masked_fill(~there[..., None], 0)

    def losses(self, score: Score, outputs: Tensor, elements: Elements) -> Tensor:
        """Eq. 1 and 2 for each anchor, [B, A]."""
        logits, offsets = outputs.split([self.classes, EDGES], 2)
        labels = elements.labels[:, 0]
        losses = score(logits.reshape(-1, self.classes), labels.reshape(-1)).view_as(labels)
        far = F.smooth_l1_loss(offsets, elements.wanted, reduction="none").sum(2)
        return losses + (labels > 0) * far

    def truth(self, outputs: Tensor, elements: Elements) -> Tensor:
        """The probability of each anchor's label, [B, A]."""
        labels = elements.labels[:, 0].clamp(min=0)
        logits = outputs[..., : self.classes]
        return (logits.gather(2, labels[..., None])[..., 0] - logits.logsumexp(2)).exp()

    def measured(self, elements: Elements) -> tuple[Tensor, Tensor]:
        """All anchors that are known; the divisor is the number of positives."""
        labels = elements.labels[:, 0]
        return labels >= 0, (labels > 0).sum(1)

    def decoded(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [B, A, 4], clipped to the image, and probabilities [B, A, classes]."""
        logits, offsets = outputs.split([self.classes, EDGES], 2)
        anchors = self.anchors.repeat(len(outputs), 1)
        boxes = self.network.box_coder.decode_single(offsets.reshape(-1, 4), anchors)
        boxes = clip_boxes_to_image(boxes, self.image_size)
        return boxes.view_as(offsets), logits.softmax(2)[..., 1:]
