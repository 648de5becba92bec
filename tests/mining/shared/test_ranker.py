import pytest
import torch
import torch.nn.functional as F

from trainer.core.batch import Batch
from trainer.mining.base import Miner
from trainer.mining.shared.ranker import Ranker
from trainer.task.classification import Classification

P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
LOGITS = P.log()


def batch(labels, shares) -> Batch:
    labels, shares = torch.tensor(labels), torch.tensor(shares)
    ones = torch.ones(len(labels))
    return Batch(torch.zeros(len(labels), 1, 1, 1), labels, shares, labels, ones, ones)


PLAIN = batch([[0], [1]], [[1.0], [1.0]])
MIXED = batch([[0, 1], [1, 2]], [[0.75, 0.25], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("error", [0.0, 1.0]),
        ("confidence", [0.3, 0.7]),
        ("margin", [0.2 - 0.7, 0.6 - 0.3]),
        ("entropy", [0.8018, 0.8979]),
        ("el2n", [(0.3**2 + 0.2**2 + 0.1**2) ** 0.5, (0.1**2 + 0.7**2 + 0.6**2) ** 0.5]),
    ],
)
def test_scores_by_hand(score, expected):
    ranks = Ranker(Classification(), Miner(score=score))(LOGITS, torch.zeros(2), PLAIN)
    torch.testing.assert_close(ranks, torch.tensor(expected), rtol=1e-3, atol=1e-4)


def test_scores_of_mixed_images_are_share_weighted():
    ranks = Ranker(Classification(), Miner(score="confidence"))(LOGITS, torch.zeros(2), MIXED)
    expected = [0.75 * 0.3 + 0.25 * 0.8, 0.5 * 0.7 + 0.5 * 0.4]
    torch.testing.assert_close(ranks, torch.tensor(expected))


def test_excess_is_the_kl_divergence_from_the_target():
    """The loss of a mixed target minus its entropy is KL(target ‖ p), 0 if p is the target."""
    targets = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]])
    losses = F.cross_entropy(LOGITS, targets, reduction="none")
    ranks = Ranker(Classification(), Miner(rank_by="excess"))(LOGITS, losses, MIXED)
    expected = F.kl_div(LOGITS, targets, reduction="none").sum(1)
    torch.testing.assert_close(ranks, expected)


def test_a_mix_within_one_class_has_no_entropy():
    """A SMOTE pair, or mixup partners of the same class, have an unmixed target."""
    pair = batch([[1, 1], [1, 2]], [[0.5, 0.5], [0.5, 0.5]])
    ranks = Ranker(Classification(), Miner(rank_by="excess"))(LOGITS, torch.ones(2), pair)
    torch.testing.assert_close(ranks, 1 - torch.tensor([0.0, 0.6931472]))


def test_excess_requires_the_score_loss():
    with pytest.raises(ValueError, match=r"rank_by=excess needs mining\.score=loss"):
        Miner(score="margin", rank_by="excess")
