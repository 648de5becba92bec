"""Invalid labels are reported before training."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from support import QUICK, config_of, make_run, read_json
from torch import Tensor

from trainer.__main__ import CONF
from trainer.cli.execute import execute
from trainer.core.errors import ConfigError, DataError
from trainer.dataset import Dataset, Raw, Split
from trainer.dataset.base import Pixels
from trainer.dataset.shared.check_labels import check_labels, check_masks, check_objects
from trainer.dataset.shared.image_files import ImageFiles


@pytest.mark.parametrize("wrong", [-1, -100, 3, 2**40])
def test_a_class_out_of_range_is_named_with_its_example(
    noise: Callable[..., Split], wrong: int
) -> None:
    split = noise(20, classes=3)
    split.labels[[7, 11]] = wrong
    message = f"the label of 2 examples is not a class from 0 to 2: 7 ({wrong:g}), 11 ({wrong:g})"
    with pytest.raises(DataError) as caught:
        check_labels(split, 3)
    assert str(caught.value) == message
    check_labels(replace(split, ids=torch.tensor([0, 1, 2])), 3)


def test_at_most_five_files_are_named() -> None:
    images = ImageFiles([f"/x/{i}.png" for i in range(9)], (2, 2), 1)
    split = Split(images, torch.full((9,), -1), torch.arange(9))
    with pytest.raises(DataError) as caught:
        check_labels(split, 3)
    files = ", ".join(f"/x/{i}.png (-1)" for i in range(5))
    for part in ("9 examples", "from 0 to 2", f"{files} and 4 more"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "wrong"),
    [((20,), float("nan")), ((20, 3), float("inf")), ((20, 1, 4, 4), -float("inf"))],
)
def test_targets_that_are_not_finite_are_reported(
    noise: Callable[..., Split], shape: tuple[int, ...], wrong: float
) -> None:
    labels = torch.zeros(shape)
    check_labels(replace(noise(20), labels=labels), 0)
    labels[4].view(-1)[-1] = wrong
    with pytest.raises(DataError, match=r"the label of 1 example is not finite: 4"):
        check_labels(replace(noise(20), labels=labels), 0)


def test_masks_may_contain_classes_and_the_ignored_label(noise: Callable[..., Split]) -> None:
    masks = torch.randint(0, 3, (20, 4, 4), dtype=torch.uint8)
    masks[5, 0, 0] = 255
    split = replace(noise(20), labels=masks)
    check_labels(split, 3)
    check_masks(split, 3, 255)
    with pytest.raises(DataError, match=r"value above 2 that is not task\.ignore_index=None: 5$"):
        check_masks(split, 3, None)
    masks[8, 3, 3] = 3
    with pytest.raises(DataError, match=r"value above 2 that is not task\.ignore_index=255: 8$"):
        check_masks(split, 3, 255)
    check_masks(replace(split, ids=torch.arange(8)), 3, 255)
    check_masks(replace(split, ids=torch.arange(0)), 3, 255)


def test_boxes_of_which_none_counts_are_refused(noise: Callable[..., Split]) -> None:
    """Padding and crowds: a detector would learn from nothing, and its mean AP be NaN."""
    boxes = torch.zeros(20, 2, 5)
    boxes[3, 0] = torch.tensor([-1.0, 0, 0, 2, 2])
    split = replace(noise(20), labels=boxes)
    with pytest.raises(DataError, match="none of the training images has a box"):
        check_objects(split)
    boxes[4, 1] = torch.tensor([1.0, 0, 0, 2, 2])
    check_objects(split)
    with pytest.raises(DataError):
        check_objects(replace(split, ids=torch.arange(4)))


def test_masks_without_a_pixel_that_counts_are_refused(noise: Callable[..., Split]) -> None:
    """The loss would be NaN, and the mean IoU 1."""
    masks = torch.full((20, 4, 4), 255, dtype=torch.uint8)
    split = replace(noise(20), labels=masks)
    with pytest.raises(DataError) as caught:
        check_masks(split, 3, 255, "test")
    message = "every pixel of the test masks is task.ignore_index=255: nothing can be"
    assert str(caught.value).startswith(message)
    check_masks(replace(split, ids=torch.arange(0)), 3, 255)
    masks[8, 3, 3] = 1
    check_masks(split, 3, 255)
    with pytest.raises(DataError, match=r"every pixel of the masks is"):
        check_masks(replace(split, ids=torch.arange(8)), 3, 255)


@dataclass(kw_only=True)
class Labelled(Dataset):
    """Noise images in three classes, with two invalid labels in one split."""

    wrong: float = -1
    label_type: str = "int64"
    part: str = "train"

    def load(self) -> Raw:
        """Three splits of 60 examples; in `part` the labels of 7 and 11 are `wrong`."""
        parts: dict[str, Split] = {}
        for name in ("train", "val", "test"):
            pixels = torch.randint(0, 256, (60, 1, 4, 4), dtype=torch.uint8)
            labels: Tensor = (torch.arange(60) % 3).to(getattr(torch, self.label_type))
            if name == self.part:
                labels[[7, 11]] = torch.tensor(self.wrong).to(labels.dtype)
            parts[name] = Split(Pixels(pixels), labels, torch.arange(60))
        return Raw(parts["train"], parts["test"], ("a", "b", "c"), val=parts["val"])


@pytest.mark.parametrize(("part", "wrong"), [("train", -1), ("val", -100), ("test", 3)])
def test_wrong_labels_stop_a_run_before_it_starts(tmp_path: Path, part: str, wrong: int) -> None:
    """Checked before label_noise, which would turn the wrong label into a class."""
    run = make_run(tmp_path / "run")
    run.config["dataset"] = {"_target_": f"{__name__}.Labelled", "wrong": float(wrong),
                             "part": part, "label_noise": 0.5}  # fmt: skip
    with pytest.raises(DataError, match=rf"7 \({wrong}\), 11 \({wrong}\)"):
        run.validate()
    assert not (tmp_path / "run").exists()


def test_float_labels_are_vectors_rather_than_classes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.config["dataset"] = {"_target_": f"{__name__}.Labelled", "label_type": "float32"}
    with pytest.raises(ConfigError, match="does not support vector labels; take task=reg"):
        run.validate()


def test_int32_labels_are_classes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.config["dataset"] = {"_target_": f"{__name__}.Labelled", "label_type": "int32",
                             "wrong": 2.0}  # fmt: skip
    run.validate()
    assert run.data.target == "class"


@dataclass(kw_only=True)
class OnlyInVal(Dataset):
    """Two classes in train, three in val and test."""

    def load(self) -> Raw:
        """Splits of 60 examples."""
        pixels = torch.randint(0, 256, (60, 1, 4, 4), dtype=torch.uint8)
        train, val = (Split(Pixels(pixels), torch.arange(60) % c, torch.arange(60)) for c in (2, 3))
        return Raw(train, val, ("a", "b", "c"), val=val)


def test_a_class_that_occurs_only_in_val_is_evaluated(tmp_path: Path) -> None:
    """The weight of a class without training examples is finite, and its examples count."""
    arguments = [*QUICK, "loss.class_weights=balanced", "epochs=1"]
    config = config_of(*arguments) | {"dataset": {"_target_": f"{__name__}.OnlyInVal"}}
    assert execute(config, tmp_path / "run", arguments, [str(CONF)]) == 0
    val = read_json(tmp_path / "run" / "result.json")["val"]
    assert all(math.isfinite(value) for value in val.values())
    assert val["accuracy"] <= 2 / 3 + 1e-9


def test_several_labels_of_another_number_of_classes(noise: Callable[..., Split]) -> None:
    split = replace(noise(20), labels=torch.zeros(20, 4, dtype=torch.bool))
    check_labels(split, 4)
    with pytest.raises(DataError, match="the labels are of 4 classes, the data set has 3"):
        check_labels(split, 3)
