"""COCO's average precision: by hand, against faster-coco-eval, and in parts."""

import contextlib
import io
import math

import pytest
import torch
from torch import Tensor

from trainer.task.shared.average_precision import (
    HIT,
    MISS,
    NOTHING,
    PrecisionRecall,
    box_records,
    judged,
)
from trainer.task.shared.detections import Detections

NAMES = (
    *("map", "map_50", "map_75", "map_small", "map_medium", "map_large"),
    *("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large"),
)
CLASSES = 5  # of which the last is in no image


def detections(rows: list[list[list[float]]]) -> Detections:
    """Detections of rows class, x0, y0, x1, y1, score for each image, of equal numbers."""
    values = torch.tensor(rows)
    return Detections(values[..., 1:5], values[..., 5], values[..., 0].long())


def evaluated(found: Detections, labels: Tensor, classes: int = CLASSES) -> PrecisionRecall:
    verdict = judged(found, labels)
    return PrecisionRecall.of(found.scores, found.classes, verdict, labels, classes)


def numbers(measured: PrecisionRecall) -> dict[str, float]:
    """COCO's twelve numbers."""
    return measured.metrics() | measured.details()


def verdicts(found: Detections, labels: Tensor, area: int = 0) -> list[int]:
    """What the detections of the first image are, at a threshold of 0.5."""
    return judged(found, labels)[0, :, area, 0].tolist()


BOX = [10.0, 10, 50, 50]
LOOSE = [10.0, 10, 50, 70]  # intersection over union of 2 / 3


def test_the_better_score_takes_a_box_and_the_other_is_a_miss() -> None:
    found = detections([[[1, *LOOSE, 0.9], [1, *BOX, 0.8], [0, *BOX, 0]]])
    labels = torch.tensor([[[1, *BOX]]])
    assert verdicts(found, labels) == [HIT, MISS, NOTHING]
    measured = evaluated(found, labels, 1)
    # At thresholds up to 0.65 the first is a hit. From 0.7 it is a miss, and precision is 1 / 2.
    assert measured.metrics()["map"] == pytest.approx((4 * 1 + 6 * 0.5) / 10)
    assert measured.metrics()["map_50"] == pytest.approx(1)
    assert measured.metrics()["map_75"] == pytest.approx(0.5)
    assert numbers(measured)["mar_1"] == pytest.approx(0.4)
    assert numbers(measured)["mar_10"] == pytest.approx(1)


def test_what_lies_in_a_crowd_counts_nothing_and_a_box_is_preferred_to_it() -> None:
    crowd = [0.0, 0, 90, 90]
    found = detections([[[1, *BOX, 0.9], [1, *LOOSE, 0.8], [1, 20, 20, 30, 30, 0.7]]])
    assert verdicts(found, torch.tensor([[[-1, *crowd], [1, *BOX]]])) == [HIT, NOTHING, NOTHING]
    assert verdicts(found, torch.tensor([[[-2, *crowd], [1, *BOX]]])) == [HIT, MISS, MISS]


def test_boxes_outside_the_range_of_areas_count_nothing() -> None:
    """A box of 1,600 pixels is medium: for the small ones, neither it nor what takes it counts."""
    found = detections([[[1, *BOX, 0.9], [1, 60, 60, 90, 99, 0.8], [1, 60, 60, 70, 70, 0.7]]])
    labels = torch.tensor([[[1, *BOX]]])
    assert verdicts(found, labels, area=1) == [NOTHING, NOTHING, MISS]
    assert verdicts(found, labels, area=2) == [HIT, MISS, NOTHING]
    assert evaluated(found, labels).objects.tolist()[0] == [1, 0, 1, 0]


def test_a_split_without_boxes_has_no_precision() -> None:
    found = detections([[[1, *BOX, 0.9]]])
    metrics = numbers(evaluated(found, torch.zeros(1, 1, 5)))
    assert list(metrics) == list(NAMES)
    assert all(math.isnan(value) for value in metrics.values())


def test_a_class_that_is_never_found_has_precision_0() -> None:
    found = detections([[[0, *BOX, 0.0]]])
    measured = evaluated(found, torch.tensor([[[2.0, *BOX]]]))
    by_class = measured.by_class("abcde")
    assert by_class["b"] == {"ap": 0, "ap_50": 0, "ap_75": 0, "ar_100": 0, "objects": 1}
    assert math.isnan(by_class["a"]["ap"])
    assert measured.metrics()["map"] == 0


def random_set(
    seed: int, images: int, *, most: int = 8, kept: int = 40
) -> tuple[Detections, Tensor]:
    """Boxes with whole edges, scores with ties, empty images, crowds, and a class that is absent.

    Half of the detections are near a true box.
    """
    rng = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=rng).float()

    def boxes(*shape: int) -> Tensor:
        low = whole(0, 100, *shape, 2)
        sides = torch.where(
            whole(0, 2, *shape, 1) == 0, whole(4, 40, *shape, 2), whole(30, 140, *shape, 2)
        )
        return torch.cat([low, low + sides], -1)

    labels = torch.cat([whole(1, CLASSES, images, most, 1), boxes(images, most)], -1)
    labels[..., 0] *= torch.where(whole(0, 8, images, most) == 0, -1, 1)
    labels[whole(0, 3, images, most) == 0] = 0
    labels[::4] = 0
    near = labels[:, whole(0, most, kept // 2).long()]
    moved = near[..., 1:] + whole(-3, 4, *near.shape[:2], 4)
    classes = torch.cat([near[..., 0].abs(), whole(0, CLASSES + 1, images, kept - kept // 2)], 1)
    places = torch.cat([moved, boxes(images, kept - kept // 2)], 1)
    places[..., 2:] = torch.maximum(places[..., 2:], places[..., :2] + 1)
    scores = whole(1, 20, images, kept) / 20
    scores[classes == 0] = 0
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    classes = classes.gather(1, order).long()
    return Detections(places.gather(1, order[..., None].expand(-1, -1, 4)), scores, classes), labels


def reference(found: Detections, labels: Tensor) -> tuple[list[float], Tensor]:
    """The twelve numbers and the precision [T, R, C, A, M] by faster-coco-eval."""
    library = pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed")
    annotations, results = [], []
    for image, (rows, boxes) in enumerate(zip(labels.tolist(), found.boxes.tolist(), strict=True)):
        for kind, x0, y0, x1, y1 in rows:
            if kind:
                box = [x0, y0, x1 - x0, y1 - y0]
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": image + 1, "bbox": box}
                    | {"category_id": int(abs(kind)), "iscrowd": int(kind < 0)}
                    | {"area": box[2] * box[3]}
                )
        of = zip(boxes, found.scores[image].tolist(), found.classes[image].tolist(), strict=True)
        for (x0, y0, x1, y1), score, kind in of:
            if kind:
                box = [x0, y0, x1 - x0, y1 - y0]
                results.append(
                    {"image_id": image + 1, "category_id": kind, "bbox": box, "score": score}
                )
    images = [{"id": i + 1, "height": 240, "width": 240} for i in range(len(labels))]
    categories = [{"id": c, "name": str(c)} for c in range(1, CLASSES + 1)]
    data = {"images": images, "annotations": annotations, "categories": categories, "info": {}}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = library.COCO(data | {"licenses": []})
        evaluation = library.COCOeval_faster(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(v) for v in evaluation.stats[:12]], torch.from_numpy(evaluation.eval["precision"])


@pytest.mark.parametrize("seed", range(6))
def test_the_numbers_are_those_of_faster_coco_eval(seed: int) -> None:
    found, labels = random_set(seed, images=(1, 2, 10, 30, 40, 60)[seed])
    expected, precision = reference(found, labels)
    measured = evaluated(found, labels)
    assert list(numbers(measured).values()) == pytest.approx(
        [math.nan if value == -1 else value for value in expected], abs=1e-9, nan_ok=True
    )
    wanted = precision[..., -1].permute(2, 3, 0, 1)  # [C, A, T, R]
    wanted = wanted.masked_fill(wanted == -1, torch.nan)
    torch.testing.assert_close(measured.precision, wanted, rtol=0, atol=1e-9, equal_nan=True)


def test_more_than_a_hundred_detections_of_a_class_count_as_a_hundred() -> None:
    found, labels = random_set(7, images=6, kept=500)
    expected, _ = reference(found, labels)
    assert list(numbers(evaluated(found, labels)).values()) == pytest.approx(
        [math.nan if value == -1 else value for value in expected], abs=1e-9, nan_ok=True
    )


def test_a_split_in_parts_has_the_same_numbers_to_the_last_bit() -> None:
    found, labels = random_set(3, images=30)
    whole = judged(found, labels)
    parts = [
        judged(Detections(found.boxes[at], found.scores[at], found.classes[at]), labels[at])
        for at in torch.arange(30).split(7)
    ]
    assert torch.equal(torch.cat(parts), whole)
    records = box_records(found, labels)
    assert torch.equal(records["verdict"], whole)
    measured = PrecisionRecall.of_records(records, CLASSES)
    assert numbers(measured) == pytest.approx(numbers(evaluated(found, labels)), abs=0)
    assert 0.1 < measured.metrics()["map"] < 0.9
