"""Speed of a run's train steps, the time the run will take, and hardware utilisation."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from trainer.core.seed import StepId

if TYPE_CHECKING:
    from trainer.training.fit import Fit

UNTIMED = 3  # first batches, which are slower
BACKWARD = 2  # FLOPs of a backward pass relative to a forward pass

# Dense FLOP/s in bf16 and in TF32, from NVIDIA's data sheets, by `torch.cuda.get_device_name()`.
PEAKS = {
    "NVIDIA A10": (125e12, 62.5e12),
    "NVIDIA A100-PCIE-40GB": (312e12, 156e12),
    "NVIDIA A100-SXM4-40GB": (312e12, 156e12),
    "NVIDIA A100-SXM4-80GB": (312e12, 156e12),
    "NVIDIA A100 80GB PCIe": (312e12, 156e12),
    "NVIDIA GeForce RTX 3090": (71e12, 35.6e12),
    "NVIDIA GeForce RTX 4090": (165.2e12, 82.6e12),
    "NVIDIA H100 80GB HBM3": (989.4e12, 494.7e12),
    "NVIDIA H100 PCIe": (756e12, 378e12),
    "NVIDIA H200": (989.4e12, 494.7e12),
    "NVIDIA L4": (121e12, 60e12),
    "NVIDIA L40S": (362e12, 183e12),
}


def measure(
    fit: Fit, batches: int, image: Tensor, device: torch.device, precision: str
) -> dict[str, float | None]:
    """Time train steps at learning rate 0: images/s, FLOP/s, and seconds per epoch and run.

    `image` [1, C, H, W] is one input. FLOPs are those of matrix products and convolutions; a
    multiply-add counts as two. Utilisation is relative to the GPU's peak at the run's precision,
    None if that is not known.
    """
    for group in fit.optimizer.param_groups:
        group["lr"] = 0.0
    plan, cost = fit.planner.plan(0), fit.progress.cost
    bounds, rows, since = plan.bounds.tolist(), 0, time.perf_counter()
    passes = cost.forward + BACKWARD * cost.backward
    cut = fit.step.cut(plan, StepId(fit.seed, 0, 0))
    for i, batch in enumerate(islice(fit.train_feed.batches(plan, cut=cut), batches)):
        if i == min(UNTIMED, plan.steps - 1):
            fit.step.norm.item()  # waits for a GPU
            rows, since = 0, time.perf_counter()
            passes = cost.forward + BACKWARD * cost.backward
        fit.step(batch, StepId(fit.seed, 0, i), bounds[i])
        rows += len(batch)
        fit.signals.raise_if_stopped()
    fit.step.norm.item()
    seconds = time.perf_counter() - since
    passes = cost.forward + BACKWARD * cost.backward - passes
    epoch = len(plan) * seconds / rows + validation_seconds(fit)
    per_image = flops(fit, image.to(device))
    per_second, limit = per_image * passes / seconds, peak(device, precision)
    return {
        "images_per_second": rows / seconds,
        "epoch_seconds": epoch,
        "total_seconds": epoch * fit.clock.total / fit.clock.steps_per_epoch,
        "flops_per_image": per_image,
        "flops_per_second": per_second,
        "utilisation": None if limit is None else per_second / limit,
    }


def validation_seconds(fit: Fit) -> float:
    """Time an evaluation of the validation split."""
    since = time.perf_counter()
    if len(fit.data.val):
        fit.evaluator(fit.val_feed, fit.data.val, poll=fit.signals.raise_if_stopped)
    return time.perf_counter() - since


def flops(fit: Fit, image: Tensor) -> float:
    """Count the FLOPs of a forward pass of one image [1, C, H, W]."""
    with fit.step.forward.read_only(), FlopCounterMode(display=False) as counter:
        fit.model(image)
    return float(counter.get_total_flops())


def peak(device: torch.device, precision: str) -> float | None:
    """Return the GPU's peak FLOP/s at a precision, None if it is not known."""
    if device.type != "cuda":
        return None
    known = PEAKS.get(torch.cuda.get_device_name(device))
    return None if known is None else known[precision == "fp32"]
