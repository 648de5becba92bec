"""Weights, gradients and optimizer state in parts, one for each process (strategy=fsdp).

torch's fully_shard (Zhao et al. 2023, https://arxiv.org/abs/2304.11277) gathers the weights of a
block while it is at work and sums its gradients into the parts. The optimizer sees this process's
parts as plain tensors: what it does is elementwise. State dicts are of the whole, so that a
checkpoint is the same under any strategy.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from trainer.distributed.world import World
from trainer.model.shared.blocks import blocks
from trainer.training.nonfinite import NonFiniteGuard

SMALLEST = 2**16  # weights of a block that is gathered by itself


def shard(model: nn.Module, device: torch.device, size: int) -> None:
    """Leave each of `size` processes its part of the weights; state dicts stay whole."""
    mesh = init_device_mesh(device.type, (size,))
    large = [block for block in blocks(model) if weights_of(block) >= SMALLEST]
    for module in [*large, model]:
        made: Any = fully_shard(module, mesh=mesh, reshard_after_forward=True)
        made.set_gradient_divide_factor(1.0)  # sums: the loss is divided by what all count
        made.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    model.register_state_dict_post_hook(gather_weights)
    model.register_load_state_dict_pre_hook(part_weights)


def weights_of(module: nn.Module) -> int:
    """How many weights a module has."""
    return sum(parameter.numel() for parameter in module.parameters())


def gather_weights(_: nn.Module, state: dict[str, Tensor], *about: Any) -> None:  # noqa: ARG001
    """Put whole tensors in place of parts in the model's state dict."""
    for name, value in state.items():
        if isinstance(value, DTensor):
            whole: DTensor = value.detach()  # pyright: ignore
            state[name] = whole.full_tensor()


def part_weights(model: nn.Module, state: dict[str, Tensor], *_: Any) -> None:
    """Put parts in place of whole tensors, before the model takes them."""
    for name, parameter in model.named_parameters():
        if isinstance(parameter, DTensor) and not isinstance(state.get(name, parameter), DTensor):
            state[name] = part_of(state[name], parameter)


def local(value: Any) -> Any:
    """The process's part of what is in parts; anything else as it is."""
    return value.to_local() if isinstance(value, DTensor) else value


def part_of(whole: Tensor, like: DTensor) -> DTensor:
    """A tensor that every process has in whole, in the parts of another."""
    whole = whole.to(like.device, like.dtype)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)  # pyright: ignore


class ShardedGuard(NonFiniteGuard):
    """A guard whose optimizer has the process's parts of the weights."""

    def __init__(self, world: World, optimizer: Optimizer, buffers: list[Tensor], **options: Any):
        self.world = world
        self.whole: list[Any] = []  # the model's parameters, DTensors
        self.parts: list[Tensor] = []
        for group in optimizer.param_groups:
            self.whole += group["params"]
            group["params"] = [p.detach().to_local() for p in group["params"]]
            self.parts += group["params"]
        for whole, part in zip(self.whole, self.parts, strict=True):
            held = optimizer.state.pop(whole, {})  # what some begin with
            if held:
                optimizer.state[part] = {name: local(value) for name, value in held.items()}
        optimizer.register_state_dict_post_hook(self.on_state(self.gathered))
        optimizer.register_load_state_dict_pre_hook(self.on_state(self.parted))
        options["deferred"] = False  # fused kernels of parts take no mask
        super().__init__(optimizer, buffers, **options)

    def start(self) -> None:
        """Begin a step: no gradients yet."""
        super().start()
        for parameter in self.whole:
            parameter.grad = None

    def gradients(self) -> tuple[Tensor, list[Tensor]]:
        """The 2-norm of all gradients together, and the process's parts of them."""
        for whole, part in zip(self.whole, self.parts, strict=True):
            part.grad = None if whole.grad is None else whole.grad.to_local()
        norm, gradients = super().gradients()
        square = norm.square()
        self.world.all_reduce([square])
        return square.sqrt(), gradients

    def on_state(self, change: Callable[[Tensor, int], Tensor]) -> Callable[..., dict[str, Any]]:
        """A hook that changes what the optimizer remembers of each parameter."""

        def hook(_: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
            held = {
                i: {name: change(value, i) for name, value in of.items()}
                for i, of in state["state"].items()
            }
            return {**state, "state": held}

        return hook

    def gathered(self, value: Any, i: int) -> Any:
        """The whole of a tensor that is shaped as the process's part of parameter i."""
        whole = self.whole[i]
        if not isinstance(value, Tensor) or value.shape != self.parts[i].shape:
            return value
        shape = {"shape": whole.shape, "stride": whole.stride()}
        return DTensor.from_local(value, whole.device_mesh, whole.placements, **shape).full_tensor()

    def parted(self, value: Any, i: int) -> Any:
        """The process's part of a tensor that is shaped as parameter i."""
        if not isinstance(value, Tensor) or value.shape != self.whole[i].shape:
            return value
        return part_of(value, self.whole[i]).to_local()
