"""Networks of torchvision for classification and segmentation, chosen by name."""

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

STALL = 30.0  # seconds without data after which a download is aborted
# Auxiliary heads, which only training uses.
AUXILIARY = re.compile(r"(aux\d?|AuxLogits|aux_classifier)\.")
# DenseNet's published parameter names; torchvision has since dropped the second dot.
DENSE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
SINGLE_OUTPUT = {  # arguments against auxiliary outputs and a download by the constructor
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


class Torchvision(Library):
    """A torchvision network with a new head.

    If images do not have three channels, the first convolution is replaced, and its pretrained
    weights are adapted (see `adapt`). `arguments` go to the network's constructor. Raises
    ValueError for an unknown network or argument.
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
    """Load weights, except the head's, from torchvision (`pretrained` is True) or from a file.

    Raises CheckpointError if they do not fit the network, ValueError if they are unavailable.
    """
    state = fetch(name) if pretrained is True else read_state_dict(str(pretrained))
    state = {
        DENSE.sub(r"\1\2.", key): value for key, value in state.items() if not AUXILIARY.match(key)
    }
    load(network, state, head, f"model.pretrained={str(pretrained).lower()}")


def fetch(name: str) -> dict[str, Tensor]:
    """The state dict of torchvision's best weights of a network, from the cache or the server.

    Raises ValueError if they cannot be downloaded.
    """
    weights = models.get_model_weights(name).DEFAULT  # pyright: ignore
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name
    if not file.is_file() and (reason := unreachable(weights.url)) is not None:
        raise no_weights(name, weights.url, reason)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL)
    try:
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:
        raise no_weights(name, weights.url, error) from error
    finally:
        socket.setdefaulttimeout(timeout)
