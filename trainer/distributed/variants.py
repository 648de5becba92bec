"""What a step is made of, in one process or in one of several."""

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
    """The constructors of a step's parts, for one process or for one of several."""

    step: Callable[..., Step] = Step
    meter: Callable[..., Meter] = Meter
    store: Callable[..., DifficultyStore] = DifficultyStore
    guard: Callable[..., NonFiniteGuard] = NonFiniteGuard


def step_parts(world: World, image: tuple[int, int]) -> StepParts:
    """The constructors for a world, with images of a height and width."""
    if world.alone:
        return StepParts()
    guard = NonFiniteGuard
    if world.sharded:
        from trainer.distributed.fsdp import ShardedGuard

        guard = partial(ShardedGuard, world)
    step = partial(ParallelStep, world, image)
    return StepParts(step, partial(SharedMeter, world), partial(SharedStore, world), guard)


def shard_of(world: World) -> Shard | None:
    """What splits a model's weights among the processes of a world, None where each has all."""
    if not world.sharded:
        return None
    from trainer.distributed.fsdp import shard

    return shard
