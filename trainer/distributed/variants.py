"""Chooses the classes a train step is built from, for one process or several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from trainer.distributed.parts import SharedMeter, SharedStore
from trainer.distributed.step import ParallelStep
from trainer.history.store import DifficultyStore
from trainer.training.meter import Meter
from trainer.training.nonfinite import NonFiniteGuard
from trainer.training.step import Step

if TYPE_CHECKING:
    from trainer.distributed.world import Shard, World


@dataclass(frozen=True)
class StepParts:
    """Constructors of a step and its parts; the defaults are for a single process."""

    step: Callable[..., Step] = Step
    meter: Callable[..., Meter] = Meter
    store: Callable[..., DifficultyStore] = DifficultyStore
    guard: Callable[..., NonFiniteGuard] = NonFiniteGuard


def step_parts(world: World, image: tuple[int, int]) -> StepParts:
    """Return the constructors for a world; `image` is the height and width of an image."""
    if world.alone:
        return StepParts()
    guard = NonFiniteGuard
    if world.sharded:
        from trainer.distributed.fsdp import ShardedGuard

        guard = partial(ShardedGuard, world)
    step = partial(ParallelStep, world, image)
    return StepParts(step, partial(SharedMeter, world), partial(SharedStore, world), guard)


def sharder(world: World) -> Shard | None:
    """Return the function that shards a model over a world, None if each has all weights."""
    if not world.sharded:
        return None
    from trainer.distributed.fsdp import shard

    return shard
