"""A trained run read back: its weights, its data, its postprocessing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.core.errors import CheckpointError, ConfigError, DataError
from trainer.postprocess.base import FILE
from trainer.trained.restore import load_weights
from trainer.trained.tta import TestTimeAugmentation, View

if TYPE_CHECKING:
    from trainer.dataset import Data, Split
    from trainer.run.run import Run
    from trainer.storage.saved_run import SavedRun
    from trainer.training.evaluate import Evaluation

UNFIT = (TypeError, ValueError, LookupError, RuntimeError, OverflowError, ZeroDivisionError)
Known = dict[str, "Data"]  # what has been opened, by its settings


class TrainedRun:
    """A trained run with its weights, on the splits that it and the command line ask for."""

    def __init__(self, run: Run, source: SavedRun, tta: list[View], known: Known) -> None:
        self.outer, self.source, self.tta, self.known = run, source, tta, known
        self.run = run.like(source)
        self.run.data = data = opened(self.run, known)
        self.original = type(run)(run.config, run.folder, run.console, [], run.sources).like(source)
        self.own = self.own_data()
        if self.own is not None:
            self.run.data = replace(data, mean=self.own.mean, std=self.own.std)
        held = source.checkpoint(run.console.warn)
        load_weights(self.run.model, held)
        self.checkpoint = held.path
        if tta:
            if data.target not in ("class", "mask"):
                raise ConfigError(
                    f"job.tta is for class probabilities, {data.target} labels have none"
                )
            self.run.forward.model = TestTimeAugmentation(self.run.forward.model, tta)

    def own_data(self) -> Data | None:
        """The data that the run was trained on, None where the command line names another source.

        Its ids compare with those of `run.data`, the same source in other splits.
        """
        before, now = self.original.config["dataset"], self.run.config["dataset"]
        if any(before.get(key) != now.get(key) for key in ("_target_", "root")):
            return None
        return opened(self.original, self.known)

    def split(self, name: str) -> Split:
        """A split. Raises DataError where it has no examples."""
        split = getattr(self.run.data, name)
        if not len(split):
            raise DataError(f"split={name} has no examples in this data set")
        return split

    def evaluate(self, name: str) -> Evaluation:
        """The model on a split, without postprocessing."""
        split = self.split(name)
        feed = self.run.loader.open(split, self.run.device)
        return self.run.evaluator(feed, split, poll=self.outer.signals.check)

    def seen(self, name: str) -> Tensor:
        """Whether the run was trained on each example of a split, [N]."""
        split = self.split(name)
        if self.own is None or split.images is not self.run.data.train.images:
            return torch.zeros(len(split), dtype=torch.bool)
        return torch.isin(split.ids, self.own.train.ids)

    def unseen(self, name: str) -> Evaluation:
        """The model on a split to fit on. Raises ConfigError where it was trained on some of it."""
        if number := int(self.seen(name).sum()):
            raise ConfigError(
                f"postprocess is fitted on {name}, of which {self.source.folder} was trained on "
                f"{number} examples; leave the dataset and the seed as the run has them"
            )
        return self.evaluate(name)

    def finish(
        self, name: str, plain: Evaluation, val: Callable[[], Evaluation], *, of: str | None = None
    ) -> dict[str, Evaluation]:
        """A split after postprocessing, and before.

        What the run has fitted with the same settings to the same outputs is taken, otherwise it is
        fitted on `val`; `of` says what the outputs are of, this run's checkpoint where it is None.
        """
        postprocess, node = self.run.postprocess, self.run.config["postprocess"]
        of = of or " ".join([self.checkpoint.name.removesuffix(".old"), *self.tta])
        if postprocess.load(self.source.folder, node, of):
            try:
                postprocess(plain.outputs)
            except UNFIT as error:
                where = self.source.folder / FILE
                raise CheckpointError(f"{where} does not fit the model: {error!r}") from error
        else:
            counted = opened(self.original, self.known)
            postprocess.learn(counted, val() if postprocess.needs_val else None)
            postprocess.save(self.outer.folder.path, node, of)
        return postprocess.results(name, plain, self.run.evaluator)


def opened(run: Run, known: Known) -> Data:
    """The data of a run, opened once for all with the same settings."""
    key = json.dumps([run.config["dataset"], run.config["seed"]], sort_keys=True)
    if key not in known:
        known[key] = run.data
    return known[key]
