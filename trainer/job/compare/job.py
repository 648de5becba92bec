"""Comparison of groups of runs over seeds: whether a setting helps, and by how much."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from trainer import history
from trainer.core.errors import ConfigError, TrainerError
from trainer.core.ranges import within
from trainer.job.base import Job
from trainer.job.compare import hparams, sentences, worst_text
from trainer.job.compare.comparison import Comparison, compare
from trainer.job.compare.disagreements import Disagreement, disagree, records_of, thumbnails
from trainer.job.compare.export import as_json, markdown, part_csvs, runs_csv, table_csv
from trainer.job.compare.folds import pool_folds
from trainer.job.compare.html.page import page
from trainer.job.compare.runs import find_runs, read_run
from trainer.job.compare.significance import Correction
from trainer.job.compare.tables import console_tables
from trainer.report.console import table
from trainer.report.strict_json import dumps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trainer.compare import Interval
    from trainer.dataset import Data
    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder

    SavedData = Callable[[str | None, str], tuple[Path, Data]]


class Compare(Job):
    """Reads `runs`; writes `compare.md`, `.csv`, `.json` and `.html`, `runs.csv`, `tensorboard/`.

    Where runs have records of them, also `by_class.csv` and, with `dataset.group`, `by_group.csv`.

    `metric`, `<split>/<name>`, is compared at the end of training, and on the validation split at
    equal cost. `baseline` selects a group by its settings, `mining=none`, or by an option, `none`;
    null selects the group with the most options such as none. `target` is a validation value whose
    cost is reported. Settings in `ignore` do not separate groups. `published` is the interval
    in which a difference, or the value of a lone group, counts as replicated.
    """

    def __init__(
        self,
        *,
        metric: str | None = None,
        baseline: str | None = None,
        target: float | None = None,
        correction: Correction = "holm",
        ignore: list[str] | None = None,
        examples: int = 12,
        published: list[float] | None = None,
    ) -> None:
        within("job.examples", examples, "[0, 1000]")
        if published is not None and not (len(published) == 2 and published[0] <= published[1]):
            raise ValueError(
                f"job.published={published}: give the lowest and the highest value, [0.005,0.011]"
            )
        self.metric = metric
        self.baseline = baseline
        self.target = target
        self.correction: Correction = correction
        self.ignore = ignore or []
        self.examples = examples
        self.published = None if published is None else (published[0], published[1])

    def __call__(
        self,
        *,
        several_saved: list[str],
        interval: Interval,
        saved_data: SavedData,
        folder: RunFolder,
        console: Console,
    ) -> dict[str, Any]:
        """Read the runs, compare them, print and write the results."""
        if not several_saved:
            raise ConfigError("runs must be given: a sweep's folder, or a list of run folders")
        comparison = compare(
            pool_folds([read_run(folder) for folder in find_runs(several_saved)]),
            interval=interval,
            metric=self.metric,
            baseline=self.baseline,
            target=self.target,
            correction=self.correction,
            ignore=self.ignore,
            published=self.published,
        )
        self.say(console, comparison)
        self.write(folder.path, comparison, saved_data)
        console.say(f"page          {folder.path / 'compare.html'}")
        logs = shlex.quote(str(folder.path / "tensorboard"))
        console.say(f"HParams       tensorboard --logdir {logs}")
        verdicts = sentences.verdicts(comparison, comparison.final)
        replicated = {one.label: one.passed for one in comparison.replicas}
        return {
            "metric": comparison.metric,
            "baseline": comparison.baseline.label,
            "verdicts": verdicts,
            **({"replicated": replicated} if replicated else {}),
        }

    def say(self, console: Console, comparison: Comparison) -> None:
        """Print the tables, caveats and verdicts."""
        for text_table in console_tables(comparison) + worst_text.worst_table(comparison):
            console.say(table(text_table.title, text_table.columns, text_table.rows))
        for note in sentences.notes(comparison):
            console.warn(note)
        verdicts = sentences.verdicts(comparison, comparison.final)
        hurt = worst_text.verdicts(comparison, worst_text.CONSOLE)
        for line in verdicts + sentences.replications(comparison) + hurt:
            console.say(line)

    def write(self, folder: Path, comparison: Comparison, saved_data: SavedData) -> None:
        """Write all files of the comparison."""
        disagreements = self.disagreements(comparison)
        data, missing = self.data(saved_data, comparison, disagreements)
        names = () if data is None else data.classes
        ids = sorted({e.id for one in disagreements for e in (*one.gained, *one.lost)})
        images = {} if data is None else thumbnails(data, ids)
        texts = {
            "compare.md": markdown(comparison),
            "compare.csv": table_csv(comparison),
            "runs.csv": runs_csv(comparison),
            **part_csvs(comparison),
            "compare.json": dumps(as_json(comparison), indent=2, ensure_ascii=False),
            "compare.html": page(comparison, disagreements, names, images, missing),
        }
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        hparams.write(comparison, folder / "tensorboard")

    def disagreements(self, comparison: Comparison) -> list[Disagreement]:
        """Find disagreements of each group with the baseline, if both have difficulty stores."""
        if not self.examples:
            return []
        base = records_of(comparison.baseline)
        others = (one for one in comparison.groups if one is not comparison.baseline)
        compared = (disagree(one.label, records_of(one), base, self.examples) for one in others)
        return [one for one in compared if one is not None]

    def data(
        self, saved_data: SavedData, comparison: Comparison, disagreements: list[Disagreement]
    ) -> tuple[Data | None, str]:
        """Open the data set of the examples, or return why their images cannot be shown."""
        if not any((*one.gained, *one.lost) for one in disagreements):
            return None, ""
        try:
            folder, data = saved_data(str(comparison.baseline.runs[0].folder), "runs")
            store = history.open(folder)
            store.check_split(data.train.ids.numpy(), data.train.labels.numpy())
        except (TrainerError, OSError, ValueError) as error:
            return None, f"images not shown: {error}"
        return data, ""
