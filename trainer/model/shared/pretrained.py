"""Pretrained weights: state dicts read from untrusted files and adapted to a model."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import safetensors.torch
import torch
from torch import Tensor, nn

from trainer.core.errors import CheckpointError
from trainer.model.shared.head import inside
from trainer.storage.untrusted import MAGIC, check_archive

PREFIXES = ("module.", "_orig_mod.", "network.")  # of DDP, torch.compile, and Library
WRAPPERS = ("state_dict", "model", "model_state_dict")  # keys training scripts save it under


def read_state_dict(path: str) -> dict[str, Tensor]:
    """The state dict in a .pth, .pt or .safetensors file.

    Raises ValueError if the file is missing, CheckpointError if it has anything but plain tensors.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(
            f"model.pretrained={path}: no such file; give true, false or an existing file"
        )
    content: Any
    try:
        if file.suffix == ".safetensors":
            content = safetensors.torch.load_file(file)
        else:
            with file.open("rb") as stream:
                zipped = stream.read(len(MAGIC)) == MAGIC
            if zipped:
                check_archive(file)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file may raise anything
        raise CheckpointError(
            f"model.pretrained={path} is refused: not a file of plain tensors "
            f"({type(error).__name__})"
        ) from error
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not is_state_dict(content):
        raise CheckpointError(f"model.pretrained={path} is refused: not a state dict")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): value for name, value in content.items()}
    return content


def is_state_dict(content: object) -> bool:
    """Whether an object is a non-empty mapping of names to tensors."""
    if not isinstance(content, dict) or not content:
        return False
    return all(isinstance(n, str) and isinstance(v, Tensor) for n, v in content.items())


def load_backbone(model: nn.Module, state: Mapping[str, Tensor], head: str, origin: str) -> None:
    """Load a state dict except for the head.

    `origin` is the setting that names it. Raises CheckpointError naming the first parameter that is
    missing, unknown or of another shape.
    """
    problem = f"{origin} does not fit the model"
    backbone = OrderedDict((n, v) for n, v in state.items() if not inside(n, head))
    vars(backbone)["_metadata"] = getattr(state, "_metadata", None)  # versions of the layers
    for name, value in model.state_dict().items():
        if name in backbone and backbone[name].shape != value.shape:
            shapes = f"{list(backbone[name].shape)}, {list(value.shape)} in the model"
            raise CheckpointError(f"{problem}: {name} is {shapes}")
    missing, unknown = model.load_state_dict(backbone, strict=False)
    missing = [name for name in missing if not inside(name, head)]
    if missing:
        raise CheckpointError(f"{problem}: it lacks {missing[0]} ({len(missing)} missing)")
    if unknown:
        raise CheckpointError(f"{problem}: the model has no {unknown[0]} ({len(unknown)} unknown)")


def first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """The dotted name and module of the convolution defined first, or None."""
    convolutions = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    return next(convolutions, None)


def adapt(weight: Tensor, channels: int) -> Tensor:
    """Adapt a first layer's weight [out, in, ...] to [out, channels, ...].

    For one channel, sum over the old ones: a grey image gives the same result as its RGB copy.
    Otherwise repeat the old ones in turn, times in / channels to keep the scale of the outputs.
    """
    before = weight.shape[1]
    if channels == before:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(channels) % before] * (before / channels)


def unreachable(url: str, seconds: float = 10.0) -> str | None:
    """The reason a server cannot be reached, or None if it can, within 1.5 times `seconds`."""
    reasons: list[str | None] = []

    def request() -> None:
        try:
            urlopen(Request(url, method="HEAD"), timeout=seconds).close()  # noqa: S310
        except HTTPError:
            reasons.append(None)  # the server answered
        except OSError as error:
            reasons.append(str(getattr(error, "reason", error)))
        else:
            reasons.append(None)

    thread = threading.Thread(target=request, daemon=True)  # name resolution has no timeout
    thread.start()
    thread.join(1.5 * seconds)
    return reasons[0] if reasons else f"no answer within {1.5 * seconds:g} s"
