"""How a signal passes through a model on one batch: activations forward, gradients backward."""

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
SAME_WEIGHT = 1e-6  # units differ by at most this part of the layer's largest weight
SAME_GRADIENT = 1e-3  # the same of its largest gradient: sums of unlike order differ by rounding
NOISE = 1e-6  # gradients below this part of the model's largest one are taken for 0
UNKNOWN = math.nan


@dataclass
class LayerStats:
    """What one layer, or the activation function after it, did with the batch.

    A unit is a feature or a channel; dead are those that are 0 for all examples and places. A
    gradient is that of the loss by the output. What only a layer has is unknown for activations.
    """

    layer: str  # that ran, or the last that ran before the activation
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
    update_ratio: float = UNKNOWN  # norm of the optimizer's first update over that of the weight

    @property
    def active(self) -> bool:
        """Whether this is an activation function."""
        return math.isnan(self.weight_deviation)


@dataclass
class HeadStats:
    """What the layers before the head hand to it, and what comes back."""

    deviation: float = UNKNOWN
    gradient_norm: float = UNKNOWN


@dataclass
class Probe:
    """Hooks that fill a row at each call of a layer or an activation, in the order of the calls."""

    rows: list[LayerStats] = field(default_factory=list)
    end: HeadStats = field(default_factory=HeadStats)
    calls: Counter[str] = field(default_factory=Counter)
    axis: int = 1  # of the units in what the last layer made

    def attach(self, model: nn.Module, head: str) -> None:
        """Watch every layer and activation of a model, and what goes into its head."""
        model.get_submodule(head).register_forward_pre_hook(lambda _, inputs: self.at_end(*inputs))
        for name, module in model.named_modules():
            if isinstance(module, LAYERS):
                module.register_forward_hook(lambda m, _, out, n=name: self.after_layer(n, m, out))
            elif isinstance(module, ACTIVATIONS):
                module.register_forward_hook(lambda m, _, out: self.after_activation(m, out))

    def at_end(self, inputs: Tensor) -> None:
        """Record what goes into the head."""
        self.end.deviation = deviation(inputs.detach())
        if inputs.requires_grad:
            inputs.register_hook(
                lambda gradient: setattr(self.end, "gradient_norm", norm(gradient))
            )

    def after_layer(self, name: str, layer: Any, outputs: Any) -> None:
        """Record the outputs of a layer; from its second call on, the name says which it is."""
        self.calls[name] += 1
        self.axis = -1 if isinstance(layer, nn.Linear) else 1
        called = name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"
        row = self.record(called, layer, outputs)
        row.weight_deviation = deviation(layer.weight.detach())

    def after_activation(self, module: nn.Module, outputs: Any) -> None:
        """Record the outputs of an activation function."""
        self.record(self.rows[-1].layer if self.rows else "", module, outputs)

    def record(self, name: str, module: nn.Module, outputs: Tensor) -> LayerStats:
        """The row of some outputs [B, ...]; their gradient is added when it comes."""
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
            outputs.register_hook(lambda gradient: take_gradient(row, gradient))
        return row


def take_gradient(row: LayerStats, gradient: Tensor) -> None:
    """Add the gradient of a row's outputs."""
    row.gradient_mean = gradient.mean().item()
    row.gradient_deviation = deviation(gradient)
    row.gradient_norm = norm(gradient)


def deviation(values: Tensor) -> float:
    """The standard deviation of all elements."""
    return values.std(correction=0).item()


def norm(values: Tensor) -> float:
    """The 2-norm of all elements."""
    return values.norm().item()


def observe(forward: Forward, head: str, loss: Loss, batch: Batch) -> tuple[Probe, float]:
    """What a model in training mode does with a batch of stored pixels, and the loss.

    Hooks and gradients stay with the model, so it should be a copy.
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
    """Take one step of the optimizer and add each weight's change, as a part of its norm."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, LAYERS)}
    before = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    optimizer.step()
    for row in rows:
        name = row.layer.partition("#")[0]
        if not row.active and before[name].any():
            change = layers[name].weight.detach() - before[name]
            row.update_ratio = norm(change) / norm(before[name])


def twins(model: nn.Module, head: str) -> dict[str, tuple[int, int]]:
    """By layer: how many of its units are the same as another, and how many it has.

    The same are units whose weights and bias are equal, and the gradients of these: every update
    moves them alike. The head is left out, whose units the labels tell apart, and so are layers
    without such units.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, LAYERS)}
    gradients = {name: by_unit(layer, gradient=True) for name, layer in layers.items()}
    largest = max((g.abs().max().item() for g in gradients.values()), default=0.0)
    found = {}
    for name, layer in layers.items():
        weights = scaled(by_unit(layer, gradient=False), SAME_WEIGHT)
        slopes = scaled(gradients[name], SAME_GRADIENT, NOISE * largest)
        same = number_alike(torch.cat([weights, slopes], 1))
        if same and not inside(name, head):
            found[name] = same, len(weights)
    return found


def by_unit(layer: Any, *, gradient: bool) -> Tensor:
    """Weights and bias, or their gradients, one row for each unit, [units, n]; no gradient is 0."""
    parts = []
    for parameter in (layer.weight, layer.bias):
        if parameter is None:
            continue
        held = parameter.grad if gradient else parameter.detach()
        held = torch.zeros_like(parameter) if held is None else held
        if held.ndim > 1 and isinstance(layer, TRANSPOSED):  # [in, out / groups, ...]
            held = held.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
        parts.append(held.reshape(len(held), -1))
    return torch.cat(parts, 1)


def scaled(rows: Tensor, tolerance: float, least: float = 0.0) -> Tensor:
    """The rows in units of the tolerance, which is a part of the largest value."""
    largest = max(rows.abs().max().item(), least)
    return rows / (largest * tolerance) if largest > 0 else rows


def number_alike(rows: Tensor) -> int:
    """How many rows [n, d] differ by at most 1 in each element from another one.

    Rows that are alike lie side by side when sorted by their product with a vector.
    """
    if len(rows) < 2:
        return 0
    rng = torch.Generator().manual_seed(0)
    direction = torch.randn(rows.shape[1], generator=rng).to(rows)
    order = rows[(rows @ direction).argsort(stable=True)]
    near = order.diff(dim=0).abs().amax(1) <= 1
    ends = near.new_zeros(1)
    return int((torch.cat([ends, near]) | torch.cat([near, ends])).sum())
