"""Plans: rows, bounds, added rows."""

from itertools import product

import pytest
import torch

from trainer.core.plan import AT_ONCE, Plan, batch_bounds


@pytest.mark.parametrize(
    ("rows", "batch_size", "bounds"),
    [
        (8, 4, [0, 4, 8]),
        (10, 4, [0, 4, 8, 10]),
        (9, 4, [0, 4, 9]),  # a last batch of one row joins the one before
        (5, 4, [0, 5]),
        (1, 4, [0, 1]),  # nothing to join
        (3, 1, [0, 1, 2, 3]),  # batches of one are intended
        (3, 100, [0, 3]),
        (0, 4, [0]),
    ],
)
def test_batch_bounds(rows: int, batch_size: int, bounds: list[int]) -> None:
    assert batch_bounds(rows, batch_size).tolist() == bounds


def test_batch_bounds_against_a_slow_loop() -> None:
    for rows, batch_size in product(range(40), range(1, 12)):
        bounds = [*range(0, rows, batch_size), rows]
        if len(bounds) > 2 and bounds[-1] - bounds[-2] == 1 and batch_size > 1:
            del bounds[-2]
        assert batch_bounds(rows, batch_size).tolist() == bounds


@pytest.mark.parametrize(
    ("start", "ids"), [(0, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]), (2, [[8, 9]]), (3, [])]
)
def test_step_rows(start: int, ids: list[list[int]]) -> None:
    assert [
        step.ids[:, 0].tolist() for step in Plan.of(torch.arange(10), 4).step_rows(start)
    ] == ids


@pytest.mark.parametrize("start", [0, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE + 3])
def test_step_rows_of_more_steps_than_are_split_at_once(start: int) -> None:
    number = 4 * (2 * AT_ONCE + 5) + 2
    plan = Plan.of(torch.randperm(number), 4).weighted(torch.arange(number).float())
    for step, rows in enumerate(plan.step_rows(start), start):
        at = slice(4 * step, 4 * step + 4)
        for name in ("ids", "shares", "weight", "count"):
            assert torch.equal(getattr(rows, name), getattr(plan, name)[at])
    assert step == plan.steps - 1


def test_a_plan_of_ids() -> None:
    plan = Plan.of(torch.tensor([5, 3, 9]), 2)
    assert plan.ids.tolist() == [[5], [3], [9]]
    assert plan.shares.tolist() == [[1], [1], [1]]
    assert plan.weight.tolist() == plan.count.tolist() == [1, 1, 1]
    assert plan.bounds.tolist() == [0, 3]
    assert (len(plan), plan.steps) == (3, 1)


def test_a_plan_of_blends() -> None:
    shares = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    plan = Plan.of(torch.tensor([[5, 3], [9, 1]]), 1, shares)
    assert plan.ids.tolist() == [[5, 3], [9, 1]]
    assert torch.equal(plan.shares, shares)
    assert plan.steps == 2


def test_an_empty_plan_has_no_steps() -> None:
    plan = Plan.of(torch.empty(0, dtype=torch.int64), 4)
    assert (len(plan), plan.steps) == (0, 0)


def test_selected_rows_keep_weight_and_count_and_are_batched_again() -> None:
    plan = Plan(
        ids=torch.tensor([[4], [5], [6], [7]]),
        shares=torch.ones(4, 1),
        weight=torch.tensor([1.0, 2, 3, 4]),
        count=torch.tensor([1.0, 0, 1, 0]),
        bounds=torch.tensor([0, 4]),
    )
    part = plan.select(torch.tensor([3, 0, 2]), 1)
    assert part.ids.tolist() == [[7], [4], [6]]
    assert part.weight.tolist() == [4, 1, 3]
    assert part.count.tolist() == [0, 1, 1]
    assert part.bounds.tolist() == [0, 1, 2, 3]


def test_weighted_multiplies_weights_and_leaves_counts() -> None:
    plan = Plan.of(torch.arange(3), 3).weighted(torch.tensor([2.0, 1, 1]))
    plan = plan.weighted(torch.tensor([2.0, 0, 1]))
    assert plan.weight.tolist() == [4, 0, 1]
    assert plan.count.tolist() == [1, 1, 1]


def test_added_rows_by_hand() -> None:
    """Steps of 4, 4 and 2 rows share 5 extra rows as 2, 2, 1; each weighs λ·b/e, counts 0."""
    plan = Plan.of(torch.arange(10), 4).with_added(torch.tensor([90, 91, 92, 93, 94]), 0.5)
    assert plan.bounds.tolist() == [0, 6, 12, 15]
    assert plan.ids[:, 0].tolist() == [0, 1, 2, 3, 90, 91, 4, 5, 6, 7, 92, 93, 8, 9, 94]
    own = [1.0] * 4
    assert plan.weight.tolist() == [*own, 1, 1, *own, 1, 1, 1, 1, 1]
    assert plan.count.tolist() == [*own, 0, 0, *own, 0, 0, 1, 1, 0]


def test_added_rows_weigh_lambda_b_over_e() -> None:
    """8 rows in two steps, 2 extra: each step has one, of weight λ·4/1 = 12 for λ = 3."""
    plan = Plan.of(torch.arange(8), 4).with_added(torch.tensor([7, 7]), 3.0)
    assert plan.weight[plan.count == 0].tolist() == [12, 12]


@pytest.mark.parametrize("extra", [0, 1, 3, 4, 11, 50])
def test_added_rows_add_lambda_times_their_mean(extra: int) -> None:
    """Σ weight·ℓ / Σ count of each step is mean ℓ(own) + λ · mean ℓ(added)."""
    plan = Plan.of(torch.arange(11), 3).with_added(torch.arange(100, 100 + extra), 0.7)
    loss = torch.rand(200, generator=torch.Generator().manual_seed(0))
    added_ids = []
    for first, last in zip(plan.bounds[:-1], plan.bounds[1:], strict=True):
        ids, count = plan.ids[first:last, 0], plan.count[first:last]
        actual = (plan.weight[first:last] * loss[ids]).sum() / count.sum()
        own, added = ids[count == 1], ids[count == 0]
        expected = loss[own].mean() + (0.7 * loss[added].mean() if len(added) else 0)
        assert actual.item() == pytest.approx(float(expected), rel=1e-5)
        added_ids += added.tolist()
    assert added_ids == list(range(100, 100 + extra))


def test_rows_added_to_blends_are_pure() -> None:
    shares = torch.tensor([[0.75, 0.25]]).expand(4, 2)
    plan = Plan.of(torch.arange(8).reshape(4, 2), 2, shares).with_added(torch.tensor([6, 7]), 1.0)
    added = plan.count == 0
    assert plan.shares[added].tolist() == [[1, 0], [1, 0]]
    assert plan.ids[added].tolist() == [[6, 6], [7, 7]]
    assert plan.shares[~added].tolist() == [[0.75, 0.25]] * 4


def test_to_keeps_the_bounds_on_the_cpu() -> None:
    plan = Plan.of(torch.arange(4), 2).to(torch.device("meta"))
    assert plan.ids.device.type == plan.weight.device.type == "meta"
    assert plan.bounds.tolist() == [0, 2, 4]
