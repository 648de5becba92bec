"""The runs in TensorBoard's HParams tab, in one table with the settings that differ.

Each run's own event stream has its row too, but the tab takes its columns from the first stream
that it finds: with `mining=none` first there would be no `mining.keep`. Here all rows have all.
"""

from pathlib import Path

from trainer.job.compare.budgets import AXES
from trainer.job.compare.comparison import Comparison
from trainer.job.compare.runs import FinishedRun, number
from trainer.report.tensorboard import EventStream

SPLITS = ("test", "val")


def write(of: Comparison, folder: Path) -> None:
    """A stream for each run, `<group number>-seed-<n>/`, with its settings and final numbers."""
    keys = list(dict.fromkeys(key for one in of.groups for key in one.choices))
    every = dict.fromkeys(n for one in of.groups for run in one.runs for n in finals(run))
    ahead = [of.metric, *(axis.key for axis in AXES)]  # the tab shows the first five
    names = [*(n for n in ahead if n in every), *(n for n in every if n not in ahead)]
    for i, one in enumerate(of.groups):
        choices = {key: one.choices.get(key, one.settings.get(key, "null")) for key in keys}
        for run in one.runs:
            stream = EventStream(folder / f"{i}-seed-{run.seed}")
            stream.scalars(finals(run), 0)
            stream.hparams({"seed": run.seed, **choices}, names)
            stream.close()


def finals(run: FinishedRun) -> dict[str, float]:
    """The final metrics of a run, and what it has spent."""
    found = {
        f"{split}/{name}": number(value)
        for split in SPLITS
        if isinstance(run.result.get(split), dict)
        for name, value in run.result[split].items()
    }
    found |= {axis.key: run.spent(axis.key) for axis in AXES}
    return {str(name): value for name, value in found.items() if value is not None}
