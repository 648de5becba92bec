"""Evaluates a finished run, with its weights and postprocessing, on splits of some data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.core.errors import CheckpointError, ConfigError, DataError
from trainer.core.text import count
from trainer.postprocess.base import FILE
from trainer.storage.trained_on import FILE as DATA_FILE
from trainer.storage.trained_on import TrainedOn
from trainer.trained.restore import load_weights
from trainer.trained.tta import TestTimeAugmentation, View, check_views

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.dataset import Split
    from trainer.run.components import Components
    from trainer.storage.saved_run import SavedRun
    from trainer.training.evaluate import Evaluation

UNFIT = (TypeError, ValueError, LookupError, RuntimeError, OverflowError, ZeroDivisionError)


class TrainedRun:
    """A finished run with its weights and data, overridden by settings on the command line.

    `outer` belongs to the current run; a new fit of the postprocessing is written to `folder`.
    Raises ConfigError for `tta` without class probabilities, CheckpointError for weights that do
    not fit.
    """

    def __init__(self, outer: Components, folder: Path, saved: SavedRun, tta: list[View]) -> None:
        self.outer, self.folder, self.saved, self.tta = outer, folder, saved, tta
        config = saved.config(outer.known_code)
        recorded = saved.trained_on()
        self.original = outer.of_saved(config, asked=False, trained_on=recorded)
        requested = outer.of_saved(config, asked=True, trained_on=recorded)
        self.own = self.original.data if requested.reads_like(self.original) else None
        trained_on = self.guessed() if recorded is None else recorded
        self.components = outer.of_saved(config, asked=True, trained_on=trained_on)
        self.data = self.components.data
        if tta:
            check_views(tta, self.data.kind, self.data.target)
        checkpoint = saved.checkpoint(outer.console.warn)
        load_weights(self.components.model, checkpoint)
        self.checkpoint = checkpoint.path
        self.evaluator = self.components.evaluator
        if tta:
            several = self.data.target == "multilabel"
            network = self.components.forward.model
            augmented = TestTimeAugmentation(network, tta, several=several)
            self.evaluator = self.components.evaluator_of(self.components.forward_of(augmented))

    def guessed(self) -> TrainedOn | None:
        """What an older run was trained on, by its settings; None, said, where that is gone."""
        try:
            data = self.original.data
        except DataError as error:
            self.outer.console.warn(
                f"{self.saved.folder} has no {DATA_FILE}, and its data set cannot be read "
                f"({error}): images are standardised by the evaluated data, and its classes are "
                "not checked"
            )
            return None
        return TrainedOn.of(data, self.saved.folder, data.class_counts())

    def split(self, name: str) -> Split:
        """Return a split by name. Raises DataError if it has no examples."""
        split = getattr(self.data, name)
        if not len(split):
            raise DataError(f"split={name} has no examples in this data set")
        return split

    def evaluate(self, name: str) -> Evaluation:
        """Evaluate the model on a split, without postprocessing."""
        split = self.split(name)
        feed = self.components.open_feed(split)
        evaluation = self.evaluator(feed, split, poll=self.outer.poll)
        evaluation.require_finite(f"{name} with the weights of {self.checkpoint}")
        return evaluation

    def seen(self, name: str) -> Tensor:
        """Return a mask [N] of a split's N examples that the run was trained on."""
        split = self.split(name)
        if self.own is None or split.images is not self.data.train.images:
            return torch.zeros(len(split), dtype=torch.bool)
        return torch.isin(split.ids, self.own.train.ids)

    def unseen(self, name: str) -> Evaluation:
        """Evaluate a split for fitting. Raises ConfigError if the run was trained on any of it."""
        if number := int(self.seen(name).sum()):
            raise ConfigError(
                f"postprocess is fitted on {name}, but {self.saved.folder} was trained on "
                f"{number} of its examples; keep the run's dataset settings and seed"
            )
        return self.evaluate(name)

    def finish(
        self, name: str, plain: Evaluation, val: Callable[[], Evaluation], *, of: str | None = None
    ) -> dict[str, Evaluation]:
        """Return a split's evaluations after and before postprocessing, by name.

        A fit that the run saved for the same settings and outputs is reused; otherwise
        postprocessing is fitted on `val`. `of` names the outputs, by default this run's checkpoint.
        Raises CheckpointError if a saved fit does not fit the outputs.
        """
        postprocess = self.components.postprocess
        settings = self.components.postprocess_settings
        of = of or " ".join([self.checkpoint.name.removesuffix(".old"), *self.tta])
        if postprocess.load(self.saved.folder, settings, of):
            try:
                postprocess(plain.outputs)
            except UNFIT as error:
                where = self.saved.folder / FILE
                raise CheckpointError(f"{where} does not fit the model: {error!r}") from error
        else:
            fitted_on = val() if postprocess.needs_val else None
            if fitted_on is not None:
                number = len(fitted_on.ids)
                self.outer.console.say(
                    f"postprocess is fitted on val, {count(number, 'example')}, to {of}"
                )
            postprocess.learn(self.components.class_counts, fitted_on)
            postprocess.save(self.folder, settings, of)
        return postprocess.results(name, plain, self.evaluator)
