"""Weights that others trained: read as plain tensors, fetched only where they can be."""

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

PREFIXES = ("module.", "_orig_mod.", "network.")  # of DDP, of torch.compile, of our own wrapper
WRAPPERS = ("state_dict", "model", "model_state_dict")  # keys that training scripts save it under


def read(path: str) -> dict[str, Tensor]:
    """The state dict in a .pth, .pt or .safetensors file.

    Raises ValueError where there is none, CheckpointError for what is not plain tensors.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"model.pretrained={path}: no such file; give true, false or a file")
    held: Any
    try:
        if file.suffix == ".safetensors":
            held = safetensors.torch.load_file(file)
        else:
            with file.open("rb") as opened:
                zipped = opened.read(len(MAGIC)) == MAGIC
            if zipped:
                check_archive(file)
            held = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a hostile file provokes
        raise CheckpointError(
            f"model.pretrained={path} is refused: not a file of plain tensors "
            f"({type(error).__name__})"
        ) from error
    for key in WRAPPERS:
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
    if not is_state_dict(held):
        raise CheckpointError(f"model.pretrained={path} is refused: it is no state dict")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in held):
            held = {name.removeprefix(prefix): value for name, value in held.items()}
    return held


def is_state_dict(held: object) -> bool:
    """Whether it maps names to tensors."""
    if not isinstance(held, dict) or not held:
        return False
    return all(isinstance(n, str) and isinstance(v, Tensor) for n, v in held.items())


def load_backbone(model: nn.Module, state: Mapping[str, Tensor], head: str, origin: str) -> None:
    """Load all of a state dict but the head's entries.

    Raises CheckpointError that names the first parameter that does not fit; `origin` is the setting
    that the state dict came from.
    """
    wrong = f"{origin} does not fit the model"
    given = OrderedDict((n, v) for n, v in state.items() if not inside(n, head))
    vars(given)["_metadata"] = getattr(state, "_metadata", None)  # versions of the layers
    for name, value in model.state_dict().items():
        if name in given and given[name].shape != value.shape:
            shapes = f"{list(given[name].shape)} there, {list(value.shape)} in the model"
            raise CheckpointError(f"{wrong}: {name} is {shapes}")
    absent, unknown = model.load_state_dict(given, strict=False)
    absent = [name for name in absent if not inside(name, head)]
    if absent:
        raise CheckpointError(f"{wrong}: it has no {absent[0]} ({len(absent)} are missing)")
    if unknown:
        raise CheckpointError(f"{wrong}, which has no {unknown[0]} ({len(unknown)} are too many)")


def first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """The convolution that is defined first, with its dotted name."""
    named = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    return next(named, None)


def adapt(weight: Tensor, channels: int) -> Tensor:
    """A first layer's weight [out, in, ...] for another number of channels.

    One channel: the sum over the old ones, so that a grey image gives what it gave as RGB. More:
    the old ones in turn, times in / channels, so that the sum over all of them stays the same.
    """
    before = weight.shape[1]
    if channels == before:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(channels) % before] * (before / channels)


def unreachable(url: str, seconds: float = 10.0) -> str | None:
    """Why a server cannot be reached, None where it can; never takes much longer than asked."""
    found: list[str | None] = []

    def ask() -> None:
        try:
            urlopen(Request(url, method="HEAD"), timeout=seconds).close()  # noqa: S310
        except HTTPError:
            found.append(None)  # it answered
        except OSError as error:
            found.append(str(getattr(error, "reason", error)))
        else:
            found.append(None)

    asking = threading.Thread(target=ask, daemon=True)  # looking up a name has no time limit
    asking.start()
    asking.join(1.5 * seconds)
    return found[0] if found else f"no answer in {1.5 * seconds:.0f} s"
