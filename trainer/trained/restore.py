"""A finished run, loaded on first use: its weights, model and features."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainer.core.batch import input_kind
from trainer.core.errors import CheckpointError, ConfigError
from trainer.dataset.shared.texts import Texts
from trainer.storage.saved_run import SavedRun
from trainer.storage.trained_on import times

if TYPE_CHECKING:
    from trainer.dataset import Split
    from trainer.run.components import Components
    from trainer.storage.checkpoint import Checkpoint
    from trainer.storage.restored import Restore


class RestoredRun:
    """A finished run with its own settings; implements `trainer.storage.restored.Restored`."""

    def __init__(self, outer: Components, reference: str, setting: str) -> None:
        """Raise ConfigError if there is no such run, CheckpointError if its config is rejected."""
        self.about = f"{setting}={reference}"
        self.outer = outer
        self.saved = SavedRun.at(reference, setting)
        config = self.saved.config(outer.known_code)
        trained_on = self.saved.trained_on()
        self.components = outer.of_saved(config, asked=False, trained_on=trained_on)
        self.loaded = False  # whether the model has the checkpoint's weights

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint referred to, or else the run's best."""
        return self.saved.checkpoint(self.outer.console.warn)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The checkpoint's weights by parameter name."""
        return self.checkpoint.model

    @property
    def model(self) -> nn.Module:
        """The run's model with its weights, in train mode, on the outer run's device."""
        if not self.loaded:
            load_weights(self.components.model, self.checkpoint)
            self.loaded = True
        return self.components.model

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, by which the model's inputs are standardised."""
        return self.components.data.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, by which inputs are standardised."""
        return self.components.data.std

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the images that the model was trained on: C, H, W; of texts their most words."""
        return self.components.data.shape

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words of its texts, in the order of their word ids; empty for images."""
        return self.components.data.vocabulary

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the model's outputs."""
        return self.components.data.classes

    def features(self, split: Split) -> Tensor:
        """Return the inputs [n, d] of the last linear layer, on the CPU.

        They are for the n examples of a split, unaugmented. Raises ConfigError for a model without
        a linear layer, and for images of another size than those it was trained on.
        """
        given, source = split.images.shape, split.images
        if input_kind(given) != input_kind(self.shape):
            raise ConfigError(
                f"{self.about} was trained on {input_kind(self.shape)}s, the data are "
                f"{input_kind(given)}s; give a run on {input_kind(given)}s"
            )
        if isinstance(source, Texts):
            split = replace(split, images=source.encoded(self.vocabulary, self.shape[0]))
        elif given[1:] != (stored := self.components.data.train.images.shape)[1:]:
            raise ConfigError(
                f"{self.about} was trained on images of {times(stored)} (C×H×W), the data has "
                f"{times(given)}; give a run on images of the same size"
            )
        layers = [module for module in self.model.modules() if isinstance(module, nn.Linear)]
        if not layers:
            raise ConfigError(f"{self.about}: the model has no linear layer, so no features")
        inputs: list[Tensor] = []
        hook = layers[-1].register_forward_pre_hook(
            lambda _, arguments: inputs.append(arguments[0].flatten(1).float().cpu())
        )
        feed = self.outer.open_feed(split)
        for _ in self.components.evaluator.passes(feed, split.ids, self.outer.poll):
            pass
        hook.remove()
        return torch.cat(inputs)


def restorer(outer: Components) -> Restore:
    """Return the function by which `outer` loads finished runs: (reference, setting) → run."""
    return lambda reference, setting: RestoredRun(outer, reference, setting)


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's weights into a model. Raises CheckpointError if they do not fit."""
    try:
        model.load_state_dict(checkpoint.model)
    except RuntimeError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise CheckpointError(f"{checkpoint.path} does not fit the model: {reason}") from error
