"""What a step is made of, in one process or in one of several."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from trainer.distributed.parts import SharedMeter, SharedStore
from trainer.distributed.step import ParallelStep
from trainer.distributed.world import World
from trainer.history.store import DifficultyStore
from trainer.training.meter import Meter
from trainer.training.nonfinite import NonFiniteGuard
from trainer.training.step import Step


@dataclass(frozen=True)
class StepParts:
    """What makes the parts of a step, for one process or for one of several."""

    step: Callable[..., Step] = Step
    meter: Callable[..., Meter] = Meter
    store: Callable[..., DifficultyStore] = DifficultyStore
    guard: Callable[..., NonFiniteGuard] = NonFiniteGuard


def step_parts(world: World, image: tuple[int, int]) -> StepParts:
    """The kinds that go with a world, for images of a height and width."""
    if world.alone:
        return StepParts()
    guard = NonFiniteGuard
    if world.sharded:
        from trainer.distributed.fsdp import ShardedGuard

        guard = partial(ShardedGuard, world)
    step = partial(ParallelStep, world, image)
    return StepParts(step, partial(SharedMeter, world), partial(SharedStore, world), guard)
