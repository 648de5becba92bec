"""Weights, gradients and optimizer state sharded over the processes (strategy=fsdp).

torch's fully_shard (Zhao et al. 2023, https://arxiv.org/abs/2304.11277) gathers the weights of a
block while it computes, and reduces its gradients to shards. The optimizer sees this process's
shards as plain tensors, which is exact because its updates are elementwise. State dicts contain
full tensors, so a checkpoint is the same under any strategy.
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

SMALLEST = 2**16  # weights of a block that gets a gather of its own


def shard(model: nn.Module, device: torch.device, size: int) -> None:
    """Shard a model's weights in place over `size` processes; its state dicts stay full."""
    mesh = init_device_mesh(device.type, (size,))
    large = [block for block in blocks(model) if count_weights(block) >= SMALLEST]
    for module in [*large, model]:
        sharded: Any = fully_shard(module, mesh=mesh, reshard_after_forward=True)
        sharded.set_gradient_divide_factor(1.0)  # sum: the loss's denominator is already global
        sharded.set_force_sum_reduction_for_comms(True)  # the only reduction that gloo supports
    model.register_state_dict_post_hook(gather_weights)
    model.register_load_state_dict_pre_hook(shard_weights)


def count_weights(module: nn.Module) -> int:
    """Return the number of weights in a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def gather_weights(_: nn.Module, state: dict[str, Tensor], *context: Any) -> None:  # noqa: ARG001
    """Replace the shards in a model's state dict by full tensors: a state-dict hook."""
    for name, value in state.items():
        if isinstance(value, DTensor):
            whole: DTensor = value.detach()  # pyright: ignore
            state[name] = whole.full_tensor()


def shard_weights(model: nn.Module, state: dict[str, Tensor], *_: Any) -> None:
    """Replace full tensors in a state dict by shards: a hook run before the model loads it."""
    for name, parameter in model.named_parameters():
        if isinstance(parameter, DTensor) and not isinstance(state.get(name, parameter), DTensor):
            state[name] = shard_like(state[name], parameter)


def local_shard(value: Any) -> Any:
    """Return this process's shard of a DTensor; any other value unchanged."""
    return value.to_local() if isinstance(value, DTensor) else value


def shard_like(whole: Tensor, like: DTensor) -> DTensor:
    """Shard a tensor that every process has in full, with the placement of `like`."""
    whole = whole.to(like.device, like.dtype)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)  # pyright: ignore


class ShardedGuard(NonFiniteGuard):
    """A non-finite guard for an optimizer that updates this process's shards of the weights."""

    def __init__(self, world: World, optimizer: Optimizer, buffers: list[Tensor], **options: Any):
        self.world = world
        self.whole: list[Any] = []  # the model's parameters, DTensors
        self.parts: list[Tensor] = []  # this process's shard of each
        for group in optimizer.param_groups:
            self.whole += group["params"]
            group["params"] = [p.detach().to_local() for p in group["params"]]
            self.parts += group["params"]
        for whole, part in zip(self.whole, self.parts, strict=True):
            initial = optimizer.state.pop(whole, {})  # some optimizers create state when built
            if initial:
                optimizer.state[part] = {n: local_shard(value) for n, value in initial.items()}
        optimizer.register_state_dict_post_hook(self.state_hook(self.gather_state))
        optimizer.register_load_state_dict_pre_hook(self.state_hook(self.shard_state))
        options["deferred"] = False  # fused kernels on shards accept no found_inf mask
        super().__init__(optimizer, buffers, **options)

    def start(self) -> None:
        """Begin a step: clear the gradients of the shards and of the model's parameters."""
        super().start()
        for parameter in self.whole:
            parameter.grad = None

    def full_parameters(self) -> list[Tensor]:
        """Return the model's parameters, whose shapes are those of checkpoints."""
        return self.whole

    def finite_weights(self) -> bool:
        """Return whether the shards of all processes are finite. A collective."""
        return not self.world.highest(int(not super().finite_weights()))

    def gradients(self) -> tuple[Tensor, list[Tensor]]:
        """Return the gradients' global 2-norm, a scalar, and this process's shards of them."""
        for whole, part in zip(self.whole, self.parts, strict=True):
            part.grad = None if whole.grad is None else whole.grad.to_local()
        norm, gradients = super().gradients()
        square = norm.square()
        self.world.all_reduce([square])
        return square.sqrt(), gradients

    def state_hook(self, change: Callable[[Tensor, int], Tensor]) -> Callable[..., dict[str, Any]]:
        """Return a hook that applies `change` to the optimizer's state of each parameter."""

        def hook(_: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
            changed = {
                i: {name: change(value, i) for name, value in values.items()}
                for i, values in state["state"].items()
            }
            return {**state, "state": changed}

        return hook

    def gather_state(self, value: Any, i: int) -> Any:
        """Gather a tensor shaped like parameter i's shard; any other value is returned as is."""
        whole = self.whole[i]
        if not isinstance(value, Tensor) or value.shape != self.parts[i].shape:
            return value
        shape = {"shape": whole.shape, "stride": whole.stride()}
        return DTensor.from_local(value, whole.device_mesh, whole.placements, **shape).full_tensor()

    def shard_state(self, value: Any, i: int) -> Any:
        """Shard a tensor shaped like parameter i; any other value is returned as is."""
        if not isinstance(value, Tensor) or value.shape != self.whole[i].shape:
            return value
        return shard_like(value, self.whole[i]).to_local()
