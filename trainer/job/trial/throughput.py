"""How fast a run trains, what it will take, and how much of the hardware it uses."""

import time
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainer.core.seed import StepId
from trainer.training.fit import Fit

if TYPE_CHECKING:
    from trainer.run.run import Run

UNTIMED = 3  # first batches, slower than the rest
BACKWARD = 2  # FLOPs of a backward pass over those of a forward pass

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


def measure(run: "Run", fit: Fit, batches: int) -> dict[str, float | None]:
    """Images and FLOP/s of training steps that leave the weights as they are, and the run's time.

    FLOPs are those of matrix products and convolutions, a multiplication and an addition being
    two. The utilisation is of the card's peak at the run's precision, None where it is not known.
    """
    optimizer = fit.step.guard.optimizer
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    plan, cost = fit.planner.plan(0), fit.step.cost
    bounds, rows, since = plan.bounds.tolist(), 0, time.perf_counter()
    passes = cost.forward + BACKWARD * cost.backward
    for i, batch in enumerate(islice(fit.train_feed.batches(plan), batches)):
        if i == min(UNTIMED, plan.steps - 1):
            fit.step.norm.item()  # waits for a GPU
            rows, since = 0, time.perf_counter()
            passes = cost.forward + BACKWARD * cost.backward
        fit.step(batch, StepId(fit.seed, 0, i), bounds[i])
        rows += len(batch)
        run.signals.check()
    fit.step.norm.item()
    seconds = time.perf_counter() - since
    passes = cost.forward + BACKWARD * cost.backward - passes
    epoch = len(plan) * seconds / rows + time_of_validation(run, fit)
    own = flops(run)
    reached, most = own * passes / seconds, peak(run)
    return {
        "images_per_second": rows / seconds,
        "epoch_seconds": epoch,
        "total_seconds": epoch * fit.clock.total / fit.clock.steps_per_epoch,
        "flops_per_image": own,
        "flops_per_second": reached,
        "utilisation": None if most is None else reached / most,
    }


def time_of_validation(run: "Run", fit: Fit) -> float:
    """Seconds that the validation split takes."""
    since = time.perf_counter()
    if len(run.data.val):
        run.evaluator(fit.val_feed, run.data.val, poll=run.signals.check)
    return time.perf_counter() - since


def flops(run: "Run") -> float:
    """FLOPs of a forward pass of one image."""
    image = run.sample(1).to(run.device)
    with run.forward.read_only(), FlopCounterMode(display=False) as counter:
        run.model(image)
    return float(counter.get_total_flops())


def peak(run: "Run") -> float | None:
    """The most FLOP/s of the run's card at its precision, where both are known."""
    if run.device.type != "cuda":
        return None
    known = PEAKS.get(torch.cuda.get_device_name(run.device))
    return None if known is None else known[run.config["precision"] == "fp32"]
