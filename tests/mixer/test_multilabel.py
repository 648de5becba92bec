"""Several labels under each mixer: kept with their shares, which blend the multi-hot labels."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.seed import StepId
from trainer.mining.base import Miner
from trainer.mining.shared.ranker import Ranker, entropy
from trainer.mixer import Mixer
from trainer.mixer.chain import Chain
from trainer.mixer.cutmix import Cutmix
from trainer.mixer.mixup import Mixup
from trainer.mixer.random_choice import RandomChoice
from trainer.mixer.ricap import Ricap
from trainer.task.multilabel import Multilabel

MIXERS: dict[str, Callable[[], Mixer]] = {
    "mixup": lambda: Mixup(per_image=True),
    "cutmix": lambda: Cutmix(per_image=True),
    "ricap": lambda: Ricap(per_image=True, beta=1.0),
    "chain": lambda: Chain(mixers={"a": Mixup(), "b": Cutmix()}),
    "twice": lambda: Chain(mixers={"a": Cutmix(), "b": Ricap()}),
    "random_choice": lambda: RandomChoice(mixers={"a": Mixup(), "b": Ricap()}),
}
LABELS = torch.rand(10, 4, generator=torch.Generator().manual_seed(1)) < 0.5


def mixed(name: str) -> Batch:
    """Ten images, each 1 in its own channel, mixed: the channels' means are the true shares."""
    images = torch.eye(10)[:, :, None, None].repeat(1, 1, 12, 8)
    mixer = MIXERS[name]()
    mixer.bind("multilabel")
    return mixer(Batch.of(images, LABELS), StepId(0, 0, 3))


def blended(batch: Batch) -> Tensor:
    return torch.einsum("bkc,bk->bc", batch.labels.float(), batch.shares)


@pytest.mark.parametrize("name", MIXERS)
def test_labels_are_blended_as_the_pixels_are(name):
    batch = mixed(name)
    assert batch.labels.dtype == torch.bool
    assert batch.labels.shape == (*batch.shares.shape, 4)
    assert torch.equal(batch.labels, LABELS[batch.index])
    shares = batch.images.mean((2, 3))
    assert (shares.amax(1) < 1).any()
    torch.testing.assert_close(blended(batch), shares @ LABELS.float())


def test_labels_alone_tell_the_kind_of_target():
    batch = Mixup().mixed(torch.rand(10, 1, 4, 4), LABELS, np.random.default_rng(0))
    assert batch.labels.shape == (10, 2, 4)


def test_a_single_example_has_its_own_labels_as_the_dominant_ones():
    batch = mixed("mixup")
    labels, ids = batch.dominant()
    assert torch.equal(labels, LABELS[ids])


def test_excess_is_the_loss_above_the_least_possible_one():
    """At p = the blended label, the mean binary cross entropy is the entropy: an excess of 0."""
    batch = mixed("mixup")
    target = blended(batch).double()
    logits = target.logit().clamp(-40, 40)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(entropy(batch).double(), losses.mean(1), atol=1e-6, rtol=1e-5)
    excess = Ranker(Multilabel(), Miner(rank_by="excess"))(logits, losses.mean(1), batch)
    torch.testing.assert_close(excess, torch.zeros(10).double(), atol=1e-6, rtol=0)


def test_a_miner_ranks_by_the_mean_loss_over_the_classes():
    losses = torch.rand(10)
    batch = mixed("cutmix")
    assert torch.equal(Ranker(Multilabel(), Miner())(torch.rand(10, 4), losses, batch), losses)
