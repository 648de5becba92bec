"""Networks of timm, PyTorch Image Models (extra `timm`), chosen by name."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainer.core.extra import missing
from trainer.core.suggest import did_you_mean
from trainer.model.shared.head import head_of
from trainer.model.shared.library import (
    Library,
    Pretrained,
    Size,
    check_arguments,
    load,
    no_weights,
)
from trainer.model.shared.pretrained import read_state_dict, unreachable

LOADING = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
FILES = ("model.safetensors", "pytorch_model.bin")  # names of weight files on the hub, as in timm


class Timm(Library):
    """A timm network with a new head.

    timm adapts the first convolution to the images' channels, by the same rule as `adapt`.
    `arguments` go to the network's constructor. Raises ValueError for an unknown network or
    argument.
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
        if find_spec("timm") is None:
            raise missing("model=timm", "timm")
        import timm

        if not timm.is_model(name):
            close = did_you_mean(name, timm.list_models())
            raise ValueError(f"model.name={name} is not a timm network.{close}")
        check_arguments(arguments or {}, *LOADING)
        settings = {"num_classes": outputs, "in_chans": shape[0], **(arguments or {})}
        try:
            network = timm.create_model(name, pretrained=False, **settings)
        except TypeError as error:
            raise ValueError(f"model.arguments={arguments}: {error}") from error
        head = head_in(network, name)
        if pretrained is True:
            network = fetch(name, settings)
            network.reset_classifier(outputs)  # pyright: ignore
        elif pretrained:
            load(network, read_state_dict(pretrained), head, f"model.pretrained={pretrained}")
        super().__init__(network, head, name=name, shape=shape, size=size)


def head_in(network: nn.Module, name: str) -> str:
    """Dotted name of the network's classifier layer. Raises ValueError if it has several."""
    classifier = getattr(network, "pretrained_cfg", {}).get("classifier")
    if isinstance(classifier, (tuple, list)) and len(classifier) > 1:
        heads = " and ".join(classifier)
        raise ValueError(f"model.name={name} has the heads {heads}; choose a network with one head")
    return classifier if isinstance(classifier, str) else head_of(network)


def fetch(name: str, settings: dict[str, Any]) -> nn.Module:
    """The network with timm's weights, from the cache or the server.

    Raises ValueError if timm has none or they cannot be downloaded.
    """
    import timm

    config = timm.get_pretrained_cfg(name)
    url = None if config is None else weights_url(config)
    if url is None:
        raise ValueError(
            f"model.pretrained=true: timm has no weights for {name}; "
            "give model.pretrained=FILE or model.pretrained=false"
        )
    if not is_cached(config) and (reason := unreachable(url)) is not None:
        raise no_weights(name, url, reason)
    try:
        return timm.create_model(name, pretrained=True, **settings)
    except Exception as error:
        raise no_weights(name, url, error) from error


def weights_url(config: Any) -> str | None:
    """URL of a configuration's weights, on the hub or a server of timm; None if it has none."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{config.hf_hub_id}" if config.hf_hub_id else config.url


def is_cached(config: Any) -> bool:
    """Whether a configuration's weights are in the local cache."""
    from huggingface_hub import try_to_load_from_cache

    if not config.hf_hub_id:
        return (Path(torch.hub.get_dir()) / "checkpoints" / Path(config.url).name).is_file()
    names = [config.hf_hub_filename] if config.hf_hub_filename else FILES
    repository = config.hf_hub_id.partition("@")[0]
    return any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)
