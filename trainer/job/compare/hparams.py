"""The runs in TensorBoard's HParams tab: one table with every setting that differs.

Each run's own event stream has a row there, too, but the tab takes its columns from the first
stream it finds: with `mining=none` first there would be no `mining.keep`. Here every row has all.
"""

from pathlib import Path

from trainer.core.number import finite
from trainer.job.compare.budgets import COSTS
from trainer.job.compare.comparison import SPLITS, Comparison
from trainer.job.compare.runs import FinishedRun
from trainer.report.tensorboard import EventStream


def write(comparison: Comparison, folder: Path) -> None:
    """Write a stream per run, `<group number>-seed-<n>/`, with settings and final numbers."""
    groups = comparison.groups
    keys = list(dict.fromkeys(key for group in groups for key in group.choices))
    numbers = dict.fromkeys(n for group in groups for run in group.runs for n in final_numbers(run))
    first = [comparison.metric, *(cost.key for cost in COSTS)]  # the tab shows five
    names = [*(n for n in first if n in numbers), *(n for n in numbers if n not in first)]
    for i, group in enumerate(groups):
        settings = {key: group.choices.get(key, group.settings.get(key, "null")) for key in keys}
        for run in group.runs:
            stream = EventStream(folder / f"{i}-seed-{run.seed}")
            stream.scalars(final_numbers(run), 0)
            stream.hparams({"seed": run.seed, **settings}, names)
            stream.close()


def final_numbers(run: FinishedRun) -> dict[str, float]:
    """Return a run's final metrics and costs by name."""
    numbers = {
        f"{split}/{name}": finite(value)
        for split in SPLITS
        if isinstance(run.result.get(split), dict)
        for name, value in run.result[split].items()
    }
    numbers |= {cost.key: run.spent(cost.key) for cost in COSTS}
    return {str(name): value for name, value in numbers.items() if value is not None}
