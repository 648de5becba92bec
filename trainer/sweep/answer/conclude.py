"""The end of an answer sweep: `compare.*` in its folder, and the answer in three sentences."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING, cast

from trainer.cli.execute import make_run
from trainer.compare import Anytime
from trainer.config.compose import resolve
from trainer.config.run_names import quoted
from trainer.core.errors import TrainerError, complain
from trainer.job.compare import Compare
from trainer.job.compare.comparison import Comparison, compare
from trainer.job.compare.groups import group_runs
from trainer.job.compare.runs import FinishedRun, read_run
from trainer.report.console import Console
from trainer.storage.run_folder import RunFolder
from trainer.sweep.answer.table import drawing
from trainer.sweep.answer.text import sentences

if TYPE_CHECKING:
    from hydra.types import HydraContext
    from omegaconf import DictConfig

    from trainer.job.compare.job import SavedData
    from trainer.sweep.answer.inquiry import Inquiry

COMPARE = ["job=compare", "compare=anytime", "sweep=answer"]


def conclude(inquiry: Inquiry, context: HydraContext, config: DictConfig) -> None:
    """Write `answer.json` and `compare.*`, and print the answer."""
    inquiry.save()
    console = Console(quiet=bool(config.quiet))
    images: dict[str, str] = {}
    try:
        comparison = compared(inquiry)
        line = [*COMPARE, f"runs=[{quoted(str(inquiry.folder))}]"]
        own = resolve(context.config_loader.load_sweep_config(config, line))
        sources = [s.path for s in config.hydra.runtime.config_sources if s.schema == "file"]
        run = make_run(own, RunFolder(inquiry.folder), Console(quiet=True), line, sources)
        saved_data = cast("SavedData", run.services["saved_data"])
        shutil.rmtree(inquiry.folder / "tensorboard", ignore_errors=True)  # it would be added to
        Compare().write(inquiry.folder, comparison, saved_data)
        images = images_of(inquiry, comparison)
    except TrainerError as error:
        complain(f"no comparison: {error}")
    else:
        console.say(f"page          {inquiry.folder / 'compare.html'}")
    counts = ", ".join(f"{n} {state}" for state, n in states(inquiry).items())
    console.say(drawing(inquiry, counts, images))
    for sentence in sentences(inquiry, images):
        console.say(sentence)
    sys.stdout.flush()


def states(inquiry: Inquiry) -> dict[str, int]:
    """The number of runs and searches in each state."""
    jobs = [*inquiry.jobs.values(), *(found.job for found in inquiry.searches.values())]
    return dict(Counter(job.state for job in jobs))


def images_of(inquiry: Inquiry, comparison: Comparison) -> dict[str, str]:
    """The intervals for new images by strategy, as far as there are some."""
    by_folder = {run.folder: group.label for group in comparison.groups for run in group.runs}
    rows = {row.label: row.images for row in comparison.final.rows}
    found = {}
    for (label, _), job in inquiry.jobs.items():
        images = rows.get(by_folder.get(job.folder, ""))  # pyright: ignore
        if images is not None and images.bounds is not None:
            found[label] = comparison.format.bounds(*images.bounds, sign=True)
    return found


def compared(inquiry: Inquiry) -> Comparison:
    """The comparison of the runs that the answer is based on, by the same intervals."""
    evidence = inquiry.evidence
    jobs = {place: job for place, job in inquiry.jobs.items() if job.done and job.folder}
    counted = [(k, i) for k in evidence.values for i in evidence.counted(k) if (k, i) in jobs]
    runs = [read_run(jobs[place].folder) for place in counted]  # pyright: ignore
    finished = [run for run in runs if isinstance(run, FinishedRun)]
    folders = {jobs[place].folder for place in counted if place[0] == evidence.baseline}
    groups, _ = group_runs(finished)
    baseline = next((g.label for g in groups if any(run.folder in folders for run in g.runs)), None)
    interval = Anytime(level=inquiry.limits.level)
    return compare(runs, interval=interval, metric=inquiry.metric, baseline=baseline)
