"""Every loss for several labels: linear in the label, one value and one count per example."""

import pytest
import torch
import torch.nn.functional as F

from trainer.core.batch import Batch
from trainer.loss import Loss, contract, mean_loss
from trainer.loss.asymmetric import Asymmetric
from trainer.loss.bce import BinaryCrossEntropy
from trainer.loss.focal import Focal
from trainer.loss.function import Function

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 5, generator=RNG, dtype=torch.float64)
LABELS = torch.rand(12, 5, generator=RNG) < 0.4
WEIGHTS = [1.0, 2.0, 3.0, 0.5, 4.0]
LOSSES = {
    "bce": BinaryCrossEntropy(),
    "focal": Focal(form="sigmoid"),
    "asymmetric": Asymmetric(),
    "function": Function(function=F.binary_cross_entropy_with_logits),
}


@pytest.mark.parametrize("weight", [1.0, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_torchs(smoothing, weight):
    loss = BinaryCrossEntropy(label_smoothing=smoothing, pos_weight=weight)
    loss.prepare(torch.ones(5))
    expected = F.binary_cross_entropy_with_logits(
        LOGITS,
        (1 - smoothing) * LABELS.double() + smoothing / 2,
        pos_weight=torch.tensor(weight, dtype=torch.float64),
        reduction="none",
    )
    torch.testing.assert_close(loss.score(LOGITS, LABELS), expected.mean(1))


@pytest.mark.parametrize("alpha", [None, 0.25, 0.6])
@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_focal_is_torchvisions(gamma, alpha):
    focal = pytest.importorskip("torchvision.ops").sigmoid_focal_loss
    expected = focal(LOGITS, LABELS.double(), -1 if alpha is None else alpha, gamma)
    loss = Focal(form="sigmoid", gamma=gamma, alpha=alpha)
    torch.testing.assert_close(loss.score(LOGITS, LABELS), expected.mean(1))


def test_one_label_is_one_hot():
    """For the losses that take class ids too, a single label has the same value either way."""
    classes = torch.arange(12) % 5
    one_hot = F.one_hot(classes, 5).bool()
    for loss in (BinaryCrossEntropy(), Focal(form="sigmoid")):
        torch.testing.assert_close(loss.score(LOGITS, one_hot), loss.score(LOGITS, classes))


@pytest.mark.parametrize("name", LOSSES)
def test_an_example_counts_one(name):
    loss = LOSSES[name]
    losses = loss(LOGITS, LABELS)
    assert losses.shape == loss.denominator(LABELS).shape == (12,)
    assert "multilabel" in loss.targets
    batch = Batch.of(LOGITS, LABELS)
    mean = mean_loss(loss.batch_losses(LOGITS, batch), batch, loss.batch_counts(batch))
    torch.testing.assert_close(mean, losses.mean())


@pytest.mark.parametrize("name", LOSSES)
def test_shares_give_the_loss_of_the_blended_labels(name):
    """Each term is multiplied by y or 1 − y, so 0.7 and 0.3 of two labels are y = 0.7 and 0.3."""
    loss: Loss = LOSSES[name]
    labels = torch.stack([LABELS, LABELS.roll(1, 0)], 1)
    shares = torch.tensor([[0.7, 0.3]], dtype=torch.float64).expand(12, 2)
    ones = torch.ones(12)
    batch = Batch(LOGITS, labels, shares, torch.zeros(12, 2, dtype=torch.long), ones, ones)
    blended = 0.7 * LABELS + 0.3 * LABELS.roll(1, 0)
    present, absent = (
        torch.stack([loss(LOGITS[:, [c]], torch.full((12, 1), y)) for c in range(5)], 1)
        for y in (True, False)
    )
    expected = (blended * present + (1 - blended) * absent).mean(1)
    losses = contract(lambda y: loss(LOGITS, y), batch)
    torch.testing.assert_close(losses, expected)
    if name == "bce":
        torch.testing.assert_close(
            losses,
            F.binary_cross_entropy_with_logits(LOGITS, blended.double(), reduction="none").mean(1),
        )


def test_the_softmax_form_is_not_for_it_and_names_the_form_that_is():
    assert "multilabel" not in Focal().targets
    assert Focal().instead("multilabel") == "loss.form=sigmoid"
    assert Focal().instead("vector") is None
