"""Training metrics and records: masks, blended targets, early flushes."""

import pytest
import torch
import torch.nn.functional as F

from trainer.core.batch import Batch, only
from trainer.history.store import DifficultyStore
from trainer.loss import Loss
from trainer.loss.cross_entropy import CrossEntropy
from trainer.loss.dice import Dice
from trainer.loss.mse import MeanSquaredError
from trainer.task import Task
from trainer.task.regression import Regression
from trainer.task.segmentation import Segmentation
from trainer.training import meter as module
from trainer.training.meter import Meter, Pieces

CPU = torch.device("cpu")
RNG = torch.Generator().manual_seed(0)


def made(folder, task: Task, loss: Loss) -> Meter:
    loss.ignore_index = task.ignore_index
    return Meter(task, loss, DifficultyStore(folder, 10, task.fields, CPU))


def batch_of(labels: torch.Tensor, shares: list[float] | None = None, first: int = 0) -> Batch:
    """Make a batch of labels [B, ...] for examples from `first` on; ignored pixels count 0."""
    ones = torch.ones(len(labels))
    ids = torch.arange(first, first + len(labels))[:, None]
    own = torch.tensor(shares)[:, None] if shares else ones[:, None]
    batch = Batch(torch.zeros(len(labels), 1, 2, 2), labels[:, None], own, ids, ones, ones)
    return batch if labels.is_floating_point() else only(batch, labels != 255)


def add(meter: Meter, batch: Batch, outputs: torch.Tensor) -> torch.Tensor:
    losses = meter.loss(outputs, batch.labels[:, 0])
    meter.add(batch, outputs, losses, 0)
    return losses


MASKS = torch.tensor([[[0, 1], [2, 2]], [[255, 255], [255, 1]]])
LOGITS = torch.randn(2, 3, 2, 2, generator=RNG)


def test_pixels_count_alike_whatever_image_they_are_of(tmp_path):
    """Four pixels of one image and one of another: a mean over five pixels, not two images."""
    meter = made(tmp_path, Segmentation(), CrossEntropy())
    add(meter, batch_of(MASKS), LOGITS)
    meter.flush()
    seen = MASKS != 255
    losses = F.cross_entropy(LOGITS, MASKS, ignore_index=255, reduction="none")
    right = (LOGITS.argmax(1) == MASKS)[seen].float()
    metrics = meter.take_interval()
    assert metrics["loss"] == pytest.approx(losses[seen].mean().item())
    assert metrics["accuracy"] == pytest.approx(right.mean().item())
    each = torch.stack([losses[0].mean(), losses[1, 1, 1]])
    torch.testing.assert_close(meter.store.rows["loss"][:2], each.half())
    assert each.mean().item() != pytest.approx(metrics["loss"], rel=1e-3)
    assert meter.store.rows["iou"][:2].isfinite().all()


def test_class_weights_of_pixels_divide_by_their_sum(tmp_path):
    loss = CrossEntropy(class_weights=[1.0, 3.0, 0.5])
    loss.prepare(torch.ones(3))
    meter = made(tmp_path, Segmentation(), loss)
    add(meter, batch_of(MASKS), LOGITS)
    meter.flush()
    weights = torch.tensor([1.0, 3.0, 0.5])
    expected = F.cross_entropy(LOGITS, MASKS, weights, ignore_index=255).item()
    assert meter.take_interval()["loss"] == pytest.approx(expected)


def test_added_and_wholly_ignored_masks_are_not_in_the_metrics(tmp_path):
    meter, rest = (made(tmp_path / n, Segmentation(), CrossEntropy()) for n in ("a", "b"))
    logits, masks = LOGITS.repeat(2, 1, 1, 1), MASKS.repeat(2, 1, 1)
    masks[3] = 255
    batch = only(batch_of(masks), torch.tensor([True, True, False, True]))
    add(meter, batch, logits)
    add(rest, batch_of(MASKS), LOGITS)
    for one in (meter, rest):
        one.flush()
    assert meter.take_interval() == pytest.approx(rest.take_interval())


def test_one_value_for_an_image(tmp_path):
    meter = made(tmp_path, Segmentation(), Dice())
    losses = add(meter, batch_of(MASKS).select(slice(0, 1)), LOGITS[:1])
    assert losses.shape == (1,)
    meter.flush()
    assert meter.take_interval()["loss"] == pytest.approx(losses.item())
    assert meter.store.rows["loss"][0] == losses.half()[0]


@pytest.mark.parametrize(("shares", "known"), [([1.0, 0.7], [0]), ([0.4, 0.7], []), (None, [0, 1])])
def test_rows_whose_targets_are_blended_are_not_recorded(tmp_path, shares, known):
    """Their K is 1 too; a batch of blended rows only is not recorded at all."""
    meter = made(tmp_path, Regression(), MeanSquaredError())
    targets, outputs = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [4.0]])
    add(meter, batch_of(targets, shares), outputs)
    meter.flush()
    recorded = meter.store.rows["loss"]
    assert (~recorded.isnan()).nonzero()[:, 0].tolist() == known
    assert [recorded[i].item() for i in known] == [[1.0, 4.0][i] for i in known]
    assert meter.take_interval() == {"loss": 2.5, "mae": 1.5}


def test_much_is_flushed_early_to_the_same_sums(tmp_path, monkeypatch):
    """A batch has 8 pixels, each 3 outputs, loss, weight, count (4 bytes) and a label (8)."""
    late, early = (made(tmp_path / n, Segmentation(), CrossEntropy()) for n in ("a", "b"))
    pending = []
    for limit, meter in ((2**28, late), (2 * 8 * (6 * 4 + 8), early)):
        monkeypatch.setattr(module, "MOST_PENDING", limit)
        for first in (0, 2, 4, 6):
            add(meter, batch_of(MASKS, first=first), LOGITS + first)
            pending.append(len(meter.pending))
        meter.flush()
        assert meter.bytes == 0
    assert pending == [1, 2, 3, 4, 1, 2, 0, 1]
    assert early.take_epoch() == pytest.approx(late.take_epoch())
    for name, row in late.store.rows.items():
        torch.testing.assert_close(early.store.rows[name], row, rtol=0, atol=0, equal_nan=True)


def test_results_of_large_batches_lie_side_by_side(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Elsewhere they would split the memory of the batches that are freed between them."""
    pieces = Pieces()
    tensors = [torch.arange(3.0), torch.ones(1).expand(4), torch.arange(5), torch.zeros(0)]
    kept = [pieces.keep(tensor) for tensor in [*tensors, MASKS < 2]]
    torch.testing.assert_close(kept, [*tensors, MASKS < 2], rtol=0, atol=0)
    assert [t.data_ptr() - kept[0].data_ptr() for t in kept[:3]] == [0, 16, 32]
    large = torch.arange(module.LARGE)
    assert pieces.keep(large) is large
    assert kept[2].equal(tensors[2])
    found = []
    for least in (2**22, 2**10):  # bytes of a batch's images, which have 2 kB here
        monkeypatch.setattr(module, "LARGE", least)
        meter = made(tmp_path / str(least), Segmentation(), CrossEntropy())
        add(meter, batch_of(MASKS).with_images(torch.zeros(2, 1, 16, 17)), LOGITS)
        assert (meter.pieces.used > 0) == (least == 2**10)
        meter.flush()
        found.append((meter.take_interval(), meter.store.rows["loss"][:2].tolist()))
    assert found[0] == found[1]
