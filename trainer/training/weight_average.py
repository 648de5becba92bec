"""Averages of the weights over a run, used for validation, test and checkpoints.

An exponential moving average (Polyak and Juditsky 1992), or stochastic weight averaging (Izmailov
et al. 2018, https://arxiv.org/abs/1803.05407).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.core.duration import Clock, reached
from trainer.core.forward import evaluating
from trainer.core.state import match, match_type

State = dict[str, Tensor]


class Average:
    """No averaging: the null object, and the base class of the others."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def check_start(self, clock: Clock) -> None:
        """Raise ValueError if averaging would start after the run's last step."""

    def after_step(self) -> None:
        """Add the weights to the average after an update."""

    def after_epoch(self, t: float) -> None:
        """Add the weights at the end of an epoch, at step t of the schedule's clock."""

    @contextmanager
    def applied(self, estimate: Callable[[], None]) -> Iterator[None]:
        """Use the averaged weights; `estimate` is called if BatchNorm needs new statistics."""
        yield

    def settle(self) -> None:
        """Leave the averaged weights in the model for good, as last applied."""

    def weights(self) -> State:
        """Return the weights to evaluate and save: the averaged ones."""
        return self.model.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a checkpoint stores beside those weights."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of any average; the model already has the checkpoint's weights."""
        if "trained" in state:
            own = self.model.state_dict()
            self.model.load_state_dict(match(own, state["trained"], "trained"))


class Averaged(Average):
    """Keeps a second set of weights and buffers, which can be swapped with the model's."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        tensors = model.state_dict(keep_vars=True)
        unique = {id(value): value for value in tensors.values()}  # tied weights have two names
        self.names = {name: list(unique).index(id(value)) for name, value in tensors.items()}
        self.own = list(unique.values())
        self.other = [value.detach().clone() for value in self.own]
        self.number = 0  # sets of weights averaged so far
        self.swapped = False

    def swap(self) -> None:
        """Swap the model's tensors with the second set, by pointer rather than by copying."""
        for i, value in enumerate(self.own):
            value.data, self.other[i] = self.other[i], value.data
        self.swapped = not self.swapped

    def by_name(self, tensors: list[Tensor]) -> State:
        """Return the tensors by their state-dict names."""
        return {name: tensors[i].detach() for name, i in self.names.items()}

    @contextmanager
    def applied(self, estimate: Callable[[], None]) -> Iterator[None]:
        """Use the averaged weights inside the context."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def settle(self) -> None:
        """Leave the averaged weights in the model for good, as last applied."""
        self.swap()

    def weights(self) -> State:
        """Return the averaged weights by name."""
        return self.by_name(self.own if self.swapped else self.other)

    def state_dict(self) -> dict[str, Any]:
        """Return the weights under training and the number averaged."""
        trained = self.other if self.swapped else self.own
        return {"trained": self.by_name(trained), "number": self.number}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both sets; from a checkpoint without an average, start one at its weights."""
        for own, other in zip(self.own, self.other, strict=True):
            other.copy_(own)
        super().load_state_dict(state)
        self.number = match_type(int, state.get("number", 0), "number")

    @torch.no_grad()
    def take(self, share: float) -> None:
        """Move the average by `share` towards the model's weights; integer buffers are copied."""
        floats = [i for i, other in enumerate(self.other) if other.is_floating_point()]
        others, owns = [self.other[i] for i in floats], [self.own[i] for i in floats]
        torch._foreach_lerp_(others, owns, share)
        for i in set(range(len(self.other))) - set(floats):
            self.other[i].copy_(self.own[i])
        self.number += 1


class Ema(Averaged):
    """average ← d·average + (1 − d)·weights after each update; d = min(decay, (1 + n) / (10 + n)).

    The smaller d of the first steps forgets the initial weights faster, as in TensorFlow's
    ExponentialMovingAverage with num_updates n.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.decay = decay

    def after_step(self) -> None:
        """Add the weights to the average after an update."""
        self.take(1 - min(self.decay, (1 + self.number) / (10 + self.number)))


class Swa(Averaged):
    """The mean of the weights at the end of each epoch from `start` on, algorithm 1.

    Before `start`, the latest weights. BatchNorm's statistics are re-estimated for the mean.
    """

    def __init__(self, model: nn.Module, start: str, clock: Clock) -> None:
        super().__init__(model)
        self.length = start
        self.start = clock.steps(start)
        self.last = -1.0  # the step at which weights were last added
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self.normed = any(module.track_running_stats for module in norms)

    def check_start(self, clock: Clock) -> None:
        """Raise ValueError if `start` is after the run's last step."""
        clock.require(f"swa={self.length}", self.start)

    def after_epoch(self, t: float) -> None:
        """Add the weights once per epoch, even if its validation was interrupted and resumed."""
        if t == self.last:
            return
        self.last = t
        self.take(1 / (self.number + 1))
        if not reached(t, self.start):
            self.number = 0  # the next epoch replaces it

    @contextmanager
    def applied(self, estimate: Callable[[], None]) -> Iterator[None]:
        """Use the averaged weights, with BatchNorm statistics estimated for them."""
        with super().applied(estimate):
            if self.normed and self.number > 1:
                estimate()
            yield

    def state_dict(self) -> dict[str, Any]:
        """Return the base state and the step at which weights were last added."""
        return {**super().state_dict(), "last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state; an EMA's or no average's starts a new mean."""
        super().load_state_dict(state)
        self.last = match_type(float, state.get("last", -1.0), "last")
        if "last" not in state:
            self.number = 0  # saved by another kind of average


def build_average(model: nn.Module, ema: float | None, swa: str | None, clock: Clock) -> Average:
    """Build the average that the settings `ema` and `swa` ask for."""
    if ema is not None:
        return Ema(model, ema)
    return Average(model) if swa is None else Swa(model, swa, clock)


@contextmanager
def cumulative_statistics(model: nn.Module) -> Iterator[None]:
    """Re-estimate BatchNorm's statistics as plain means over the batches passed in the context.

    The rest of the model is in eval mode. BatchNorm layers already in eval mode, being frozen, keep
    their statistics.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    momenta = [module.momentum for module in norms]
    with evaluating(model), torch.no_grad():
        for module in norms:
            module.reset_running_stats()
            module.momentum = None
            module.train()
        try:
            yield
        finally:
            for module, momentum in zip(norms, momenta, strict=True):
                module.momentum = momentum
