"""Teachers from a library, such as `torchvision:resnet18` or `timm:resnet18`.

The weights are the library's, cached or downloaded, or a file's if `:FILE` is appended. Images are
standardised by the mean and standard deviation the weights were trained with.
"""

import re
from pathlib import Path

from torch import nn

from trainer.core.errors import CheckpointError
from trainer.core.extra import missing
from trainer.core.suggest import did_you_mean

REFERENCE = re.compile(r"(torchvision|timm):([^:]+)(?::(.+))?")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, by channel
Network = tuple[nn.Module, tuple[float, ...], tuple[float, ...]]


def check_reference(reference: str) -> bool:
    """Whether a reference names a library network, rather than a finished run.

    Raises ValueError for an unknown network or a missing file.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        return False
    library, name, file = match.groups()
    known = network_names(library)
    if name not in known:
        close = did_you_mean(name, known)
        raise ValueError(f"distill.teacher={reference}: {library} has no network {name}.{close}")
    if file is not None and not Path(file).is_file():
        raise ValueError(f"distill.teacher={reference}: no such file: {file}")
    return True


def network_names(library: str) -> list[str]:
    """The names of a library's networks. Raises ValueError if the library is not installed."""
    if library == "torchvision":
        from torchvision import models

        return models.list_models(module=models) + models.list_models(module=models.segmentation)
    try:
        import timm
    except ModuleNotFoundError as error:
        raise missing("distill.teacher=timm:...", "timm") from error
    return timm.list_models() + timm.list_pretrained()


def load(reference: str, shape: tuple[int, ...], classes: int) -> Network:
    """Load a network and its weights, with the mean and standard deviation of its inputs.

    `shape` is [C, H, W] of the student's images. Raises ValueError if the weights are unavailable
    or their number of classes differs.
    """
    match = REFERENCE.fullmatch(reference)
    library, name, file = match.groups() if match else ("", "", None)
    build = from_torchvision if library == "torchvision" else from_timm
    _, height, width = shape
    try:
        return build(name, file, (3, height, width), classes)
    except (ValueError, CheckpointError) as error:  # its message names model.pretrained
        reason = str(error).partition(": ")[2].partition("; give")[0] or str(error)
        advice = "" if file else f"; {reference}:FILE loads them from a file"
        raise ValueError(f"distill.teacher={reference}: {reason}{advice}") from error


def from_torchvision(
    name: str, file: str | None, shape: tuple[int, int, int], classes: int
) -> Network:
    """Load a torchvision network including its head, with the mean and deviation of ImageNet."""
    from trainer.model.torchvision import Torchvision, load_weights

    model = Torchvision(shape=shape, outputs=classes, name=name)
    load_weights(model.network, name, "", file or True)  # "": exclude no head
    return model, MEAN, STD


def from_timm(name: str, file: str | None, shape: tuple[int, int, int], classes: int) -> Network:
    """Load a timm network including its head, with its pretrained mean and standard deviation."""
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
    model = Library(network, head_in(network, name), name=name, shape=shape)
    return model, tuple(config.get("mean", MEAN)), tuple(config.get("std", STD))
