"""Networks of torchvision for classification and segmentation, by name."""

import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torchvision import models

from trainer.core.suggest import did_you_mean
from trainer.model.shared.head import head_of
from trainer.model.shared.library import (
    Library,
    Pretrained,
    Size,
    check_arguments,
    load,
    no_weights,
    set_channels,
)
from trainer.model.shared.pretrained import read_state_dict, unreachable

STALL = 30.0  # seconds without a byte until a download is aborted
# Auxiliary heads, which are used in training only, and not here.
AUXILIARY = re.compile(r"(aux\d?|AuxLogits|aux_classifier)\.")
# Published DenseNet files say norm.1 and conv.2 for today's norm1 and conv2.
DENSE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
SINGLE_OUTPUT = {  # arguments that avoid auxiliary outputs, and a download by the constructor
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


class Torchvision(Library):
    """A torchvision network by name, with a new head.

    Images without three channels get a new first convolution; with pretrained weights it is derived
    from theirs, see `adapt`. `arguments` are passed to the network's constructor. Raises ValueError
    for an unknown name or a bad argument, CheckpointError for weights that do not fit.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        outputs: int,
        name: str = "resnet18",
        pretrained: Pretrained = False,
        size: Size = "auto",
        arguments: dict[str, Any] | None = None,
    ) -> None:
        segmentation = models.list_models(module=models.segmentation)
        known = models.list_models(module=models) + segmentation
        if name not in known:
            close = did_you_mean(name, known)
            raise ValueError(f"model.name={name} is not a torchvision network.{close}")
        check_arguments(arguments or {}, "weights", "weights_backbone")
        settings: dict[str, Any] = SINGLE_OUTPUT.get(name, {}) | (arguments or {})
        if name in segmentation:
            settings = {"weights_backbone": None} | settings
        try:
            network = models.get_model(name, weights=None, num_classes=outputs, **settings)
        except TypeError as error:
            raise ValueError(f"model.arguments={arguments}: {error}") from error
        head = "classifier" if name.startswith("lraspp") else head_of(network)
        set_channels(network, shape[0])
        if pretrained:
            load_weights(network, name, head, pretrained)
        super().__init__(network, head, name=name, shape=shape, size=size)


def load_weights(network: nn.Module, name: str, head: str, pretrained: bool | str) -> None:
    """Load all but the head of torchvision's weights (`pretrained` is True) or of a file.

    Raises CheckpointError if they do not fit, ValueError if there are none.
    """
    state = fetch(name) if pretrained is True else read_state_dict(str(pretrained))
    state = {
        DENSE.sub(r"\1\2.", key): value for key, value in state.items() if not AUXILIARY.match(key)
    }
    load(network, state, head, f"model.pretrained={str(pretrained).lower()}")


def fetch(name: str) -> dict[str, Tensor]:
    """Torchvision's best weights of a network, from the cache or downloaded.

    Raises ValueError if they cannot be downloaded.
    """
    weights = models.get_model_weights(name).DEFAULT  # pyright: ignore
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name
    if not file.is_file() and (reason := unreachable(weights.url)) is not None:
        raise no_weights(name, weights.url, reason)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL)
    try:
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:
        raise no_weights(name, weights.url, error) from error
    finally:
        socket.setdefaulttimeout(before)
