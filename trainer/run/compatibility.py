"""Parts that do not go together are refused before a run begins, in one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from trainer.core.errors import ConfigError
from trainer.core.option import option_of
from trainer.dataset.shared.check_labels import check_masks
from trainer.mining.none import NoMiner
from trainer.mixer.none import NoMixer

if TYPE_CHECKING:
    from trainer.dataset import Data
    from trainer.run.components import Components

TASKS = {"class": "classification", "mask": "segmentation"}


def check_target(parts: Components, data: Data) -> None:
    """Raise ConfigError where a part has no meaning for the labels."""
    target = data.target
    fitting = {
        "task": (parts.task, TASKS.get(target, "regression")),
        "loss": (parts.loss, "cross_entropy" if target in TASKS else "mse"),
        "mining": (parts.miner, "ohem"),
        "postprocess": (parts.postprocess, "none"),
    }
    for group, (part, todo) in fitting.items():
        if target not in part.targets:
            wrong = f"{group}={option_of(part)} is not for {target} labels"
            raise ConfigError(f"{wrong}; take {group}={todo}")
    parts.mixer.bind(target)
    if target == "mask":
        for split in (data.train, data.val, data.test):
            check_masks(split, len(data.classes), parts.task.ignore_index)
    check_score(parts, target)
    if parts.loss.whole_batch:
        check_whole_batch(parts)


def check_score(parts: Components, target: str) -> None:
    """Raise ConfigError where the labels have not what the miner ranks by."""
    miner, known = parts.miner, ("loss", *parts.task.scores)
    if target != "class" and miner.rank_by == "excess":
        raise ConfigError(f"mining.rank_by=excess needs class labels, these are {target}s")
    if miner.score not in known:
        asked = parts.config["mining"].get("score") == miner.score
        todo = f"mining.score={' or '.join(known)}" if asked else "mining.threshold=null"
        wrong = (
            f"mining={option_of(miner)} ranks by {miner.score}, which is not for {target} labels"
        )
        raise ConfigError(f"{wrong}; take {todo}")


def check_whole_batch(parts: Components) -> None:
    """Raise ConfigError where a loss that is one ratio for the batch cannot be."""
    needs = f"loss={option_of(parts.loss)} with loss.batch=true needs"
    if not isinstance(parts.miner, NoMiner):
        raise ConfigError(f"{needs} mining=none, got {option_of(parts.miner)}")
    if not isinstance(parts.mixer, NoMixer):
        raise ConfigError(f"{needs} mixer=none, got {option_of(parts.mixer)}")
    if parts.config["accumulate"] > 1:
        raise ConfigError(f"{needs} accumulate=1, got {parts.config['accumulate']}")
    if parts.world.size > 1:
        raise ConfigError(f"{needs} one process, got {parts.world.size}; start it without torchrun")


def check_pixels(parts: Components, data: Data) -> None:
    """Raise ConfigError where a miner picks pixels of a loss that has one value for an image."""
    loss, miner = parts.ready_loss, parts.miner
    if data.target == "mask" and miner.per_pixel and not loss.pixelwise:
        raise ConfigError(
            f"mining={option_of(miner)} picks pixels, and loss={option_of(loss)} has one value "
            "for an image; take a loss for each pixel, such as cross_entropy"
        )


@torch.no_grad()
def check_outputs(parts: Components, model: nn.Module, data: Data) -> None:
    """Raise ConfigError where a model's outputs are not shaped as the task's."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        given = model.eval()(torch.zeros(1, *data.shape)).shape[1:]
    except RuntimeError as error:
        about = f"model={option_of(model)} fails on an image of {list(data.shape)}"
        raise ConfigError(f"{about}: {str(error).splitlines()[0]}") from error
    for module, training in modes:
        module.training = training
    wanted = parts.task.shape(data)
    if tuple(given) != tuple(wanted):
        todo = "; take model=unet" if len(wanted) == 3 and len(given) == 1 else ""
        raise ConfigError(
            f"model={option_of(model)} gives {list(given)} for an image, "
            f"task={option_of(parts.task)} wants {list(wanted)}{todo}"
        )
