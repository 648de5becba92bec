"""Batch-size finder: the largest batch that fits in memory, and the speed of each size."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from trainer.core.errors import OutOfMemoryError
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.job.base import Job
from trainer.job.find_batch_size.sizes import (
    KNEE,
    Size,
    cells,
    knee,
    picture,
    predicted_memory,
    write_sizes,
)
from trainer.report.console import table
from trainer.run import memory
from trainer.training.rollback import forget, rolled_back

if TYPE_CHECKING:
    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder
    from trainer.training.fit import Fit

SHORTEST, LONGEST = 0.5, 5.0  # seconds of timing per size, to within a step
NEAR = 8  # the bisection ends within 1/8 of the largest size that fits


class FindBatchSize(Job):
    """Times the run's own train steps at batch sizes that double from `start`.

    After the first size that does not fit, the largest that does is found by bisection. On a GPU, a
    size does not fit if it runs out of memory. On the CPU, and if `memory_gb` is set, a size is not
    tried if the memory extrapolated from the two largest so far exceeds the limit. The steps are
    those of an epoch in which mining is active, at learning rate 0; model and optimizer are
    restored. The suggestion is the knee: the smallest size with 95 % of the best speed. Writes
    `find_batch_size.csv` and `find_batch_size.png`.
    """

    needs_data = True

    def __init__(
        self,
        *,
        start: int = 8,
        largest: int | None = None,
        untimed: int = 2,
        repeats: int = 10,
        memory_gb: float | None = None,
    ) -> None:
        within("job.start", start, "[1, inf)")
        if largest is not None:
            within("job.largest", largest, f"[{start}, inf)")
        within("job.untimed", untimed, "[1, inf)")
        within("job.repeats", repeats, "[1, inf)")
        if memory_gb is not None:
            within("job.memory_gb", memory_gb, "(0, inf)")
        self.start = start
        self.largest = largest
        self.untimed = untimed
        self.repeats = repeats
        self.memory_gb = memory_gb

    def __call__(
        self, *, fit: Fit, thaws: bool, device: torch.device, folder: RunFolder, console: Console
    ) -> dict[str, Any]:
        """Measure the sizes, then suggest one."""
        with rolled_back(fit):
            if thaws:
                fit.freeze(math.inf)  # unfrozen, the run needs most memory
            sizes, limit = self.search(fit, device, console)
        pixels = picture(sizes)
        Image.fromarray(pixels).save(folder.path / "find_batch_size.png")
        fit.reporter.log.show("image", "find_batch_size", pixels, 0)
        write_sizes(folder.path / "find_batch_size.csv", sizes)
        result = conclude(console, sizes, limit)
        console.say(f"run folder    {folder.path}")
        return result

    def search(self, fit: Fit, device: torch.device, console: Console) -> tuple[list[Size], str]:
        """Measure sizes. Returns them in ascending order, and what limits the largest."""
        for group in fit.optimizer.param_groups:
            group["lr"] = 0.0  # costs the same, and keeps the weights for the next size
        epoch = len(fit.planner.whole(0))
        largest = min(epoch, self.largest or epoch)
        memory.reset_peak(device)
        before, budget = memory.peak(device), self.budget(device)
        sizes: list[Size] = []

        def fits(rows: int) -> bool:
            within_budget = predicted_memory(rows, sizes, before) - before <= budget
            size = self.attempt(fit, device, rows) if within_budget else None
            if size is not None:
                sizes.append(size)
                console.advance(rows, f"{size.images_per_second:,.0f} images/s")
            return size is not None

        console.start(largest, 0)
        fitting = largest_fitting(fits, min(self.start, largest), largest)
        console.stop()
        if not fitting:
            raise OutOfMemoryError(
                f"job.start={self.start} does not fit in the memory of {device}; lower it, "
                "or raise accumulate"
            )
        if fitting < largest:
            return sizes, "memory"
        return sizes, "job.largest" if fitting < epoch else "the rows of an epoch"

    def budget(self, device: torch.device) -> float:
        """Return the bytes that the steps may use."""
        if self.memory_gb is not None:
            return self.memory_gb * 1e9
        return memory.available() / 2 if device.type == "cpu" else math.inf

    def attempt(self, fit: Fit, device: torch.device, rows: int) -> Size | None:
        """Measure a size. Returns None if it runs out of memory."""
        try:
            return self.measure(fit, device, rows)
        except (RuntimeError, MemoryError) as error:
            if not memory.is_full(error):
                raise
        # Outside the handler the traceback no longer refers to the tensors of the step.
        fit.guard.reset_scaler(device)
        forget(fit)
        memory.free(device)
        return None

    def measure(self, fit: Fit, device: torch.device, rows: int) -> Size:
        """Time steps of a size for at least SHORTEST seconds and record their peak memory."""
        epoch = fit.miner.warmup_epochs
        planner = replace(fit.planner, batch_size=rows)
        planner.refresh(epoch, lambda ids: torch.zeros(len(ids)))  # any order will do
        plan = repeated(planner.plan(epoch), self.untimed + self.repeats)
        memory.reset_peak(device)
        seconds = self.timed(fit, device, plan)
        while sum(seconds) < SHORTEST:
            seconds += self.timed(fit, device, plan)
        fit.guard.read_flag()
        fit.meter.flush()
        median = statistics.median(seconds)
        return Size(rows, int(plan.bounds[1]) / median, median, memory.peak(device))

    def timed(self, fit: Fit, device: torch.device, plan: Plan) -> list[float]:
        """Return the seconds of each step of the plan but the first `untimed`."""
        epoch, bounds = fit.miner.warmup_epochs, plan.bounds.tolist()
        seconds: list[float] = []
        since = time.perf_counter()
        cut = fit.step.cut(plan, StepId(fit.seed, epoch, 0))
        for i, batch in enumerate(fit.train_feed.batches(plan, cut=cut)):
            fit.signals.raise_if_stopped()
            fit.step(batch, StepId(fit.seed, epoch, i), bounds[i])
            wait(device)
            now = time.perf_counter()
            if i >= self.untimed:
                seconds.append(now - since)
            since = now
            if sum(seconds) > LONGEST:
                break
        return seconds


def largest_fitting(fits: Callable[[int], bool], start: int, largest: int) -> int:
    """Find the largest size that fits, to within an eighth; 0 if `start` does not."""
    low, high = 0, start
    while fits(high):
        if high == largest:
            return high
        low, high = high, min(2 * high, largest)
    while low and high - low > max(1, low // NEAR):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def repeated(plan: Plan, steps: int) -> Plan:
    """Make a plan of `steps` steps that cycles through the fullest steps of `plan`."""
    widths = plan.bounds.diff()
    width = int(widths.max())
    full = (widths == width).nonzero()[:, 0]
    first = plan.bounds[full[torch.arange(steps) % len(full)]]
    return plan.select((first[:, None] + torch.arange(width)).flatten(), width)


def wait(device: torch.device) -> None:
    """Wait for the device to finish its queued work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def conclude(console: Console, sizes: list[Size], limit: str) -> dict[str, Any]:
    """Print and return the sizes and the suggestion."""
    columns = ["batch_size", "images/s", "ms/step", "peak memory, MiB"]
    size, largest = knee(sizes).batch_size, sizes[-1].batch_size
    override = f"batch_size={size}"
    console.say(table("speed and memory by batch size", columns, cells(sizes)))
    console.say(f"largest       {largest}, limited by {limit}")
    console.say(f"knee          {size}: the smallest with {100 * KNEE:.0f} % of the best speed")
    console.say(
        f"suggestion    {override}; the learning rate may need to change: job=find_lr {override}"
    )
    return {
        "suggestion": size,
        "override": override,
        "largest": largest,
        "limit": limit,
        "sizes": [asdict(size) for size in sizes],
    }
