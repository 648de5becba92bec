"""Prior correction: Bayes' rule with other priors."""

import math

import pytest
import torch

from trainer.loss.logit_adjusted import LogitAdjusted
from trainer.postprocess.prior_correction import PriorCorrection

COUNTS = torch.tensor([90, 10])


def prepared(counts=COUNTS, **settings) -> PriorCorrection:
    correction = PriorCorrection(**settings)
    correction.prepare(counts)
    return correction


def test_by_hand():
    """p = (0.9, 0.1) under priors (0.9, 0.1) is (0.5, 0.5) under uniform priors."""
    outputs = torch.tensor([[0.9, 0.1]]).log()
    torch.testing.assert_close(prepared()(outputs).softmax(1), torch.tensor([[0.5, 0.5]]))
    half = prepared(tau=0.5)(outputs).softmax(1)[0]
    assert (half[0] / half[1]).item() == pytest.approx(3)  # 9 / √9


def test_given_target_priors():
    """Saerens et al. eq. 2.4: p_c π'_c / π_c, renormalised."""
    outputs = torch.tensor([[0.6, 0.4]]).log()
    p = prepared(target=[1, 3])(outputs).softmax(1)
    ratio = 0.6 * (0.25 / 0.9), 0.4 * (0.75 / 0.1)
    torch.testing.assert_close(p, torch.tensor([ratio]) / sum(ratio))


def test_target_priors_of_val():
    correction = prepared(target="val")
    assert correction.needs_val
    assert not prepared().needs_val
    correction.fit(torch.zeros(4, 2), torch.tensor([0, 1, 1, 1]))
    assert correction.fitted["shift"] == pytest.approx([math.log(0.25 / 0.9), math.log(0.75 / 0.1)])
    uniform = prepared()
    uniform.fit(torch.zeros(4, 2), torch.tensor([0, 1, 1, 1]))
    assert uniform.fitted["shift"] == pytest.approx([math.log(0.5 / 0.9), math.log(0.5 / 0.1)])


def test_it_inverts_logit_adjustment():
    """The adjusted logits of the loss, corrected, are the original ones up to a constant."""
    counts = torch.tensor([5, 20, 75])
    loss = LogitAdjusted()
    loss.prepare(counts)
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    corrected = prepared(counts)(outputs + loss.adjustment)
    torch.testing.assert_close(corrected.log_softmax(1), outputs.log_softmax(1))


def test_an_absent_class_counts_as_one_example():
    correction = prepared(torch.tensor([99, 0]))
    shift = torch.tensor(correction.fitted["shift"])
    assert (shift[1] - shift[0]).exp().item() == pytest.approx(99)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"postprocess\.target .* 2 classes, got 3"):
        prepared(target=[1, 1, 1])
    with pytest.raises(
        ValueError, match=r"postprocess\.target must be in \(0, inf\), got \[1, 0\]"
    ):
        PriorCorrection(target=[1, 0])
    with pytest.raises(ValueError, match=r"postprocess\.tau must be in \[0, inf\), got -1$"):
        PriorCorrection(tau=-1)
