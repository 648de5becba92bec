"""Rejects components that do not work together, before a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from trainer.core.batch import blank
from trainer.core.errors import ConfigError
from trainer.core.forward import evaluating
from trainer.core.option import option_name, option_of
from trainer.dataset.shared.check_labels import check_masks, check_objects
from trainer.distill.none import NoDistiller
from trainer.mining.none import NoMiner
from trainer.mixer.none import NoMixer
from trainer.run.crops import check_crop, check_uncut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.augmentation import Augmentation
    from trainer.core.batch import Input, Target
    from trainer.dataset import Data, Dataset
    from trainer.distill import Distiller
    from trainer.loss import Loss
    from trainer.mining import Miner
    from trainer.mixer import Mixer
    from trainer.postprocess import Postprocess
    from trainer.sampler import Sampler
    from trainer.task import Task

TASKS = {
    "class": "classification",
    "multilabel": "multilabel",
    "mask": "segmentation",
    "boxes": "detection",
}
LOSSES = {
    "class": "cross_entropy",
    "multilabel": "bce",
    "mask": "cross_entropy",
    "boxes": "cross_entropy",
}
MODELS = {"image": "simple_cnn", "text": "text_cnn"}
INSTEAD = {  # by kind of input, then by group
    "image": {"augmentation": "augmentation=standard"},
    "text": {
        "augmentation": "augmentation=eda or none",
        "mixer": "mixer=none",
        "sampler": "sampler=oversample",
    },
}
TAKES = {"image": "[B, C, H, W]", "text": "word ids [B, L]"}
A = {"image": "an image", "text": "a text"}
OWN = ", or say in your class what it is for: inputs = ('text',)"

SEVERAL = (  # where a table has them
    ", or say where images have several labels: dataset.label_separator=';' or "
    "dataset.label_column=[a,b]"
)


def check_inputs(
    kind: Input,
    model: type,
    *,
    augmentation: Sequence[Augmentation],
    mixer: Mixer,
    sampler: Sampler,
    channels_last: bool,
) -> None:
    """Raise ConfigError for a component that is for inputs of another kind than the data's."""
    if kind not in getattr(model, "inputs", ("image",)):
        name = option_name(f"{model.__module__}.{model.__qualname__}")
        own = "" if model.__module__.startswith("trainer.") else OWN
        raise ConfigError(f"model={name} is not for {kind}s; take model={MODELS[kind]}{own}")
    parts = {
        **{f"augmentation={option_of(each)}": (each, "augmentation") for each in augmentation},
        f"mixer={option_of(mixer)}": (mixer, "mixer"),
        f"sampler={option_of(sampler)}": (sampler, "sampler"),
    }
    for setting, (component, group) in parts.items():
        if kind not in component.inputs:
            raise ConfigError(f"{setting} is not for {kind}s; take {INSTEAD[kind][group]}")
    if channels_last and kind == "text":
        raise ConfigError("channels_last=true is for images, not for texts; leave it out")


def check_target(
    data: Data,
    *,
    task: Task,
    loss: Loss,
    sampler: Sampler,
    miner: Miner,
    mixer: Mixer,
    postprocess: Postprocess,
) -> None:
    """Raise ConfigError for a component that does not support the data's kind of label."""
    target = data.target
    several = SEVERAL if target == "class" and "multilabel" in task.targets else ""
    fitting = {
        "task": (task, f"task={TASKS.get(target, 'regression')}{several}"),
        "loss": (loss, loss.instead(target) or f"loss={LOSSES.get(target, 'mse')}"),
        "sampler": (sampler, sampler.instead(target) or "sampler=shuffle"),
        "mining": (miner, "mining=ohem"),
        "postprocess": (postprocess, postprocess.instead(target) or "postprocess=none"),
    }
    for group, (component, todo) in fitting.items():
        if target not in component.targets:
            wrong = f"{group}={option_of(component)} does not support {target} labels"
            raise ConfigError(f"{wrong}; take {todo}")
    mixer.bind(target)
    if target == "boxes":
        check_objects(data.train)
    if target == "mask":
        splits = {"training": data.train, "validation": data.val, "test": data.test}
        for name, split in splits.items():
            check_masks(split, len(data.classes), task.ignore_index, name)


def check_augmentation(data: Data, augmentations: Sequence[Augmentation]) -> None:
    """Raise ConfigError for an augmentation that does not fit the data's labels or size."""
    for augmentation in augmentations:
        if data.target not in augmentation.targets:
            raise ConfigError(
                f"augmentation={option_of(augmentation)} does not support {data.target} labels, "
                "which would have to move with the pixels; take rotate, affine, shift or "
                "color_jitter"
            )
    check_crop(data, augmentations)
    if data.uncut:
        check_uncut(augmentations)


def check_score(target: Target, task: Task, miner: Miner, *, score_given: bool) -> None:
    """Raise ConfigError where the labels lack what the miner ranks by.

    `score_given`: the miner's score is `mining.score`, not implied by another setting.
    """
    known = ("loss", *task.scores)
    if target not in ("class", "multilabel") and miner.rank_by == "excess":
        raise ConfigError(f"mining.rank_by=excess needs class labels, not {target} labels")
    if miner.score not in known:
        todo = f"mining.score={' or '.join(known)}" if score_given else "mining.threshold=null"
        wrong = f"mining={option_of(miner)} ranks by {miner.score}"
        raise ConfigError(f"{wrong}, which {target} labels do not have; take {todo}")


def check_per(target: Target, miner: Miner) -> None:
    """Raise ConfigError where a miner is to choose in each image and an image is one example.

    Or among whole images that have positives and negatives in each.
    """
    if target == "boxes" and getattr(miner, "mode", None) == "bootstrap":
        raise ConfigError(
            f"mining={option_of(miner)} with mining.mode=bootstrap chooses whole images, and boxes "
            "have positives and negatives in each; take mining.mode=online"
        )
    if target not in ("mask", "boxes") and getattr(miner, "per", "auto") == "image":
        raise ConfigError(
            f"mining.per=image chooses among the pixels or boxes of an image, but {target} labels "
            "have none; take mining.per=auto"
        )


def check_boxes(loss: Loss, distiller: Distiller, *, sam: float | None, sharded: bool) -> None:
    """Raise ConfigError for what cannot be combined with boxes."""
    if getattr(loss, "class_weights", None) is not None:
        raise ConfigError(
            "loss.class_weights counts examples by class, and boxes have a background too; take "
            "loss.class_weights=null"
        )
    if getattr(loss, "alphas", None) is not None:
        raise ConfigError(
            "loss.alpha as a list has one number for each class, and boxes have a background too; "
            "take loss.alpha=null"
        )
    if not isinstance(distiller, NoDistiller):
        raise ConfigError(
            f"distill={option_of(distiller)} does not support boxes labels; take distill=none"
        )
    if sam is not None:
        raise ConfigError(f"sam={sam:g} does not support boxes labels; take sam=null")
    if sharded:
        raise ConfigError("strategy=fsdp does not support boxes labels; take strategy=ddp")


def check_whole_batch(
    loss: Loss, miner: Miner, mixer: Mixer, *, accumulate: int, processes: int
) -> None:
    """Raise ConfigError where a loss that is one ratio over the batch cannot be computed."""
    if not loss.whole_batch:
        return
    needs = f"loss={option_of(loss)} with loss.batch=true needs"
    if not isinstance(miner, NoMiner):
        raise ConfigError(f"{needs} mining=none, got {option_of(miner)}")
    if not isinstance(mixer, NoMixer):
        raise ConfigError(f"{needs} mixer=none, got {option_of(mixer)}")
    if accumulate > 1:
        raise ConfigError(f"{needs} accumulate=1, got {accumulate}")
    if processes > 1:
        raise ConfigError(f"{needs} one process, got {processes}; start it without torchrun")


def check_single(loss: Loss, mixer: Mixer) -> None:
    """Raise ConfigError where a loss learns from unmixed images and a mixer leaves none."""
    if not loss.needs_single or isinstance(mixer, NoMixer):
        return
    if mixer.probability == 1 and mixer.until is None:
        raise ConfigError(
            f"loss={option_of(loss)} learns from images that are not mixed, but mixer="
            f"{option_of(mixer)} with mixer.probability=1 leaves none; take mixer.probability=0.5 "
            "or mixer=none"
        )


def check_delay(miner: Miner, *, processes: int) -> None:
    """Raise ConfigError where rows would wait in several processes."""
    if miner.delays and processes > 1:
        raise ConfigError(
            f"mining={option_of(miner)} with mining.mode=two_pass needs one process, got "
            f"{processes}; start it without torchrun, or take mining.mode=one_pass"
        )


def check_pixels(target: Target, loss: Loss, miner: Miner) -> None:
    """Raise ConfigError where a miner selects pixels of a loss with one value per image."""
    if target == "mask" and miner.per_pixel and not loss.pixelwise:
        raise ConfigError(
            f"mining={option_of(miner)} selects pixels, but loss={option_of(loss)} has one value "
            "per image; take a loss per pixel, such as cross_entropy"
        )


def check_stages(model: nn.Module, task: Task, *, accumulate: int) -> None:
    """Raise ConfigError where a detector's second stage would be chosen from a part of a batch."""
    if accumulate > 1 and task.first_stage[0]:
        raise ConfigError(
            f"model={option_of(model)} has two stages and takes a batch at once, "
            f"got accumulate={accumulate}; take accumulate=1 or model=ssd"
        )


@torch.no_grad()
def check_outputs(model: nn.Module, task: Task, data: Data) -> None:
    """Raise ConfigError where a model's outputs do not have the shape that the task needs."""
    kind = data.kind
    try:
        with evaluating(model):
            shape = model(blank(data.shape)).shape[1:]
    except (TypeError, AttributeError) as error:  # its forward takes or returns something else
        must = f"it must map {TAKES[kind]} to a tensor"
        text = f"{type(model).__name__} is no model of {kind}s: {must}"
        raise ConfigError(f"model._target_: {text}; {error}") from error
    except RuntimeError as error:
        about = f"model={option_of(model)} fails on {A[kind]} of {list(data.shape)}"
        raise ConfigError(f"{about}: {str(error).splitlines()[0]}") from error
    wanted = task.shape(data)
    if tuple(shape) != tuple(wanted):
        todo = "; take model=unet" if len(wanted) == 3 and len(shape) == 1 else ""
        raise ConfigError(
            f"model={option_of(model)} returns {list(shape)} per {kind}, "
            f"task={option_of(task)} needs {list(wanted)}{todo}"
        )


def why_no_val(dataset: Dataset, data: Data) -> str:
    """Why the validation split is empty; blames a setting only if it is the cause."""
    fraction, number = dataset.val_fraction, len(data.train)
    if not fraction:
        return "dataset.val_fraction=0 leaves no validation split"
    if fraction * number < 1:
        return (
            f"dataset.val_fraction={fraction:g} of {number} training examples rounds to none; "
            "raise it: a validation split is needed"
        )
    return "the validation split of the data set is empty; one is needed"
