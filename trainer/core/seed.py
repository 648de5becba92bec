"""Every random number is a function of (seed, purpose, epoch, step, example): nothing to save.

The mixing function is SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators"); `ExampleRandom` is the same function over tensors, one
counter-based stream per example.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


class Purpose(IntEnum):
    """What a stream of random numbers is for; streams of different purposes never meet."""

    SPLIT = 1
    INIT = 2
    PLAN = 3
    STEP = 4
    MIX = 5
    SELECT = 6
    AUGMENT = 7
    MINE = 8
    SCHEDULE = 9
    TWIST = 10


def derive(*parts: int) -> int:
    """A 64-bit seed that is a function of the parts and of their order."""
    state = 0
    for part in parts:
        state = (state ^ (part & MASK)) + GOLDEN & MASK
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
        state ^= state >> 31
    return state


def generator(*parts: int) -> np.random.Generator:
    """A NumPy generator seeded by the parts."""
    return np.random.Generator(np.random.PCG64(derive(*parts)))


def seed_torch(device: torch.device, *parts: int) -> None:
    """Seed the device's default generator (dropout, init), quicker than torch.manual_seed."""
    seed = derive(*parts)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)


class ExampleRandom:
    """Random numbers for a batch, each row's a function of (seed, epoch, position) alone.

    `positions` [B] are the rows' places in the plan of the epoch, so that a repeated example is
    augmented anew and a row's numbers do not depend on who else is in its batch. Each call takes
    the next numbers of every row's stream. They lie on `device`, or where the positions do.
    """

    def __init__(
        self, seed: int, epoch: int, positions: Tensor, device: torch.device | None = None
    ) -> None:
        self.base = signed(derive(seed, Purpose.AUGMENT, epoch))
        self.positions = positions
        self.device = device or positions.device
        self.drawn = 0

    @cached_property
    def keys(self) -> Tensor:
        """[B] int64, one stream each."""
        positions = self.positions.to(self.device, torch.int64, non_blocking=True)
        return mix(positions * signed(GOLDEN) + self.base)

    def on_host(self) -> "ExampleRandom":
        """A further stream of every row, on the CPU.

        Where the positions are there too, what it gives is known without waiting for a GPU.
        """
        self.drawn += 1
        host = ExampleRandom(0, 0, self.positions.cpu())
        host.base = signed(derive(self.base, self.drawn))
        return host

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """[B] float32, uniform on [low, high); other bounds than 0 and 1 may round up to high."""
        self.drawn += 1
        bits = mix(self.keys + signed(derive(self.drawn)))
        return shift_right(bits, 40).float() * ((high - low) / 2**24) + low

    def integer(self, low: int, high: int) -> Tensor:
        """[B] int64, uniform on low, ..., high - 1."""
        return (self.uniform() * (high - low)).long() + low

    def chance(self, probability: float) -> Tensor:
        """[B] bool, true with the probability."""
        return self.uniform() < probability

    def normal(self) -> Tensor:
        """[B] float32, standard normal (Box and Muller 1958)."""
        radius = (-2 * (1 - self.uniform()).log()).sqrt()
        return radius * (2 * torch.pi * self.uniform()).cos()

    def uniforms(self, number: int) -> Tensor:
        """[B, number] float32, uniform on [0, 1): `number` of them of each row at once."""
        return (self.words(number, torch.int32) >> 8).float().mul_(1 / 2**24).add_(0.5)

    def normals(self, number: int) -> Tensor:
        """[B, number] float32, standard normal, for pixels: of 16 random bits, at most ±4.33."""
        words = self.words(number, torch.int16)
        at = words.view(torch.uint16).int().flatten()
        return quantiles(words.device).index_select(0, at).view(words.shape)

    def words(self, number: int, kind: torch.dtype) -> Tensor:
        """[B, number] random signed integers of a type, cut from each row's own SplitMix64."""
        self.drawn += 1
        stream = mix(self.keys + signed(derive(self.drawn)))
        count = -(-number * kind.itemsize // 8)
        steps = torch.arange(count, device=stream.device) * signed(GOLDEN)
        return mix(stream[:, None] + steps).view(kind)[:, :number]


@cache
def quantiles(device: torch.device) -> Tensor:
    """The standard normal's quantiles [2¹⁶] at (k + ½) / 2¹⁶, computed once."""
    at = (torch.arange(2**16, dtype=torch.float64, device=device) + 0.5) / 2**16
    return torch.special.ndtri(at).float()


def signed(value: int) -> int:
    """The 64-bit pattern as torch's signed int64 takes it."""
    return value - 2**64 if value >= 2**63 else value


def shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift of int64."""
    return (x >> bits).bitwise_and_(2 ** (64 - bits) - 1)


def mix(x: Tensor) -> Tensor:
    """SplitMix64's finalizer on int64, wrapping."""
    x = (x ^ shift_right(x, 30)).mul_(signed(0xBF58476D1CE4E5B9))
    x.bitwise_xor_(shift_right(x, 27)).mul_(signed(0x94D049BB133111EB))
    return x.bitwise_xor_(shift_right(x, 31))


@dataclass(frozen=True)
class StepId:
    """Where in the run a step is: what its random numbers are a function of."""

    seed: int
    epoch: int
    step: int

    def generator(self, purpose: Purpose) -> np.random.Generator:
        """The generator of this step for one purpose."""
        return generator(self.seed, purpose, self.step)
