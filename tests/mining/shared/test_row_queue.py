"""Rows that wait until they fill a batch, against a list."""

from dataclasses import replace

import pytest
import torch

from trainer.core.batch import Batch
from trainer.core.errors import CheckpointError
from trainer.mining.shared.row_queue import RowQueue

LABELS = torch.arange(100) % 7
RNG = torch.Generator().manual_seed(0)


def pool(first: int, size: int = 4, labels: int = 1) -> Batch:
    """Images that show their dataset id; further labels are of the next ids."""
    ids = torch.arange(first, first + size)
    index = ids[:, None] + torch.arange(labels)
    shares = torch.full((size, labels), 1 / labels)
    images = ids.float().view(-1, 1, 1, 1).expand(-1, 2, 3, 3)
    return Batch(images, LABELS[index], shares, index, ids.float(), torch.ones(size))


def taken(batch: Batch) -> list[int]:
    assert torch.equal(batch.images[:, 0, 0, 0], batch.weight)
    assert torch.equal(batch.index[:, 0].float(), batch.weight)
    assert torch.equal(batch.labels, LABELS[batch.index])
    return batch.index[:, 0].tolist()


@pytest.mark.parametrize("chance", [0.1, 0.5, 1.0])
def test_against_a_list(chance):
    """A batch is taken if it was full before the rows of the step joined."""
    queue, waiting = RowQueue(4, LABELS), []
    for first in range(0, 80, 4):
        chosen = torch.rand(4, generator=RNG) < chance
        full = len(waiting) >= 4
        waiting += [first + i for i in range(4) if chosen[i]]
        assert taken(queue.exchange(pool(first), chosen)) == (waiting[:4] if full else [])
        waiting = waiting[4:] if full else waiting
        assert int(queue.count) == len(waiting) <= 8


def texts(first: int) -> Batch:
    """Texts of three words, all of which are their dataset id."""
    batch = pool(first)
    return replace(batch, images=batch.index.int().expand(-1, 3))


@pytest.mark.parametrize("pool", [pool, texts])
def test_the_restored_queue_goes_on_in_the_same_way(pool):
    queue = RowQueue(4, LABELS)
    chosen = torch.tensor([True, False, True, True])
    for first in range(0, 12, 4):
        queue.exchange(pool(first), chosen)
    state = queue.state_dict()
    assert {len(rows) for rows in state["rows"].values()} == {5}
    again = RowQueue(4, LABELS, words=len(LABELS))
    again.load_state_dict(state)
    total = 0
    for first in range(12, 40, 4):
        ours, theirs = (q.exchange(pool(first), chosen) for q in (queue, again))
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.index, theirs.index)
        total += len(ours)
    assert total == 20


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(4, 3), "neither images nor texts"),
        (torch.zeros(4, 3, dtype=torch.int64), "neither images nor texts"),
        (torch.zeros(3, 3, dtype=torch.int32), "has 3 rows, not 4"),
        (torch.full((4, 3), -1, dtype=torch.int32), "word ids outside 0 to 8"),
        (torch.full((4, 3), 9, dtype=torch.int32), "word ids outside 0 to 8"),
    ],
)
def test_rows_that_are_no_texts_are_refused(images, message):
    queue = RowQueue(4, LABELS)
    queue.exchange(texts(0), torch.ones(4, dtype=torch.bool))
    state = queue.state_dict()
    state["rows"]["images"] = images
    with pytest.raises(ValueError, match=message):
        RowQueue(4, LABELS, words=9).load_state_dict(state)


def test_mixed_and_unmixed_images_wait_together():
    queue, chosen = RowQueue(4, LABELS), torch.ones(4, dtype=torch.bool)
    for first, labels in ((0, 1), (4, 3), (8, 2)):
        batch = queue.exchange(pool(first, labels=labels), chosen)
    assert batch.index.tolist() == [[4, 5, 6], [5, 6, 7], [6, 7, 8], [7, 8, 9]]
    batch = queue.exchange(pool(12), chosen)
    assert batch.shares[0].tolist() == [0.5, 0.5, 0.0]
    assert batch.shares.sum(1).tolist() == [1.0] * 4


def test_layout_of_the_images_is_kept():
    batch = pool(0)
    images = batch.images.contiguous(memory_format=torch.channels_last)
    queue = RowQueue(4, LABELS)
    for _ in range(2):
        out = queue.exchange(replace(batch, images=images), torch.ones(4, dtype=torch.bool))
    assert out.images.is_contiguous(memory_format=torch.channels_last)


def test_images_of_another_size_are_refused():
    queue, again = RowQueue(4, LABELS), RowQueue(4, LABELS)
    queue.exchange(pool(0), torch.ones(4, dtype=torch.bool))
    again.load_state_dict(queue.state_dict())
    other = replace(pool(4), images=torch.zeros(4, 2, 5, 5))
    with pytest.raises(CheckpointError, match=r"queue\.images are \[2, 3, 3\], not \[2, 5, 5\]"):
        again.exchange(other, torch.ones(4, dtype=torch.bool))
