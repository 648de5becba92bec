"""What a step is made of, in one process or in one of several."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from trainer.distributed.parallel import ParallelStep
from trainer.distributed.shared import SharedMeter, SharedStore
from trainer.distributed.world import World
from trainer.guard import Guard
from trainer.history import Store
from trainer.meter import Meter
from trainer.step import Step


@dataclass(frozen=True)
class Kinds:
    """What makes the parts of a step, for one process or for one of several."""

    step: Callable[..., Step] = Step
    meter: Callable[..., Meter] = Meter
    store: Callable[..., Store] = Store
    guard: Callable[..., Guard] = Guard


def kinds_of(world: World, image: tuple[int, int]) -> Kinds:
    """The kinds that go with a world, for images of a height and width."""
    if world.alone:
        return Kinds()
    guard = Guard
    if world.sharded:
        from trainer.distributed.sharded import (
            ShardedGuard,  # torch's FSDP takes a second to import
        )

        guard = partial(ShardedGuard, world)
    step = partial(ParallelStep, world, image)
    return Kinds(step, partial(SharedMeter, world), partial(SharedStore, world), guard)
