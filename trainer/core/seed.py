"""Random numbers as pure functions of (seed, purpose, epoch, step, example): no state to save.

Seeds are derived by SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators"). `ExampleRandom` is the same function over tensors: a counter-based stream per example.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

MASK = 2**64 - 1  # of unsigned 64-bit arithmetic
GOLDEN = 0x9E3779B97F4A7C15  # SplitMix64's increment: 2⁶⁴ / φ
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # the factors of its finaliser
GRAIN = 2**15  # elements from which torch divides an operation among threads


class Purpose(IntEnum):
    """The use of random numbers. Different purposes have independent streams."""

    SPLIT = 1
    INIT = 2
    PLAN = 3
    STEP = 4
    MIX = 5
    SELECT = 6
    AUGMENT = 7
    MINE = 8
    SCHEDULE = 9
    DEGRADE = 10
    PRUNE = 11


def derive(*parts: int) -> int:
    """Return a 64-bit seed that depends on every part and on their order."""
    state = 0
    for part in parts:
        state = (state ^ (part & MASK)) + GOLDEN & MASK
        state = (state ^ (state >> 30)) * FIRST & MASK
        state = (state ^ (state >> 27)) * SECOND & MASK
        state ^= state >> 31
    return state


def generator(*parts: int) -> np.random.Generator:
    """Return a NumPy generator seeded by `derive(*parts)`."""
    return np.random.Generator(np.random.PCG64(derive(*parts)))


def seed_torch(device: torch.device, *parts: int) -> None:
    """Seed the default generators that dropout and initialisation use on `device`.

    Faster than torch.manual_seed, which seeds those of every device.
    """
    seed = derive(*parts)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)


class ExampleRandom:
    """Random numbers for the examples of a batch: one independent stream per row.

    A row's stream depends on (seed, epoch, position) alone, not on the rest of its batch.
    `positions` [B] are the rows' positions in the epoch's plan, so a repeated example is augmented
    differently each time. Every call takes the next numbers of all B streams; they are returned on
    `device`, by default that of the positions.
    """

    def __init__(
        self,
        seed: int,
        epoch: int,
        positions: Tensor,
        device: torch.device | None = None,
        *,
        base: int | None = None,
    ) -> None:
        self.base = signed(derive(seed, Purpose.AUGMENT, epoch) if base is None else base)
        self.seed, self.epoch, self.positions = seed, epoch, positions
        self.device = device or positions.device
        self.calls = 0

    @cached_property
    def keys(self) -> Tensor:
        """The keys [B] int64 of the streams."""
        positions = self.positions.to(self.device, torch.int64, non_blocking=True)
        return mix(positions * signed(GOLDEN) + self.base)

    def on_host(self) -> "ExampleRandom":
        """Return a further, independent stream of every row, on the CPU.

        If the positions are on the CPU too, its numbers are known without waiting for a GPU.
        """
        self.calls += 1
        base = derive(self.base, self.calls)
        return ExampleRandom(self.seed, self.epoch, self.positions.cpu(), base=base)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return [B] float32, uniform on [low, high).

        Bounds other than 0 and 1 may round up to `high`.
        """
        self.calls += 1
        bits = mix(self.keys + signed(derive(self.calls)))
        return shift_right(bits, 40).float() * ((high - low) / 2**24) + low

    def integer(self, low: int, high: int) -> Tensor:
        """Return [B] int64, uniform on low, ..., high - 1."""
        return (self.uniform() * (high - low)).long() + low

    def chance(self, probability: float) -> Tensor:
        """Return [B] bool, true with the given probability."""
        return self.uniform() < probability

    def normal(self) -> Tensor:
        """Return [B] float32, standard normal (Box and Muller 1958)."""
        radius = (-2 * (1 - self.uniform()).log()).sqrt()
        return radius * (2 * torch.pi * self.uniform()).cos()

    def uniforms(self, number: int) -> Tensor:
        """Return [B, number] float32, uniform on [0, 1): many numbers per row at once."""
        return (self.random_bits(number, torch.int32) >> 8).float().mul_(1 / 2**24).add_(0.5)

    def normals(self, number: int) -> Tensor:
        """Return [B, number] float32, standard normal: for pixels.

        Each number is a quantile picked by 16 random bits, so none is beyond ±4.33.
        """
        bits = self.random_bits(number, torch.int16)
        at = bits.view(torch.uint16).int().flatten()
        return normal_quantiles(bits.device).index_select(0, at).view(bits.shape)

    def random_bits(self, number: int, dtype: torch.dtype) -> Tensor:
        """Return [B, number] uniformly random integers of a signed dtype, of 64 bits at most.

        The 64-bit outputs of each row's own SplitMix64 are split into integers of that size.
        """
        self.calls += 1
        count = -(-number * dtype.itemsize // 8)
        if self.device.type == "cpu" and len(self.positions) * count < GRAIN:
            return torch.from_numpy(self.bits_on_cpu(count)).view(dtype)[:, :number]
        stream = mix(self.keys + signed(derive(self.calls)))
        steps = torch.arange(count, device=stream.device) * signed(GOLDEN)
        return mix(stream[:, None] + steps).view(dtype)[:, :number]

    def bits_on_cpu(self, count: int) -> np.ndarray:
        """The outputs [B, count] int64 of the rows' streams, by NumPy."""
        stream = mix_array(self.keys.numpy().view(np.uint64) + np.uint64(derive(self.calls)))
        steps = np.arange(count, dtype=np.uint64) * np.uint64(GOLDEN)
        return mix_array(stream[:, None] + steps).view(np.int64)


@cache
def normal_quantiles(device: torch.device) -> Tensor:
    """Return the standard normal's quantiles [2¹⁶] at (k + ½) / 2¹⁶, computed once per device."""
    at = (torch.arange(2**16, dtype=torch.float64, device=device) + 0.5) / 2**16
    return torch.special.ndtri(at).float()


def signed(value: int) -> int:
    """Reinterpret an unsigned 64-bit integer as signed, for torch.int64."""
    return value - 2**64 if value >= 2**63 else value


def shift_right(x: Tensor, bits: int) -> Tensor:
    """Shift int64 of any shape right, filling with zeros (`>>` copies the sign bit)."""
    return (x >> bits).bitwise_and_(2 ** (64 - bits) - 1)


def mix(x: Tensor) -> Tensor:
    """Apply SplitMix64's finaliser to int64 of any shape, with wrap-around.

    On a CPU NumPy does it, whose operations start sooner, unless threads would share the work.
    """
    if x.device.type == "cpu" and x.numel() < GRAIN:
        return torch.from_numpy(mix_array(x.numpy().view(np.uint64)).view(np.int64))
    x = (x ^ shift_right(x, 30)).mul_(signed(FIRST))
    x.bitwise_xor_(shift_right(x, 27)).mul_(signed(SECOND))
    return x.bitwise_xor_(shift_right(x, 31))


def mix_array(x: np.ndarray) -> np.ndarray:
    """Apply SplitMix64's finaliser to uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(FIRST)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(SECOND)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class StepId:
    """Identifies a training step of a run, and so the random numbers that it uses."""

    seed: int
    epoch: int
    step: int  # of the run, not of the epoch

    def generator(self, purpose: Purpose) -> np.random.Generator:
        """Return the step's generator for a purpose, a function of seed and step, not of epoch."""
        return generator(self.seed, purpose, self.step)
