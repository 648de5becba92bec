"""The largest batch that fits, and how fast each size is."""

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
from trainer.core.seed import Purpose, StepId, generator
from trainer.job.base import Job
from trainer.job.find_batch_size.sizes import KNEE, Size, cells, knee, picture, predicted, write
from trainer.report.console import table
from trainer.report.log import Log
from trainer.run import memory
from trainer.run.assemble import make_fit
from trainer.training.reporter import Reporter
from trainer.training.rollback import forget, rolled_back

if TYPE_CHECKING:
    from trainer.run.run import Run
    from trainer.training.fit import Fit

SHORTEST, LONGEST = 0.5, 5.0  # seconds that a size is timed, within a step of it
NEAR = 8  # the search ends within an eighth of the largest that fits


class FindBatchSize(Job):
    """Takes some of the run's own train steps at each size, doubled from `start` on.

    What does not fit ends the doubling, and the largest that does is searched for between. On a GPU
    that is what runs out of memory. On the CPU, and where `memory_gb` is given, a size is not tried
    whose memory, by the line through the two before, would be more. The steps are those of an epoch
    in which mining is active, at rate 0; model and optimizer end as they began. The suggestion is
    the knee: the smallest size with 95 % of the best speed. Writes `find_batch_size.csv` and a PNG.
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

    def __call__(self, run: Run) -> dict[str, Any]:
        """Try the sizes, then suggest one."""
        log = Log(run.folder.path, run.console.warn)
        try:
            fit = make_fit(run, Reporter(log, run.console, run.data, run.epochs))
            with rolled_back(fit):
                sizes, limit = self.search(run, fit)
            pixels = picture(sizes)
            Image.fromarray(pixels).save(run.folder.path / "find_batch_size.png")
            log.show("image", "find_batch_size", pixels, 0)
        finally:
            log.close()
        write(run.folder.path / "find_batch_size.csv", sizes)
        return conclude(run, sizes, limit)

    def search(self, run: Run, fit: Fit) -> tuple[list[Size], str]:
        """What each size showed, in ascending order, and what the largest is limited by."""
        for group in fit.step.guard.optimizer.param_groups:
            group["lr"] = 0.0  # an update costs the same, and steps at one size change no other's
        if run.config["finetune"]["unfreeze"] is not None:
            fit.freeze(math.inf)  # the most that the run will need
        epoch = len(run.sampler.rows(run.data.train, generator(fit.seed, Purpose.PLAN, 0))[0])
        largest = min(epoch, self.largest or epoch)
        memory.reset_peak(run.device)
        before, budget = run.peak_memory(), self.budget(run)
        sizes: list[Size] = []

        def fits(rows: int) -> bool:
            within_budget = predicted(rows, sizes, before) - before <= budget
            size = self.attempt(run, fit, rows) if within_budget else None
            if size is not None:
                sizes.append(size)
                run.console.advance(rows, f"{size.images_per_second:,.0f} images/s")
            return size is not None

        run.console.start(largest, 0)
        found = largest_fitting(fits, min(self.start, largest), largest)
        run.console.stop()
        if not found:
            raise OutOfMemoryError(
                f"job.start={self.start} does not fit into the memory of {run.device}; lower it, "
                "or raise accumulate"
            )
        if found < largest:
            return sizes, "memory"
        return sizes, "job.largest" if found < epoch else "the rows of an epoch"

    def budget(self, run: Run) -> float:
        """Bytes that the steps may take."""
        if self.memory_gb is not None:
            return self.memory_gb * 1e9
        return memory.available() / 2 if run.device.type == "cpu" else math.inf

    def attempt(self, run: Run, fit: Fit, rows: int) -> Size | None:
        """Some steps at a size; None where the memory does not suffice."""
        try:
            return self.measure(run, fit, rows)
        except (RuntimeError, MemoryError) as error:
            if not memory.is_full(error):
                raise
        # Only here is the traceback gone, and with it what the step held.
        guard = fit.step.guard
        guard.scaler = torch.amp.GradScaler(run.device.type, enabled=guard.scaler.is_enabled())
        forget(fit)
        memory.free(run.device)
        return None

    def measure(self, run: Run, fit: Fit, rows: int) -> Size:
        """Some steps at a size."""
        epoch = fit.step.miner.warmup_epochs
        planner = replace(fit.planner, batch_size=rows)
        planner.refresh(epoch, lambda ids: torch.zeros(len(ids)))  # whose turn it is matters not
        plan = repeated(planner.plan(epoch), self.untimed + self.repeats)
        memory.reset_peak(run.device)
        seconds = self.timed(run, fit, plan)
        while sum(seconds) < SHORTEST:
            seconds += self.timed(run, fit, plan)
        fit.step.guard.read()
        fit.step.meter.flush()
        median = statistics.median(seconds)
        return Size(rows, int(plan.bounds[1]) / median, median, run.peak_memory())

    def timed(self, run: Run, fit: Fit, plan: Plan) -> list[float]:
        """Seconds that each of the plan's steps takes, but for those that are not timed."""
        epoch, bounds = fit.step.miner.warmup_epochs, plan.bounds.tolist()
        seconds: list[float] = []
        since = time.perf_counter()
        for i, batch in enumerate(fit.train_feed.batches(plan)):
            run.signals.check()
            fit.step(batch, StepId(fit.seed, epoch, i), bounds[i])
            wait(run.device)
            now = time.perf_counter()
            if i >= self.untimed:
                seconds.append(now - since)
            since = now
            if sum(seconds) > LONGEST:
                break
        return seconds


def largest_fitting(fits: Callable[[int], bool], start: int, largest: int) -> int:
    """The largest size that fits, within an eighth of it; 0 where `start` does not."""
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
    """So many steps, of the plan's fullest ones in turn."""
    widths = plan.bounds.diff()
    width = int(widths.max())
    full = (widths == width).nonzero()[:, 0]
    first = plan.bounds[full[torch.arange(steps) % len(full)]]
    return plan.rows((first[:, None] + torch.arange(width)).flatten(), width)


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked for."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def conclude(run: Run, sizes: list[Size], limit: str) -> dict[str, Any]:
    """Show the sizes and the suggestion."""
    columns = ["batch_size", "images/s", "ms a step", "peak memory, MiB"]
    size, largest = knee(sizes).batch_size, sizes[-1].batch_size
    override = f"batch_size={size}"
    run.console.say(table("speed and memory by batch size", columns, cells(sizes)))
    run.console.say(f"largest       {largest}, limited by {limit}")
    run.console.say(f"knee          {size}: the smallest with {100 * KNEE:.0f} % of the best speed")
    run.console.say(f"suggestion    {override}; it may want another rate: job=find_lr {override}")
    run.console.say(f"run folder    {run.folder.path}")
    return {
        "suggestion": size,
        "override": override,
        "largest": largest,
        "limit": limit,
        "sizes": [asdict(size) for size in sizes],
    }
