from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support import digest, fitted, make_run

from trainer.core.batch import Batch
from trainer.core.duration import Clock
from trainer.core.errors import ConfigError, Interrupted
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.loss.elr import Elr

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 4, generator=RNG, dtype=torch.float64)
LABELS = torch.arange(6) % 4
IDS = torch.tensor([8, 3, 5, 0, 9, 2])  # dataset ids, not positions


def made(**options) -> Elr:
    loss = Elr(**options)
    loss.allocate(10, 4)
    return loss.double()


def mixed(share: float = 0.7) -> Batch:
    """Each image a blend of two examples of the batch."""
    plain = Batch.of(LOGITS, LABELS, IDS)
    both = [torch.cat([x, x.roll(1, 0)], 1) for x in (plain.labels, plain.index)]
    shares = torch.tensor([[share, 1 - share]], dtype=torch.float64).expand(6, 2)
    return replace(plain, labels=both[0], index=both[1], shares=shares)


def test_two_steps_by_hand():
    """p = 0.75 and 0.25: t = 0.3·p, then 0.7·0.3·p + 0.3·p = 0.51·p; Σ p² = 0.625."""
    loss = Elr()
    loss.allocate(2, 2)
    outputs, label, ids = torch.tensor([[0.75, 0.25]]).log(), torch.tensor([1]), torch.tensor([1])
    plain = torch.tensor(0.25).log().neg()
    for targets in (0.3, 0.51):
        value = loss(outputs, label, ids)
        expected = plain + 3 * torch.tensor(1 - targets * 0.625).log()
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)
        torch.testing.assert_close(loss.table[1], targets * torch.tensor([0.75, 0.25]))
    assert (loss.table[0] == 0).all()


def test_against_the_authors_code():
    """The lines of https://github.com/shengliu66/ELR, loss.py, over several steps."""
    loss, target = made(), torch.zeros(10, 4, dtype=torch.float64)
    for step in range(4):
        outputs = (LOGITS * (step + 1)).requires_grad_()
        y_pred = torch.clamp(F.softmax(outputs, dim=1), 1e-4, 1.0 - 1e-4)
        detached = y_pred.detach()
        norm = detached / detached.sum(dim=1, keepdim=True)
        target[IDS] = 0.7 * target[IDS] + 0.3 * norm
        elr_reg = (1 - (target[IDS] * y_pred).sum(dim=1)).log().mean()
        expected = F.cross_entropy(outputs, LABELS) + 3 * elr_reg
        ours = loss(outputs, LABELS, IDS).mean()
        torch.testing.assert_close(ours, expected)
        gradients = [torch.autograd.grad(value, outputs)[0] for value in (ours, expected)]
        torch.testing.assert_close(*gradients)


def test_the_term_rewards_agreement_with_the_target_not_the_label():
    """A falling loss as p nears t: with −λ it would push predictions away from the targets."""
    loss = made()
    loss.table[8] = torch.tensor([0.0, 0.0, 0.9, 0.0])
    batch = Batch.of(LOGITS, LABELS, IDS).select(slice(0, 1))
    toward = torch.tensor([[0.0, 0, 2, 0]]), torch.tensor([[0.0, 0, 4, 0]])
    near, nearer = (loss.reweigh(torch.zeros(1), z.double(), batch).item() for z in toward)
    assert nearer < near < 0


def test_no_gradient_through_the_targets():
    """The gradient is that of constant targets, by finite differences."""
    loss = made()
    loss(LOGITS, LABELS, IDS)
    outputs = LOGITS.clone().requires_grad_()
    batch = Batch.of(LOGITS, LABELS, IDS)
    assert not loss.table.requires_grad
    assert torch.autograd.gradcheck(
        lambda z: loss.reweigh(loss.score(z, LABELS), z, batch), outputs
    )


def test_a_target_is_of_the_examples_own_image_and_never_of_a_mixed_one():
    loss = made()
    loss.batch_losses(LOGITS, Batch.of(LOGITS, LABELS, IDS))
    before = loss.table.clone()
    loss.batch_losses(LOGITS.flip(0), mixed())
    assert torch.equal(loss.table, before)
    loss.batch_losses(LOGITS.flip(0), mixed(share=1.0))
    assert (loss.table != before).any(), "a share of 1 is an unmixed image"


def test_a_mixed_image_has_the_blended_targets_of_its_examples():
    loss, batch = made(), mixed()
    loss.batch_losses(LOGITS, Batch.of(LOGITS, LABELS, IDS))
    outputs = LOGITS.flip(0)
    t = 0.7 * loss.table[IDS] + 0.3 * loss.table[IDS.roll(1)]
    plain = 0.7 * F.cross_entropy(outputs, LABELS, reduction="none")
    plain += 0.3 * F.cross_entropy(outputs, LABELS.roll(1), reduction="none")
    expected = plain + 3 * torch.log(1 - (outputs.softmax(1) * t).sum(1))
    torch.testing.assert_close(loss.batch_losses(outputs, batch), expected, rtol=1e-3, atol=1e-3)


def test_of_a_repeated_example_the_last_own_image_counts():
    """On any machine: a GPU writes repeated ids in no fixed order."""
    loss, ids = made(), torch.tensor([4, 4, 4, 7, 7, 1])
    batch = replace(mixed(), index=torch.stack([ids, ids], 1))
    shares = batch.shares.clone()
    shares[[0, 1, 3, 5]] = torch.tensor([1.0, 0.0], dtype=torch.float64)  # 2 and 4 are mixed
    loss.survey(torch.zeros(6), LOGITS, replace(batch, shares=shares))
    expected = 0.3 * LOGITS.softmax(1)[[1, 3, 5]]
    torch.testing.assert_close(loss.table[[4, 7, 1]], expected, rtol=1e-3, atol=1e-3)


def test_extreme_logits_are_finite():
    """p and t may both be one-hot: 1 − ⟨p, t⟩ is then kept from 0."""
    loss = Elr(beta=0.0)
    loss.allocate(10, 4)
    outputs = (LOGITS.float().sign() * 1e4).requires_grad_()
    loss(outputs, LABELS, IDS)
    losses = loss(outputs, LABELS, IDS)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert outputs.grad.isfinite().all()


def test_without_ids_or_targets_it_says_what_it_needs():
    with pytest.raises(ValueError, match=r"Elr needs .* ids: call loss\(outputs, labels, ids\)"):
        made()(LOGITS, LABELS)
    with pytest.raises(RuntimeError, match=r"first call allocate\(examples, classes\)"):
        Elr()(LOGITS, LABELS, IDS)
    plain = F.cross_entropy(LOGITS, LABELS, reduction="none")
    assert torch.equal(made().eval()(LOGITS, LABELS), plain)


RUN = ("loss=elr", "optimizer=sgd", "model=mlp", "device=cpu")


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_skipped_step_leaves_the_targets(tmp_path, accumulate):
    run = make_run(tmp_path, *RUN, "nonfinite=skip", f"accumulate={accumulate}")
    step = run.assemble_step(Clock(3, 3)).step
    feed = run.loader.open(run.data.train, run.device)
    first, second = feed.batches(Plan.of(run.data.train.ids[:40], 20))
    step(first, StepId(0, 0, 0), 0)
    before = run.loss.get_buffer("targets_by_id").clone()
    assert ((before > 0).any(1).nonzero()[:, 0] == run.data.train.ids[:20].sort().values).all()
    images = second.images.float()
    images[0] = torch.nan  # the other rows' predictions are finite
    step(second.with_images(images), StepId(0, 0, 1), 20)
    assert torch.equal(run.loss.get_buffer("targets_by_id"), before)


def test_accumulation_equals_the_large_batch(tmp_path):
    tables = []
    for accumulate in (1, 3):
        run = make_run(tmp_path / str(accumulate), *RUN, f"accumulate={accumulate}")
        step = run.assemble_step(Clock(3, 3)).step
        feed = run.loader.open(run.data.train, run.device)
        for i, batch in enumerate(feed.batches(Plan.of(run.data.train.ids[:40].repeat(2), 20))):
            step(batch, StepId(0, 0, i), 20 * i)
        tables.append(run.loss.get_buffer("targets_by_id"))
    torch.testing.assert_close(*tables)
    assert (tables[0].sum(1)[run.data.train.ids[:40]] > 0.5).all(), "two updates: 1 − 0.7²"


def test_a_stopped_run_resumes_identically_and_refuses_foreign_targets(tmp_path):
    overrides = ("loss=elr", "mixer=mixup", "mixer.probability=0.5", "epochs=3")
    expected = digest(fitted(tmp_path / "whole", *overrides))
    with pytest.raises(Interrupted):
        fitted(tmp_path / "stop", *overrides, stop_after=10)
    fit = fitted(tmp_path / "stop", *overrides)
    assert digest(fit) == expected
    foreign = {"targets_by_id": torch.zeros(5, 10)}
    wrong = r"targets_by_id is float32 \[5, 10\], not float32 \[1797, 10\]"
    with pytest.raises(ValueError, match=wrong):
        fit.stateful()["loss"].load_state_dict(foreign)


def test_a_mixer_that_leaves_no_image_unmixed_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"loss=elr .* mixer\.probability=1 .* mixer=none$"):
        _ = make_run(tmp_path, *RUN, "mixer=cutmix").data
    assert make_run(tmp_path, *RUN, "mixer=cutmix", "mixer.until=0.5run").data


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.beta must be in \[0, 1\), got 1"):
        Elr(beta=1.0)
    with pytest.raises(ValueError, match=r"loss\.lam must be in \[0, inf\), got -1"):
        Elr(lam=-1.0)
