"""Statistics of activations and gradients, layer by layer, on one batch."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainer.core.batch import Batch
from trainer.core.forward import Forward
from trainer.init.base import LAYERS
from trainer.loss import Loss
from trainer.model.shared.head import inside

ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU),
    *(nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Tanh, nn.Sigmoid),
)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# Identical units differ by at most these fractions of the layer's largest weight and gradient.
SAME_WEIGHT = 1e-6
SAME_GRADIENT = 1e-3  # larger, as the order of summation changes the rounding
NOISE = 1e-6  # gradients below this fraction of the model's largest count as 0
UNKNOWN = math.nan


@dataclass
class LayerStats:
    """Statistics of one call of a layer, or of the activation function after it.

    A unit is a feature or a channel; it is dead if it is 0 for all examples and positions.
    Gradients are of the loss with respect to the output. Weights are unknown for activations.
    """

    layer: str  # the layer or, for an activation, the last layer called before it
    kind: str
    units: int
    mean: float
    deviation: float
    dead: float
    gradient_mean: float = UNKNOWN
    gradient_deviation: float = UNKNOWN
    gradient_norm: float = UNKNOWN
    weight_deviation: float = UNKNOWN
    weight_gradient_mean: float = UNKNOWN
    weight_gradient_deviation: float = UNKNOWN
    weight_gradient_norm: float = UNKNOWN
    update_ratio: float = UNKNOWN  # norm of the first update over that of the weight

    @property
    def active(self) -> bool:
        """Whether the row is that of an activation function."""
        return math.isnan(self.weight_deviation)


@dataclass
class HeadStats:
    """Statistics of the input of the head and of its gradient."""

    deviation: float = UNKNOWN
    gradient_norm: float = UNKNOWN


@dataclass
class Probe:
    """Hooks that add a row for each call of a layer or an activation, in order."""

    rows: list[LayerStats] = field(default_factory=list)
    end: HeadStats = field(default_factory=HeadStats)
    calls: Counter[str] = field(default_factory=Counter)
    axis: int = 1  # of the units in the last layer's output

    def attach(self, model: nn.Module, head: str) -> None:
        """Register hooks on all layers and activations of a model and on its head's input."""
        model.get_submodule(head).register_forward_pre_hook(lambda _, inputs: self.at_end(*inputs))
        for name, module in model.named_modules():
            if isinstance(module, LAYERS):
                module.register_forward_hook(lambda m, _, out, n=name: self.after_layer(n, m, out))
            elif isinstance(module, ACTIVATIONS):
                module.register_forward_hook(lambda m, _, out: self.after_activation(m, out))

    def at_end(self, inputs: Tensor) -> None:
        """Record the head's input and, in the backward pass, its gradient."""
        self.end.deviation = deviation(inputs.detach())
        if inputs.requires_grad:
            inputs.register_hook(
                lambda gradient: setattr(self.end, "gradient_norm", norm(gradient))
            )

    def after_layer(self, name: str, layer: Any, outputs: Any) -> None:
        """Record the outputs of a layer; further calls are named `layer#2` and so on."""
        self.calls[name] += 1
        self.axis = -1 if isinstance(layer, nn.Linear) else 1
        call = name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"
        row = self.record(call, layer, outputs)
        row.weight_deviation = deviation(layer.weight.detach())

    def after_activation(self, module: nn.Module, outputs: Any) -> None:
        """Record the outputs of an activation function."""
        self.record(self.rows[-1].layer if self.rows else "", module, outputs)

    def record(self, name: str, module: nn.Module, outputs: Tensor) -> LayerStats:
        """Add a row for outputs [B, ...]; the backward pass fills in their gradient."""
        values = outputs.detach()
        by_unit = values.movedim(self.axis, 0).flatten(1)
        row = LayerStats(
            name,
            type(module).__name__,
            len(by_unit),
            values.mean().item(),
            deviation(values),
            (by_unit == 0).all(1).float().mean().item(),
        )
        self.rows.append(row)
        if outputs.requires_grad:
            outputs.register_hook(lambda gradient: record_gradient(row, gradient))
        return row


def record_gradient(row: LayerStats, gradient: Tensor) -> None:
    """Fill in the statistics of the gradient of a row's outputs."""
    row.gradient_mean = gradient.mean().item()
    row.gradient_deviation = deviation(gradient)
    row.gradient_norm = norm(gradient)


def deviation(values: Tensor) -> float:
    """Return the population standard deviation of all elements."""
    return values.std(correction=0).item()


def norm(values: Tensor) -> float:
    """Return the 2-norm of all elements."""
    return values.norm().item()


def observe(forward: Forward, head: str, loss: Loss, batch: Batch) -> tuple[Probe, float]:
    """Probe one forward and backward pass on a batch of stored pixels; returns also the loss.

    Hooks and gradients stay on the model, so pass a copy in training mode.
    """
    probe = Probe()
    probe.attach(forward.model, head)
    labels = batch.labels[:, 0]
    outputs = forward(forward.inputs(batch.images))
    total = loss.forward(outputs, labels).sum() / loss.denominator(labels).sum()
    total.backward()
    modules = dict(forward.model.named_modules())
    for row in probe.rows:
        weight: Any = None if row.active else modules[row.layer.partition("#")[0]].weight
        if weight is not None and weight.grad is not None:
            row.weight_gradient_mean = weight.grad.mean().item()
            row.weight_gradient_deviation = deviation(weight.grad)
            row.weight_gradient_norm = norm(weight.grad)
    return probe, total.item()


def add_updates(rows: list[LayerStats], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Take one optimizer step and fill in each layer's ratio ‖Δw‖ / ‖w‖."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, LAYERS)}
    before = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    optimizer.step()
    for row in rows:
        name = row.layer.partition("#")[0]
        if not row.active and before[name].any():
            change = layers[name].weight.detach() - before[name]
            row.update_ratio = norm(change) / norm(before[name])


def identical_units(model: nn.Module, head: str) -> dict[str, tuple[int, int]]:
    """Count, by layer, the units that have an identical twin, and all units.

    Units are identical if their weights, biases and the gradients of both are: every update then
    changes them in the same way. Layers without any are left out, and so is the head, whose units
    the labels distinguish.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, LAYERS)}
    gradients = {name: by_unit(layer, gradient=True) for name, layer in layers.items()}
    largest = max((g.abs().max().item() for g in gradients.values()), default=0.0)
    counts = {}
    for name, layer in layers.items():
        weights = scaled(by_unit(layer, gradient=False), SAME_WEIGHT)
        gradient_rows = scaled(gradients[name], SAME_GRADIENT, NOISE * largest)
        identical = count_identical(torch.cat([weights, gradient_rows], 1))
        if identical and not inside(name, head):
            counts[name] = identical, len(weights)
    return counts


def by_unit(layer: Any, *, gradient: bool) -> Tensor:
    """Return weights and bias, or their gradients (0 if missing), a row per unit: [units, n]."""
    parts = []
    for parameter in (layer.weight, layer.bias):
        if parameter is None:
            continue
        values = parameter.grad if gradient else parameter.detach()
        values = torch.zeros_like(parameter) if values is None else values
        if values.ndim > 1 and isinstance(layer, TRANSPOSED):  # [in, out / groups, ...]
            values = values.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
        parts.append(values.reshape(len(values), -1))
    return torch.cat(parts, 1)


def scaled(rows: Tensor, tolerance: float, least: float = 0.0) -> Tensor:
    """Divide by the tolerance, a fraction of the largest absolute value or, if larger, `least`."""
    largest = max(rows.abs().max().item(), least)
    return rows / (largest * tolerance) if largest > 0 else rows


def count_identical(rows: Tensor) -> int:
    """Count the rows [n, d] that differ from another one by at most 1 in each element.

    Sorting by the product with a random vector makes such rows neighbours.
    """
    if len(rows) < 2:
        return 0
    rng = torch.Generator().manual_seed(0)
    direction = torch.randn(rows.shape[1], generator=rng).to(rows)
    order = rows[(rows @ direction).argsort(stable=True)]
    near = order.diff(dim=0).abs().amax(1) <= 1
    ends = near.new_zeros(1)
    return int((torch.cat([ends, near]) | torch.cat([near, ends])).sum())
