"""Faster R-CNN (Ren et al. 2015, https://arxiv.org/abs/1506.01497), in two stages.

`trunk` proposes regions, `head` judges those it is given: what lies between is left to `mining`.
Online hard example mining was invented here (Shrivastava et al. 2016,
https://arxiv.org/abs/1604.03540, sec. 4): a read-only pass of the head over all regions, on shared
features, and a second one over the hardest. torchvision's parts are called one by one; with all
elements taken, the loss is torchvision's own.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import clip_boxes_to_image

from trainer.core.batch import Batch, Elements
from trainer.core.ranges import within
from trainer.model.shared import detectors
from trainer.model.shared.proposed import Proposed, autocast_of
from trainer.task.shared import matching
from trainer.task.shared.detector import Detector, Score

Backbone = Literal["small", "resnet50_fpn", "mobilenet_v3_fpn"]

EDGES = 4
BETA = 1 / 9  # torchvision's smooth L1 changes to a line there


class FasterRcnn(Detector):
    """Regions proposed by a network of their own, and a head that judges each of them.

    Its elements are the anchors of the first stage, of which `rpn_number` random ones are trained
    on in each image, half of them positives at most, and the regions of the second, among which
    the miner chooses: `proposals` in an image and its true boxes. `auto` are the published numbers,
    256 and 2000, or 64 and 128 with `small`. Each stage has its own denominator.

    In eval mode it returns regions, logits and offsets by class, [B, R, 4 + 5C].
    """

    head = "network.roi_heads.box_predictor"

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        outputs: int,
        backbone: Backbone = "small",
        proposals: int | Literal["auto"] = "auto",
        rpn_number: int | Literal["auto"] = "auto",
    ) -> None:
        super().__init__()
        numbers: dict[str, Any] = dict(detectors.SMALL) if backbone == "small" else {}
        for name, value, theirs in (
            ("proposals", proposals, "rpn_post_nms_top_n_train"),
            ("rpn_number", rpn_number, "rpn_batch_size_per_image"),
        ):
            if not isinstance(value, str):
                within(f"model.{name}", value, "[1, inf)")
                numbers |= {theirs: value}
        self.classes = max(2, outputs - EDGES)
        self.network = detectors.two_stages(backbone, shape, self.classes, numbers)
        self.image_size = shape[1], shape[2]
        rpn: Any = self.network.rpn
        self.proposed = dict(rpn._post_nms_top_n)
        self.first_stage = rpn.fg_bg_sampler.batch_size_per_image, 0.5
        self.shape_of_outputs = self.proposed["testing"], EDGES + 5 * self.classes

    def forward(self, images: Tensor) -> Any:
        """[B, C, H, W] → what was proposed, in training with gradients; else [B, R, 4 + 5C]."""
        found = self.trunk(images)
        if self.training and torch.is_grad_enabled():
            return found
        regions = found.proposals
        logits, offsets = self.judge(found, regions)
        rows = torch.cat([torch.cat(regions), logits, offsets], 1)
        return self.padded(rows.split([len(r) for r in regions]), self.proposed["testing"], 0.0)

    def trunk(self, images: Tensor) -> Proposed:
        """Feature maps, the outputs of the first stage and the regions that it proposes."""
        net: Any = self.network
        sizes = [self.image_size] * len(images)
        features = net.backbone(images)
        if isinstance(features, Tensor):
            features = {"0": features}
        maps = list(features.values())
        objectness, offsets = net.rpn.head(maps)
        anchors = net.rpn.anchor_generator(ImageList(images, sizes), maps)
        levels = [level[0].numel() for level in objectness]
        objectness, offsets = concat_box_prediction_layers(objectness, offsets)
        boxes = net.rpn.box_coder.decode(offsets.detach(), anchors).view(len(images), -1, EDGES)
        proposals, _ = net.rpn.filter_proposals(boxes, objectness, sizes, levels)
        return Proposed(
            features,
            anchors[0],
            objectness.view(len(images), -1),
            offsets.view(len(images), -1, EDGES),
            proposals,
            autocast_of(images.device.type),
        )

    def judge(self, found: Proposed, regions: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [r, C] and offsets [r, 4C] of the regions of all images, one after the other."""
        heads: Any = self.network.roi_heads
        sizes = [self.image_size] * len(regions)
        with found.autocast():
            pooled = heads.box_roi_pool(found.features, regions, sizes)
            logits, offsets = heads.box_predictor(heads.box_head(pooled))
        return logits.float(), offsets.float()

    def elements(self, outputs: Tensor, batch: Batch) -> Elements:
        """Anchors and regions [B, A + R]; of outputs in eval mode, the regions alone."""
        boxes = batch.labels[:, 0]
        if not isinstance(outputs, Proposed):
            regions = [row[row[:, 2] > row[:, 0]] for row in outputs[..., :EDGES]]
            return self.regions(batch, boxes, regions, outputs.shape[1])
        edges = [row[row[:, 0] > 0, 1:] for row in boxes]
        heads: Any = self.network.roi_heads
        regions = heads.add_gt_proposals(outputs.proposals, edges)
        most = self.proposed["training"] + boxes.shape[1]
        second = self.regions(batch, boxes, regions, most)
        return self.anchored(batch, boxes, outputs).then(second)

    def anchored(self, batch: Batch, boxes: Tensor, found: Proposed) -> Elements:
        """The anchors of the first stage, whose label is 1 for any object."""
        rpn: Any = self.network.rpn
        anchors = [found.anchors] * len(boxes)
        targets = [{"boxes": row[row[:, 0] > 0, 1:]} for row in boxes]
        kinds, matched = rpn.assign_targets_to_anchors(anchors, targets)
        labels = torch.stack(kinds).long()
        iou = matching.overlaps(found.anchors, boxes)
        crowd = matching.crowded(iou, boxes, found.anchors, rpn.proposal_matcher.high_threshold)
        labels = labels.masked_fill((labels == 0) & crowd, -1)
        wanted = torch.stack(rpn.box_coder.encode(matched, anchors))
        return made(batch, boxes, labels, torch.stack(anchors), wanted, -torch.ones_like(labels))

    def regions(self, batch: Batch, boxes: Tensor, regions: list[Tensor], most: int) -> Elements:
        """The regions [r, 4] of each image, padded to `most`, labelled by boxes [B, N, 5]."""
        heads: Any = self.network.roi_heads
        there = [row[:, 0] > 0 for row in boxes]
        known = [row[mask] for row, mask in zip(boxes, there, strict=True)]
        edges, kinds = [row[:, 1:] for row in known], [row[:, 0].long() for row in known]
        at, labels = heads.assign_targets_to_proposals(regions, edges, kinds)
        padded = self.padded(regions, most, 0.0)
        label = self.padded(labels, most, -1)
        iou = matching.overlaps(padded, boxes)
        crowd = matching.crowded(iou, boxes, padded, heads.proposal_matcher.high_threshold)
        label = label.masked_fill((label == 0) & crowd, -1)
        places = [
            mask.nonzero()[:, 0][i] if bool(mask.any()) else -torch.ones_like(i)
            for mask, i in zip(there, at, strict=True)
        ]
        matched = self.padded(places, most, -1).masked_fill(label <= 0, -1)
        true = matching.edges_of(boxes, matched)
        wanted = torch.stack(heads.box_coder.encode(list(true), list(padded)))
        return made(batch, boxes, label, padded, wanted, matched)

    @staticmethod
    def padded(rows: Any, most: int, fill: float) -> Tensor:
        """Rows [r, ...] of each image, padded to [B, most, ...]."""
        padded = pad_sequence(list(rows), batch_first=True, padding_value=fill)
        room = padded.new_full((len(padded), most - padded.shape[1], *padded.shape[2:]), fill)
        return torch.cat([padded, room], 1)

    def losses(self, score: Score, outputs: Tensor, elements: Elements) -> Tensor:
        """Of each anchor and each region that has a weight, [B, A + R]; of others 0."""
        if not isinstance(outputs, Proposed):
            logits, offsets = self.parts(outputs)
            mask = elements.weight > 0
            return self.judged(score, logits[mask], offsets[mask], elements, mask)[0]
        last = elements.last()
        mask = last.weight > 0
        chosen = [row[own] for row, own in zip(last.regions, mask, strict=True)]
        logits, offsets = self.judge(outputs, chosen)
        second, truth = self.judged(score, logits, offsets, last, mask)
        before = torch.full_like(truth, torch.nan) if outputs.truth is None else outputs.truth
        outputs.truth = torch.where(mask, truth, before)
        return torch.cat([self.proposing(outputs, elements.first()), second], 1)

    def proposing(self, found: Proposed, anchors: Elements) -> Tensor:
        """The loss of each anchor of the first stage, [B, A]: eq. 1 of the paper."""
        labels = anchors.labels[:, 0]
        near = found.objectness
        losses = F.binary_cross_entropy_with_logits(
            near, labels.clamp(min=0).to(near.dtype), reduction="none"
        )
        far = F.smooth_l1_loss(found.offsets, anchors.wanted, beta=BETA, reduction="none").sum(2)
        return losses.masked_fill(labels < 0, 0) + (labels > 0) * far

    def judged(
        self, score: Score, logits: Tensor, offsets: Tensor, regions: Elements, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Losses of the regions in a mask [B, R], and the p of their labels without gradient.

        Of the others 0 and NaN. Logits [r, C] and offsets [r, 4C] are of the regions in the mask.
        """
        labels, wanted = regions.labels[:, 0][mask], regions.wanted[mask]
        row = torch.arange(len(labels), device=labels.device)
        own = offsets.view(len(labels), -1, EDGES)[row, labels.clamp(min=0)]
        far = F.smooth_l1_loss(own, wanted, beta=BETA, reduction="none").sum(1)
        each = score(logits, labels) + (labels > 0) * far
        losses = torch.zeros_like(regions.weight).masked_scatter(mask, each)
        p = logits.detach().softmax(1)[row, labels.clamp(min=0)]
        return losses, torch.full_like(losses.detach(), torch.nan).masked_scatter(mask, p)

    def truth(self, outputs: Tensor, elements: Elements) -> Tensor:
        """The probability of each region's label, [B, E]; NaN for anchors and for the others."""
        labels = elements.labels[:, 0]
        if isinstance(outputs, Proposed):
            judged = outputs.truth
            none = torch.full(labels.shape, torch.nan, device=labels.device)
            return none if judged is None else torch.cat([none[:, : -judged.shape[1]], judged], 1)
        logits, _ = self.parts(outputs)
        p = logits.softmax(2)
        return p.gather(2, labels.clamp(min=0)[..., None])[..., 0] * (labels >= 0)

    def measured(self, elements: Elements) -> tuple[Tensor, Tensor]:
        """The regions that are trained on, without the anchors; the divisor is their number."""
        own = elements.weight > 0
        own = own.index_fill(1, torch.arange(sum(elements.sizes[:-1]), device=own.device), 0)
        return own, own.sum(1)

    def parts(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, R, C] and offsets [B, R, 4C] of outputs in eval mode."""
        _, logits, offsets = outputs.split([EDGES, self.classes, EDGES * self.classes], 2)
        return logits, offsets

    def decoded(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [B, R, C − 1, 4] of each class, clipped to the image, and their probabilities."""
        logits, offsets = self.parts(outputs)
        regions = outputs[..., :EDGES]
        coder: Any = self.network.roi_heads.box_coder
        boxes = coder.decode(offsets.flatten(0, 1), list(regions))
        boxes = clip_boxes_to_image(boxes, self.image_size).view(*logits.shape, EDGES)
        there = regions[..., 2] > regions[..., 0]
        return boxes[:, :, 1:], logits.softmax(2)[..., 1:] * there[..., None]


def made(
    batch: Batch,
    boxes: Tensor,
    labels: Tensor,
    regions: Tensor,
    wanted: Tensor,
    matched: Tensor,
) -> Elements:
    """Elements of one stage, each known one with a weight and a count."""
    known = (labels >= 0).to(batch.weight.dtype)
    return Elements(
        batch.images,
        labels[:, None],
        batch.shares,
        batch.index,
        weight=batch.weight[:, None] * known,
        count=batch.count[:, None] * known,
        boxes=boxes,
        matched=matched,
        wanted=wanted.masked_fill((labels <= 0)[..., None], 0),  # without a box: log 0
        regions=regions,
        sizes=(labels.shape[1],),
    )
