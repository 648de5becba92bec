"""Prior correction: Bayes' rule with other priors."""

import math

import pytest
import torch

from trainer.loss.logit_adjusted import LogitAdjusted
from trainer.postprocess.prior_correction import PriorCorrection

COUNTS = torch.tensor([90, 10])


def prepared(counts=COUNTS, **settings) -> PriorCorrection:
    made = PriorCorrection(**settings)
    made.prepare(counts)
    return made


def test_by_hand():
    """p = (0.9, 0.1) with priors (0.9, 0.1): both classes are as likely where they are even."""
    outputs = torch.tensor([[0.9, 0.1]]).log()
    torch.testing.assert_close(prepared()(outputs).softmax(1), torch.tensor([[0.5, 0.5]]))
    half = prepared(tau=0.5)(outputs).softmax(1)[0]
    assert (half[0] / half[1]).item() == pytest.approx(3)  # 9 / √9


def test_to_priors_that_are_given():
    """Saerens' rule: p_c π'_c / π_c, renormalised."""
    outputs = torch.tensor([[0.6, 0.4]]).log()
    p = prepared(target=[1, 3])(outputs).softmax(1)
    ratio = 0.6 * (0.25 / 0.9), 0.4 * (0.75 / 0.1)
    torch.testing.assert_close(p, torch.tensor([ratio]) / sum(ratio))


def test_to_those_of_val():
    made = prepared(target="val")
    assert made.needs_val
    assert not prepared().needs_val
    made.fit(torch.zeros(4, 2), torch.tensor([0, 1, 1, 1]))
    assert made.fitted["shift"] == pytest.approx([math.log(0.25 / 0.9), math.log(0.75 / 0.1)])
    even = prepared()
    before = even.fitted["shift"]
    even.fit(torch.zeros(4, 2), torch.tensor([0, 1, 1, 1]))
    assert even.fitted["shift"] == before


def test_it_takes_away_what_logit_adjustment_adds():
    """Up to a constant: the training logits of the loss, corrected, are its test logits."""
    counts = torch.tensor([5, 20, 75])
    loss = LogitAdjusted()
    loss.prepare(counts)
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    corrected = prepared(counts)(outputs + loss.adjustment)
    torch.testing.assert_close(corrected.log_softmax(1), outputs.log_softmax(1))


def test_an_absent_class_counts_as_one_example():
    made = prepared(torch.tensor([99, 0]))
    shift = torch.tensor(made.fitted["shift"])
    assert (shift[1] - shift[0]).exp().item() == pytest.approx(99)


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"postprocess\.target .* 2 classes, got 3"):
        prepared(target=[1, 1, 1])
    with pytest.raises(
        ValueError, match=r"postprocess\.target must be in \(0, inf\), got \[1, 0\]"
    ):
        PriorCorrection(target=[1, 0])
    with pytest.raises(ValueError, match=r"postprocess\.tau"):
        PriorCorrection(tau=-1)
