"""Learning rates by layer: discriminative fine-tuning (Howard and Ruder 2018), section 3.2.

https://arxiv.org/abs/1801.06146
"""

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.optim import Optimizer

from trainer.model.shared.blocks import blocks
from trainer.model.shared.head import head_of
from trainer.model.shared.library import Library
from trainer.optimizer.shared.groups import base_lr


def scale_parts(
    optimizer: Optimizer, model: nn.Module, *, head_lr_factor: float, layer_decay: float
) -> None:
    """Set the rate of layer i of L to lr · layer_decay^(L − 1 − i), the head's to a multiple of lr.

    Each group of the optimizer is split into one per rate. A group's `lr_scale` is its rate as a
    factor on the optimizer's own, which `trainer.training.learning_rate` preserves.
    """
    if head_lr_factor == layer_decay == 1:
        return
    layers = layers_of(model)
    scales = {
        id(p): layer_decay ** (len(layers) - 1 - i) for i, layer in enumerate(layers) for p in layer
    }
    scales |= {id(p): head_lr_factor for p in model.get_submodule(head_of(model)).parameters()}
    groups = [part for group in optimizer.param_groups for part in split(group, scales)]
    for group in groups:
        group["lr_scale"] = group["lr"] / base_lr(optimizer)
    optimizer.param_groups[:] = groups


def split(group: dict[str, Any], scales: dict[int, float]) -> Iterator[dict[str, Any]]:
    """Split a group by its parameters' scales, in order of first appearance."""
    own_scales = [scales.get(id(p), 1.0) for p in group["params"]]
    for scale in dict.fromkeys(own_scales):
        parameters = [p for p, own in zip(group["params"], own_scales, strict=True) if own == scale]
        yield group | {"params": parameters, "lr": group["lr"] * scale}


def layers_of(model: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters by layer, from input to head. For timm's models, the layers are timm's own.

    For other models a layer is a child of the model, or of a `Sequential` or `ModuleList` in it, in
    order of definition. A child that has only vectors, such as a norm, belongs to the previous
    layer; the model's own parameters, such as position embeddings, belong to the first.
    """
    head = list(model.get_submodule(head_of(model)).parameters())
    model = model.network if isinstance(model, Library) else model
    if hasattr(model, "group_matcher"):
        return layers_of_timm(model)
    seen = {id(p) for p in head}
    layers: list[list[nn.Parameter]] = []
    first = [p for p in model.parameters(recurse=False) if id(p) not in seen]
    for block in blocks(model):
        parameters = [p for p in block.parameters() if id(p) not in seen]
        seen.update(map(id, parameters))
        if not parameters:
            continue
        if layers and all(p.ndim <= 1 for p in parameters):
            layers[-1] += parameters
        else:
            layers.append([*first, *parameters])
            first = []
    return [*layers, head]


def layers_of_timm(model: Any) -> list[list[nn.Parameter]]:
    """The parameters by layer, as timm's own layer-wise decay groups them."""
    from timm.models import group_parameters

    names = group_parameters(model, model.group_matcher(coarse=False))
    return [[model.get_parameter(name) for name in names[i]] for i in sorted(names)]
