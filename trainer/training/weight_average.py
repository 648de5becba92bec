"""Averages of the weights over the steps of a run; validation, test and checkpoints take them.

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

State = dict[str, Tensor]


class Average:
    """No average: the null object, and the base of the others."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def check(self, clock: Clock) -> None:
        """Raise ValueError where the run is too short."""

    def after_step(self) -> None:
        """Take the weights after an update."""

    def after_epoch(self, t: float) -> None:
        """Take the weights at the end of an epoch, step t of the schedule's clock."""

    @contextmanager
    def applied(self, estimate: Callable[[], None]) -> Iterator[None]:
        """The model with its averaged weights; `estimate` is called where statistics are due."""
        yield

    def settle(self) -> None:
        """Give the model its averaged weights for good, as they were applied last."""

    def weights(self) -> State:
        """What is to be evaluated: the averaged weights."""
        return self.model.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps beside them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore any average's state; the model already has the checkpoint's weights."""
        if "trained" in state:
            self.model.load_state_dict(state["trained"])


class Averaged(Average):
    """A second set of weights and buffers, which changes places with the model's."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        named = model.state_dict(keep_vars=True)
        unique = {id(value): value for value in named.values()}  # tied weights have two names
        self.names = {name: list(unique).index(id(value)) for name, value in named.items()}
        self.own = list(unique.values())
        self.other = [value.detach().clone() for value in self.own]
        self.number = 0  # of weights that are in the average
        self.swapped = False

    def swap(self) -> None:
        """Exchange the model's tensors and the others: pointers, no copies."""
        for i, value in enumerate(self.own):
            value.data, self.other[i] = self.other[i], value.data
        self.swapped = not self.swapped

    def state_of(self, tensors: list[Tensor]) -> State:
        """The tensors by their names."""
        return {name: tensors[i].detach() for name, i in self.names.items()}

    @contextmanager
    def applied(self, estimate: Callable[[], None]) -> Iterator[None]:
        """The model with its averaged weights."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def settle(self) -> None:
        """Give the model its averaged weights for good, as they were applied last."""
        self.swap()

    def weights(self) -> State:
        """The averaged weights."""
        return self.state_of(self.own if self.swapped else self.other)

    def state_dict(self) -> dict[str, Any]:
        """The weights that are trained, and how many are in the average."""
        trained = self.other if self.swapped else self.own
        return {"trained": self.state_of(trained), "number": self.number}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both sets; a checkpoint without an average starts one at its weights."""
        for own, other in zip(self.own, self.other, strict=True):
            other.copy_(own)
        super().load_state_dict(state)
        self.number = state.get("number", 0)

    @torch.no_grad()
    def take(self, share: float) -> None:
        """Move the average by `share` of the way to the model's weights; counters are copied."""
        floats = [i for i, other in enumerate(self.other) if other.is_floating_point()]
        others, owns = [self.other[i] for i in floats], [self.own[i] for i in floats]
        torch._foreach_lerp_(others, owns, share)
        for i in set(range(len(self.other))) - set(floats):
            self.other[i].copy_(self.own[i])
        self.number += 1


class Ema(Averaged):
    """average ← d·average + (1 − d)·weights after each update; d = min(decay, (1 + n) / (10 + n)).

    The smaller d of the first steps lets go of the initial weights (as TensorFlow's
    ExponentialMovingAverage with num_updates n).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.decay = decay

    def after_step(self) -> None:
        """Take the weights after an update."""
        self.take(1 - min(self.decay, (1 + self.number) / (10 + self.number)))


class Swa(Averaged):
    """The mean of the weights at the ends of the epochs from `start` on, algorithm 1.

    Before that the weights themselves. BatchNorm's statistics are estimated anew for the mean.
    """

    def __init__(self, model: nn.Module, start: str, clock: Clock) -> None:
        super().__init__(model)
        self.length = start
        self.start = clock.steps(start)
        self.last = -1.0  # the step at which weights were taken last
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self.normed = any(module.track_running_stats for module in norms)

    def check(self, clock: Clock) -> None:
        """Raise ValueError where it begins after the run."""
        clock.require(f"swa={self.length}", self.start)

    def after_epoch(self, t: float) -> None:
        """Take the weights at the end of an epoch, once: validation may be stopped and resumed."""
        if t == self.last:
            return
        self.last = t
        self.take(1 / (self.number + 1))
        if not reached(t, self.start):
            self.number = 0  # the next takes its place

    @contextmanager
    def applied(self, estimate: Callable[[], None]) -> Iterator[None]:
        """The model with its averaged weights, and their statistics."""
        with super().applied(estimate):
            if self.normed and self.number > 1:
                estimate()
            yield

    def state_dict(self) -> dict[str, Any]:
        """As of every average, and when it last took weights."""
        return {**super().state_dict(), "last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        super().load_state_dict(state)
        self.last = state.get("last", -1.0)
        if "last" not in state:
            self.number = 0  # of another average


def average_of(model: nn.Module, ema: float | None, swa: str | None, clock: Clock) -> Average:
    """The average that the settings `ema` and `swa` ask for."""
    if ema is not None:
        return Ema(model, ema)
    return Average(model) if swa is None else Swa(model, swa, clock)


@contextmanager
def cumulative(model: nn.Module) -> Iterator[None]:
    """The model in eval mode but for BatchNorm, whose statistics become means of what passes.

    Those in eval mode already, frozen ones, keep theirs.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    modes = [(module, module.training) for module in model.modules()]
    momenta = [module.momentum for module in norms]
    model.eval()
    for module in norms:
        module.reset_running_stats()
        module.momentum = None
        module.train()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, momentum in zip(norms, momenta, strict=True):
            module.momentum = momentum
        for module, training in modes:
            module.training = training
