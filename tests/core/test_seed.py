"""Random numbers as functions of (seed, purpose, epoch, step, example)."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from trainer.core.seed import (
    GOLDEN,
    MASK,
    ExampleRandom,
    Purpose,
    StepId,
    derive,
    generator,
    seed_torch,
)

CPU = torch.device("cpu")
MANY = 100_000


def finalise(x: int) -> int:
    """SplitMix64's finalizer, with Python's own integers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def test_derive_gives_the_published_numbers_of_splitmix64() -> None:
    """Steele's reference generator: seed 0, and seed 1234567 with its first five numbers."""
    assert derive(0) == 0xE220A8397B1DCDAF
    state = [(1234567 + i * GOLDEN) & MASK for i in range(5)]
    assert [derive(s) for s in state] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_derive_depends_on_every_part_and_on_their_order() -> None:
    grid = list(itertools.product(range(12), range(12), range(12)))
    assert len({derive(*parts) for parts in grid}) == len(grid)
    assert derive(1, 2) != derive(2, 1)
    assert len({derive(1), derive(1, 0), derive(0, 1), derive()}) == 4
    assert derive(-1) == derive(2**64 - 1)


def test_purposes_differ() -> None:
    numbers = [generator(0, purpose, 0).integers(2**63) for purpose in Purpose]
    assert len(set(numbers)) == len(Purpose) == len({int(p) for p in Purpose})


def test_generator_is_a_pure_function_of_its_parts() -> None:
    first = generator(3, Purpose.PLAN, 7).random(5)
    generator(3, Purpose.PLAN, 8).random(100)
    assert np.array_equal(first, generator(3, Purpose.PLAN, 7).random(5))
    assert not np.array_equal(first, generator(3, Purpose.PLAN, 8).random(5))


def test_seed_torch_seeds_the_default_generator() -> None:
    seed_torch(CPU, 5, Purpose.STEP, 9)
    got = torch.rand(4)
    reference = torch.Generator().manual_seed(derive(5, Purpose.STEP, 9))
    assert torch.equal(got, torch.rand(4, generator=reference))
    seed_torch(CPU, 5, Purpose.STEP, 10)
    assert not torch.equal(got, torch.rand(4))


def test_a_step_id_depends_on_seed_step_and_purpose_but_not_on_the_epoch() -> None:
    def number(seed: int, epoch: int, step: int, purpose: Purpose) -> int:
        return int(StepId(seed, epoch, step).generator(purpose).integers(2**63))

    base = number(1, 2, 30, Purpose.MIX)
    assert base == number(1, 5, 30, Purpose.MIX)
    others = [
        number(2, 2, 30, Purpose.MIX),
        number(1, 2, 31, Purpose.MIX),
        number(1, 2, 30, Purpose.SELECT),
    ]
    assert base not in others


def test_uniform_equals_a_loop_over_python_integers() -> None:
    """int64 multiplication wraps and shifts are logical: the same bits as unsigned arithmetic."""
    positions = [0, 1, 2, 59_999, 2**40 + 3]
    random = ExampleRandom(11, 4, torch.tensor(positions))
    base = derive(11, Purpose.AUGMENT, 4)
    for call in range(1, 6):
        expected = []
        for position in positions:
            key = finalise((position * GOLDEN + base) % 2**64)
            expected.append((finalise((key + derive(call)) % 2**64) >> 40) / 2**24)
        assert random.uniform().tolist() == expected


def test_numbers_do_not_depend_on_the_rest_of_the_batch() -> None:
    def numbers(positions: torch.Tensor) -> torch.Tensor:
        random = ExampleRandom(0, 3, positions)
        columns = random.uniform(), random.integer(0, 9), random.normal(), random.chance(0.3)
        return torch.stack([column.double() for column in columns], 1)

    whole = numbers(torch.arange(12))
    parts = torch.cat([numbers(part) for part in torch.arange(12).split(5)])
    assert torch.equal(whole, parts)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(whole[order], numbers(order))


@pytest.mark.parametrize(("seed", "epoch", "shift"), [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_numbers_change_with_seed_epoch_and_position(seed: int, epoch: int, shift: int) -> None:
    positions = torch.arange(100)
    same = (
        ExampleRandom(0, 0, positions).uniform()
        == ExampleRandom(seed, epoch, positions + shift).uniform()
    )
    assert same.sum() <= 1


def test_uniform_is_uniform() -> None:
    random = ExampleRandom(0, 0, torch.arange(MANY))
    first, second = random.uniform(), random.uniform()
    for numbers in (first, second):
        assert stats.kstest(numbers.double().numpy(), "uniform").pvalue > 0.01
        assert numbers.min() >= 0
        assert numbers.max() < 1
    assert abs(first.mean() - 1 / 2) < 0.003
    assert abs(first.var() - 1 / 12) < 0.001
    neighbours = np.corrcoef(first[:-1], first[1:])[0, 1]
    successive = np.corrcoef(first, second)[0, 1]
    assert abs(neighbours) < 0.012  # 1 / √n is 0.003
    assert abs(successive) < 0.012


def test_uniform_is_scaled_to_its_bounds() -> None:
    plain = ExampleRandom(0, 0, torch.arange(1000)).uniform()
    scaled = ExampleRandom(0, 0, torch.arange(1000)).uniform(-2.0, 3.0)
    assert torch.allclose(scaled, 5 * plain - 2, atol=1e-6)


def test_integer_takes_every_value_equally_often_and_never_the_bound() -> None:
    numbers = ExampleRandom(0, 0, torch.arange(MANY)).integer(-1, 8)
    counts = (numbers + 1).bincount()
    assert len(counts) == 9
    assert numbers.min() == -1
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_chance_has_its_probability() -> None:
    random = ExampleRandom(0, 0, torch.arange(MANY))
    assert abs(random.chance(0.2).float().mean() - 0.2) < 0.005
    assert not random.chance(0.0).any()
    assert random.chance(1.0).all()


def test_normal_is_standard_normal() -> None:
    numbers = ExampleRandom(0, 0, torch.arange(MANY)).normal().double().numpy()
    assert np.isfinite(numbers).all()
    assert stats.kstest(numbers, "norm").pvalue > 0.01
    assert abs(stats.kurtosis(numbers)) < 0.06


def test_uniforms_equal_a_loop_over_python_integers() -> None:
    """Each 64-bit number of a row's SplitMix64 makes two numbers: its lower half is the first."""
    random = ExampleRandom(11, 4, torch.tensor([7]))
    random.uniform()
    state = finalise(
        (finalise((7 * GOLDEN + derive(11, Purpose.AUGMENT, 4)) % 2**64) + derive(2)) % 2**64
    )
    words = [finalise((state + i * GOLDEN) % 2**64) for i in range(2)]
    halves = [word >> shift & 0xFFFFFFFF for word in words for shift in (0, 32)]
    expected = [((half ^ 0x80000000) >> 8) / 2**24 for half in halves]  # signed, from the middle
    assert random.uniforms(3)[0].tolist() == expected[:3]


def test_batched_draws_are_uniform_normal_and_independent() -> None:
    random = ExampleRandom(0, 0, torch.arange(1000))
    uniforms, normals = random.uniforms(101), random.normals(101)
    assert uniforms.shape == normals.shape == (1000, 101)
    assert random.calls == 2
    assert stats.kstest(uniforms.flatten().double().numpy(), "uniform").pvalue > 0.01
    assert uniforms.min() >= 0
    assert uniforms.max() < 1
    assert stats.kstest(normals.flatten().double().numpy(), "norm").pvalue > 0.01
    assert abs(stats.kurtosis(normals.flatten().numpy())) < 0.06
    for numbers in (uniforms, normals):
        between = np.corrcoef(numbers[:, [0, 1, 2, 50, 51, 52, 100]].T.numpy())
        assert np.abs(between - np.eye(7)).max() < 0.12  # 1 / √n is 0.03


def test_batched_draws_do_not_depend_on_the_rest_of_the_batch() -> None:
    whole = ExampleRandom(0, 3, torch.arange(12)).normals(5)
    parts = [ExampleRandom(0, 3, part).normals(5) for part in torch.arange(12).split(5)]
    assert torch.equal(whole, torch.cat(parts))
    assert not torch.equal(whole, ExampleRandom(0, 4, torch.arange(12)).normals(5))


def test_the_host_stream_is_independent() -> None:
    """Its numbers are on the CPU, whatever the device of the main stream."""
    random, again = (ExampleRandom(1, 2, torch.arange(50)) for _ in range(2))
    host, second = random.on_host(), random.on_host()
    assert torch.equal(host.uniform(), again.on_host().uniform())
    drawn = [
        host.uniform(),
        second.uniform(),
        random.uniform(),
        ExampleRandom(1, 2, random.positions).uniform(),
    ]
    assert len({row.numpy().tobytes() for row in drawn}) == 4
    part = ExampleRandom(1, 2, torch.arange(20, 30)).on_host()
    assert torch.equal(
        part.uniform(), ExampleRandom(1, 2, torch.arange(50)).on_host().uniform()[20:30]
    )
    elsewhere = ExampleRandom(1, 2, torch.arange(50), torch.device("meta"))
    assert elsewhere.uniform().device.type == "meta"
    assert elsewhere.on_host().uniform().device.type == "cpu"


def test_small_and_large_batches_have_the_same_numbers() -> None:
    """On a CPU, NumPy makes those of a small batch, torch those of a large one."""
    large, small = (ExampleRandom(3, 1, torch.arange(n)) for n in (40_000, 7))
    for call in (ExampleRandom.uniform, lambda draws: draws.uniforms(9)):
        assert torch.equal(call(large)[:7], call(small))
