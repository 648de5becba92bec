"""Networks of torchvision's detectors, with random weights: published, or on small maps of ours."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import nn
from torchvision.models import detection
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.ssd import SSD
from torchvision.ops import MultiScaleRoIAlign

from trainer.core.ranges import within
from trainer.model.shared import feature_maps
from trainer.model.shared.library import set_channels

Numbers = Sequence[float] | Literal["auto"]

OURS: dict[str, Callable[[int], feature_maps.FeatureMaps]] = {
    "small": feature_maps.small,
    "resnet18": feature_maps.resnet18,
}
SSDS = {  # torchvision's networks, and the side of the images that their steps are for
    "vgg16": (detection.ssd300_vgg16, 300),
    "mobilenet_v3": (detection.ssdlite320_mobilenet_v3_large, 320),
}
SCALES = {"small": (0.15, 0.22, 0.3)}  # of the anchors, as parts of the side
TWO_STAGES = {
    "resnet50_fpn": detection.fasterrcnn_resnet50_fpn,
    "mobilenet_v3_fpn": detection.fasterrcnn_mobilenet_v3_large_fpn,
}
SMALL: dict[str, Any] = {  # for images of about 64 pixels
    "rpn_pre_nms_top_n_train": 300,
    "rpn_post_nms_top_n_train": 128,
    "rpn_pre_nms_top_n_test": 300,
    "rpn_post_nms_top_n_test": 64,
    "rpn_batch_size_per_image": 64,
}


def ssd(
    backbone: str,
    shape: tuple[int, int, int],
    classes: int,
    scales: Numbers,
    aspect_ratios: Numbers,
) -> SSD:
    """SSD on the maps of a backbone. Raises ValueError for anchors that it cannot have."""
    if backbone in OURS:
        return our_ssd(backbone, shape, classes, scales, aspect_ratios)
    for name, value in {"scales": scales, "aspect_ratios": aspect_ratios}.items():
        if value != "auto":
            raise ValueError(
                f"model.{name}={value} is for model.backbone=small or resnet18; those of "
                f"{backbone} are the published ones, model.{name}=auto"
            )
    return published_ssd(backbone, shape, classes)


def our_ssd(
    backbone: str,
    shape: tuple[int, int, int],
    classes: int,
    scales: Numbers,
    aspect_ratios: Numbers,
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


def published_ssd(backbone: str, shape: tuple[int, int, int], classes: int) -> SSD:
    """Torchvision's SSD300 or SSDlite, with random weights."""
    make, side = SSDS[backbone]
    network = make(weights=None, weights_backbone=None, num_classes=classes)
    set_channels(network, shape[0])
    if shape[1:] != (side, side):
        network.anchor_generator.steps = None  # they are for that size; else from the maps' sizes
    return network


def two_stages(
    backbone: str, shape: tuple[int, int, int], classes: int, numbers: dict[str, Any]
) -> FasterRCNN:
    """The network of torchvision, with random weights."""
    if backbone != "small":
        network = TWO_STAGES[backbone](
            weights=None, weights_backbone=None, num_classes=classes, **numbers
        )
        set_channels(network, shape[0])
        return network
    maps: nn.Module = feature_maps.small_stage(shape[0])
    maps.out_channels = 64  # pyright: ignore[reportArgumentType]  # torchvision asks for it
    return FasterRCNN(
        maps,
        rpn_anchor_generator=AnchorGenerator(((9, 15),), ((1.0, 2.0),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2),
        box_head=TwoMLPHead(64 * 25, 128),
        box_predictor=FastRCNNPredictor(128, classes),
        **numbers,
    )
