"""SSD, the single shot multibox detector (Liu et al. 2016, https://arxiv.org/abs/1512.02325).

torchvision's parts, called one by one: outputs are a tensor, and which of the anchors count is left
to `mining`. With all of them, and torchvision's hard negatives, the loss is torchvision's own.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.ops import clip_boxes_to_image

from trainer.core.batch import Batch, Elements
from trainer.core.forward import evaluating
from trainer.core.ranges import within
from trainer.model.shared import feature_maps
from trainer.model.shared.library import set_channels
from trainer.task.shared import matching
from trainer.task.shared.detector import Detector, Score

Backbone = Literal["small", "resnet18", "vgg16", "mobilenet_v3"]

OURS: dict[str, Callable[[int], feature_maps.FeatureMaps]] = {
    "small": feature_maps.small,
    "resnet18": feature_maps.resnet18,
}
PUBLISHED = {  # torchvision's networks, and the side of the images that their steps are for
    "vgg16": (detection.ssd300_vgg16, 300),
    "mobilenet_v3": (detection.ssdlite320_mobilenet_v3_large, 320),
}
SCALES = {"small": (0.15, 0.22, 0.3)}  # parts of the side; two digits of 10 to 18 of 64 pixels
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
        own = backbone in OURS
        make = our_network if own else published_network
        self.network = make(backbone, shape, self.classes, scales, aspect_ratios)
        self.register_buffer("anchors", self.place(shape, backbone), persistent=False)
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
        wanted = self.network.box_coder.encode_single(edges.reshape(-1, 4), anchors)
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


def our_network(
    backbone: str,
    shape: tuple[int, int, int],
    classes: int,
    scales: Sequence[float] | Literal["auto"],
    aspect_ratios: Sequence[float] | Literal["auto"],
) -> SSD:
    """SSD on our own feature maps. Raises ValueError for scales that are not one for each map."""
    maps = OURS[backbone](shape[0])
    number = len(maps.out_channels)
    chosen = SCALES.get(backbone) if scales == "auto" else scales
    if chosen is not None:
        within("model.scales", list(chosen), "(0, 1]")
        if len(chosen) != number + 1:
            raise ValueError(
                f"model.scales must be {number + 1} numbers, one for each map of "
                f"model.backbone={backbone} and one beyond, got {list(chosen)}"
            )
    ratios = [2.0] if aspect_ratios == "auto" else list(aspect_ratios)
    within("model.aspect_ratios", ratios, "(1, inf)")
    boxes = DefaultBoxGenerator(
        [ratios] * number,  # pyright: ignore[reportArgumentType]  # any numbers
        scales=None if chosen is None else list(chosen),
    )
    return SSD(maps, boxes, (shape[1], shape[2]), classes)


def published_network(
    backbone: str,
    shape: tuple[int, int, int],
    classes: int,
    scales: Sequence[float] | Literal["auto"],
    aspect_ratios: Sequence[float] | Literal["auto"],
) -> SSD:
    """Torchvision's SSD300 or SSDlite, with random weights. Raises ValueError for other anchors."""
    for name, value in {"scales": scales, "aspect_ratios": aspect_ratios}.items():
        if value != "auto":
            raise ValueError(
                f"model.{name}={value} is for model.backbone=small or resnet18; those of "
                f"{backbone} are the published ones, model.{name}=auto"
            )
    make, side = PUBLISHED[backbone]
    network = make(weights=None, weights_backbone=None, num_classes=classes)
    set_channels(network, shape[0])
    if shape[1:] != (side, side):
        network.anchor_generator.steps = None  # they are for that size; else from the maps' sizes
    return network
