"""Teachers from a library, `torchvision:resnet18` or `timm:resnet18`, on ImageNet's statistics.

Weights are the library's own, from its cache or its server, or with `:FILE` those of a file.
"""

import re
from pathlib import Path

from torch import nn

from trainer.core.errors import CheckpointError
from trainer.core.suggest import did_you_mean

REFERENCE = re.compile(r"(torchvision|timm):([^:]+)(?::(.+))?")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels, as all use them
Network = tuple[nn.Module, tuple[float, ...], tuple[float, ...]]


def check(reference: str) -> bool:
    """Whether a reference is one to a library. Raises ValueError for an unknown name or no file."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        return False
    library, name, file = match.groups()
    known = names(library)
    if name not in known:
        close = did_you_mean(name, known)
        raise ValueError(f"distill.teacher={reference}: {library} has no such network.{close}")
    if file is not None and not Path(file).is_file():
        raise ValueError(f"distill.teacher={reference}: there is no file {file}")
    return True


def names(library: str) -> list[str]:
    """The networks of a library. Raises ValueError where it is not installed."""
    if library == "torchvision":
        from torchvision import models

        return models.list_models(module=models) + models.list_models(module=models.segmentation)
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ValueError("distill.teacher=timm:... needs: pip install 'trainer[timm]'") from error
    return timm.list_models() + timm.list_pretrained()


def load(reference: str, shape: tuple[int, int, int], classes: int) -> Network:
    """A network with all of its weights, and the mean and deviation that it wants.

    Raises ValueError where the weights cannot be had, or are of other classes.
    """
    match = REFERENCE.fullmatch(reference)
    library, name, file = match.groups() if match else ("", "", None)
    make = from_torchvision if library == "torchvision" else from_timm
    try:
        return make(name, file, (3, *shape[1:]), classes)
    except (ValueError, CheckpointError) as error:  # they speak of model.pretrained
        reason = str(error).partition(": ")[2].partition("; give")[0] or str(error)
        todo = "" if file else f"; {reference}:FILE takes those of a file"
        raise ValueError(f"distill.teacher={reference}: {reason}{todo}") from error


def from_torchvision(
    name: str, file: str | None, shape: tuple[int, int, int], classes: int
) -> Network:
    """A network of torchvision."""
    from trainer.model.torchvision import Torchvision, load_weights

    made = Torchvision(shape=shape, outputs=classes, name=name)
    load_weights(made.network, name, "", file or True)  # "": the head, too
    return made, MEAN, STD


def from_timm(name: str, file: str | None, shape: tuple[int, int, int], classes: int) -> Network:
    """A network of timm."""
    import timm

    from trainer.model.shared.library import Library, load
    from trainer.model.shared.pretrained import read_state_dict
    from trainer.model.timm import fetch, head_in

    if file is None:
        network = fetch(name, {})
    else:
        network = timm.create_model(name, pretrained=False, num_classes=classes)
        load(network, read_state_dict(file), "", f"model.pretrained={file}")
    config = getattr(network, "pretrained_cfg", {})
    made = Library(network, head_in(network, name), name=name, shape=shape)
    return made, tuple(config.get("mean", MEAN)), tuple(config.get("std", STD))
