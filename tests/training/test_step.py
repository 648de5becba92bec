"""The reduction Σ weight·ℓ / Σ count: each of its uses against gradients computed by hand."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainer.augmentation.shift import Shift
from trainer.core.batch import Batch, only
from trainer.core.errors import NonFiniteError
from trainer.core.forward import Forward
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.distill.none import NoDistiller
from trainer.history.store import DifficultyStore
from trainer.loss.base import Loss
from trainer.loss.cross_entropy import CrossEntropy
from trainer.loss.mse import MeanSquaredError
from trainer.mining.base import Miner
from trainer.mining.hard_example import HardExample
from trainer.mining.none import NoMiner
from trainer.mining.ohem import Ohem
from trainer.mining.ohem_two_pass import OhemTwoPass
from trainer.mining.shared.ranker import Ranker
from trainer.mixer.base import Drawing, Mixer
from trainer.mixer.mixup import Mixup
from trainer.mixer.none import NoMixer
from trainer.task.classification import Classification
from trainer.training.meter import Meter
from trainer.training.nonfinite import NonFiniteGuard
from trainer.training.progress import Cost
from trainer.training.step import Step
from trainer.training.weight_average import Average

CPU = torch.device("cpu")
MOMENT = StepId(seed=0, epoch=1, step=5)
CLASSES = 4


class Table(nn.Module):
    """Logits are pixels of the image plus a parameter, so gradients can be computed by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, 0, :CLASSES] + self.shift


def make_step(
    tmp_path, *, model=None, loss=None, miner=None, mixer=None, lr=1.0, **options
) -> Step:
    model = model or Table()
    loss = loss or CrossEntropy()
    miner = miner or NoMiner()
    task = Classification()
    buffers = [*model.buffers(), *loss.buffers()]
    guard_options = {k: options.pop(k) for k in ("policy", "max_skips", "deferred") if k in options}
    fused = guard_options.get("deferred", False)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, fused=fused)
    return Step(
        forward=Forward(model, mean=(0.0,), std=(1 / 255,), device=CPU),
        augmentation=[],
        mixer=mixer or NoMixer(),
        loss=loss,
        miner=miner,
        ranker=Ranker(task, miner),
        distiller=NoDistiller(),
        guard=NonFiniteGuard(optimizer, buffers, **guard_options),
        meter=Meter(task, loss, DifficultyStore(tmp_path, 100, task.fields, CPU)),
        average=Average(model),
        cost=Cost(),
        **options,
    )


def make_batch(size: int = 8, seed: int = 0) -> Batch:
    """Make images whose first pixels are logits; std = 1/255 undoes the division by 255."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 6, (size, 1, 4, 4), generator=rng).float()
    labels = torch.randint(0, CLASSES, (size, 1), generator=rng)
    ones = torch.ones(size)
    return Batch(images, labels, ones[:, None], torch.arange(size)[:, None], ones, ones)


def update_of(step: Step, batch: Batch) -> torch.Tensor:
    """Return the gradient of the shift: the update of SGD with lr 1."""
    before = step.forward.model.shift.detach().clone()
    step(batch, MOMENT, 0)
    return before - step.forward.model.shift.detach()


def by_hand(batch: Batch, weight, denominator: float) -> torch.Tensor:
    """Return Σ weight_b (p_b − onehot_b) / denominator, the gradient of the shift."""
    p = batch.images[:, 0, 0, :CLASSES].softmax(1)
    onehot = F.one_hot(batch.labels[:, 0], CLASSES).float()
    return (torch.as_tensor(weight)[:, None] * (p - onehot)).sum(0) / denominator


def losses_of(batch: Batch) -> torch.Tensor:
    logits = batch.images[:, 0, 0, :CLASSES]
    return F.cross_entropy(logits, batch.labels[:, 0], reduction="none")


def test_plain_is_the_mean(tmp_path):
    batch = make_batch()
    torch.testing.assert_close(
        update_of(make_step(tmp_path), batch), by_hand(batch, torch.ones(8), 8)
    )


def test_selection_is_the_mean_over_the_kept(tmp_path):
    batch = make_batch()
    kept = torch.zeros(8)
    kept[losses_of(batch).argsort(descending=True, stable=True)[:2]] = 1
    step = make_step(tmp_path, miner=Ohem(keep=0.25))
    torch.testing.assert_close(update_of(step, batch), by_hand(batch, kept, 2))


def test_class_weights_divide_by_their_sum(tmp_path):
    batch = make_batch()
    weights = [1.0, 2.0, 0.5, 4.0]
    loss = CrossEntropy(class_weights=weights)
    loss.prepare(torch.ones(CLASSES))
    own = torch.tensor(weights)[batch.labels[:, 0]]
    update = update_of(make_step(tmp_path, loss=loss), batch)
    torch.testing.assert_close(update, by_hand(batch, own, own.sum().item()))
    shift = torch.zeros(CLASSES, requires_grad=True)
    logits = batch.images[:, 0, 0, :CLASSES] + shift
    F.cross_entropy(logits, batch.labels[:, 0], torch.tensor(weights)).backward()
    torch.testing.assert_close(update, shift.grad)


def test_unbiased_estimators_keep_the_count(tmp_path):
    """InfoBatch: rows of weight 1 / (1 − r) count 1, otherwise updates would nearly halve."""
    batch = replace(make_batch(), weight=torch.tensor([2.0, 2, 1, 1, 2, 1, 1, 2]))
    update = update_of(make_step(tmp_path), batch)
    torch.testing.assert_close(update, by_hand(batch, batch.weight, 8))


def test_added_rows_add_their_own_mean(tmp_path):
    """L(batch) + λ·L(hard) for 6 rows and 2 added ones, λ = 0.5, through the plan."""
    plan = Plan.of(torch.arange(6), 6).with_added(torch.tensor([6, 7]), 0.5)
    assert plan.ids[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    batch = replace(make_batch(), weight=plan.weight, count=plan.count)
    expected = by_hand(batch.select(slice(0, 6)), torch.ones(6), 6) + 0.5 * by_hand(
        batch.select(slice(6, 8)), torch.ones(2), 2
    )
    torch.testing.assert_close(update_of(make_step(tmp_path), batch), expected)


def test_ignored_elements_count_nothing(tmp_path):
    batch = make_batch()
    seen = torch.tensor([1.0, 1, 0, 1, 0, 1, 1, 1])
    update = update_of(make_step(tmp_path), only(batch, seen.bool()))
    torch.testing.assert_close(update, by_hand(batch, seen, 6))


def test_masks_move_with_their_images(tmp_path):
    """Pixels shifted in are black and labelled 255: their weight and count are 0."""
    step = make_step(tmp_path)
    step.loss.ignore_index, step.augmentation = 255, [Shift(fraction=0.5)]
    masks = torch.randint(1, 4, (8, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    batch = replace(make_batch(), images=masks.float(), labels=masks)
    prepared = step.prepare(batch, MOMENT, 0)
    inside = prepared.labels[:, 0] != 255
    assert 0.3 < inside.float().mean() < 0.9
    expected = prepared.labels[:, 0].float() * inside
    torch.testing.assert_close(prepared.images[:, 0], expected)
    assert torch.equal(prepared.weight, inside.float())
    assert torch.equal(prepared.count, inside.float())


def test_image_targets_move_with_their_images(tmp_path):
    step = make_step(tmp_path, loss=MeanSquaredError())
    step.augmentation = [Shift(fraction=0.5)]
    batch = make_batch()
    prepared = step.prepare(replace(batch, labels=batch.images[:, None] / 255), MOMENT, 0)
    assert prepared.labels.shape == (8, 1, 1, 4, 4)
    torch.testing.assert_close(prepared.labels[:, 0] * 255, prepared.images)
    assert not torch.allclose(prepared.images, batch.images)
    assert torch.equal(prepared.weight, torch.ones(8))


def test_a_batch_without_count_is_no_update(tmp_path):
    """Even with weight decay, which would move the weights at gradient 0."""
    batch = replace(make_batch(), weight=torch.zeros(8), count=torch.zeros(8))
    step = make_step(tmp_path)
    step.guard.optimizer.param_groups[0]["weight_decay"] = 0.1
    with torch.no_grad():
        step.forward.model.shift += 1
    assert update_of(step, batch).abs().max() == 0
    assert step.cost.backward == 8


@pytest.mark.parametrize("deferred", [False, True])
def test_deferred_guard_agrees(tmp_path, deferred):
    step = make_step(tmp_path, deferred=deferred)
    for seed in range(3):
        step(make_batch(seed=seed), MOMENT, 0)
    reference = make_step(tmp_path)
    for seed in range(3):
        reference(make_batch(seed=seed), MOMENT, 0)
    torch.testing.assert_close(
        step.forward.model.shift, reference.forward.model.shift, rtol=0, atol=1e-6
    )


class FixedMixer(Mixer):
    """Mixes each row with the next at λ = 0.7."""

    def draw(self, size, image, rng, step_id):
        return Drawing([torch.arange(size).roll(-1)], {"share": torch.full((size,), 0.7)})

    mix = Mixup.mix


def test_mixup_contracts_with_the_shares(tmp_path):
    """λ·CE(z, a) + (1 − λ)·CE(z, b) is the cross entropy with the blended target."""
    batch = make_batch()
    update = update_of(make_step(tmp_path, mixer=FixedMixer()), batch)
    images = 0.7 * batch.images + 0.3 * batch.images.roll(-1, 0)
    onehot = F.one_hot(batch.labels[:, 0], CLASSES).float()
    target = 0.7 * onehot + 0.3 * onehot.roll(-1, 0)
    expected = (images[:, 0, 0, :CLASSES].softmax(1) - target).mean(0)
    torch.testing.assert_close(update, expected)


def test_mixup_with_ohem(tmp_path):
    """Only the hardest mixed images, by the loss of the mixed target."""
    batch = make_batch()
    update = update_of(make_step(tmp_path, mixer=FixedMixer(), miner=Ohem(keep=0.5)), batch)
    images = 0.7 * batch.images + 0.3 * batch.images.roll(-1, 0)
    onehot = F.one_hot(batch.labels[:, 0], CLASSES).float()
    target = 0.7 * onehot + 0.3 * onehot.roll(-1, 0)
    logits = images[:, 0, 0, :CLASSES]
    losses = F.cross_entropy(logits, target, reduction="none")
    kept = losses.argsort(descending=True, stable=True)[:4]
    torch.testing.assert_close(update, (logits.softmax(1) - target)[kept].mean(0))


class Centred(Loss):
    """A batchwise loss: each loss squared, divided by the batch's mean loss."""

    batchwise = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.surveys = 0

    def score(self, outputs, labels):
        return F.cross_entropy(outputs, labels, reduction="none")

    def survey(self, losses, outputs, batch):
        self.surveys += 1
        self.mean.copy_(losses.mean())

    def reweigh(self, losses, outputs, batch):
        return losses**2 / self.mean


@pytest.mark.parametrize("accumulate", [2, 3, 8])
@pytest.mark.parametrize("miner", [NoMiner(), Ohem(keep=0.4), OhemTwoPass(keep=0.6)])
@pytest.mark.parametrize("loss", [CrossEntropy(class_weights=[1.0, 2.0, 0.5, 4.0]), Centred()])
def test_accumulation_equals_the_large_batch(tmp_path, accumulate, miner, loss):
    """With uneven chunks too: 8 rows in 3 chunks are 3 + 3 + 2."""
    loss = copy.deepcopy(loss)
    loss.prepare(torch.ones(CLASSES))
    batch = make_batch()
    whole = update_of(make_step(tmp_path, loss=loss, miner=miner), batch)
    parts = update_of(make_step(tmp_path, loss=loss, miner=miner, accumulate=accumulate), batch)
    torch.testing.assert_close(whole, parts)
    if isinstance(loss, Centred):
        assert loss.surveys == 2, "surveyed once per effective batch"


def test_clip_scales_the_whole_gradient(tmp_path):
    batch = make_batch()
    plain = update_of(make_step(tmp_path), batch)
    clipped = update_of(make_step(tmp_path, clip=0.01), batch)
    torch.testing.assert_close(clipped, plain * (0.01 / plain.norm()), rtol=1e-3, atol=0)


def with_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, CLASSES))


def test_scoring_leaves_batchnorm_alone(tmp_path):
    """ohem_two_pass: only the selected rows' training pass updates the statistics."""
    model = with_norm()
    step = make_step(tmp_path, model=model, miner=OhemTwoPass(keep=0.5), lr=0.0)
    batch = make_batch()
    seen = []
    model[0].register_forward_hook(lambda m, i, o: seen.append((m.training, len(i[0]))))
    step(batch, MOMENT, 0)
    assert seen == [(False, 8), (True, 4)]
    assert model[0].num_batches_tracked == 1
    assert all(module.training for module in model.modules())
    assert (step.cost.forward, step.cost.backward) == (12, 4)


def test_frozen_modules_stay_frozen_after_scoring(tmp_path):
    model = with_norm()
    model[0].eval()
    make_step(tmp_path, model=model, miner=OhemTwoPass(keep=0.5))(make_batch(), MOMENT, 0)
    assert not model[0].training
    assert model[2].training


def poisoned() -> Batch:
    batch = make_batch()
    images = batch.images.clone()
    images[3] = float("nan")
    return batch.with_images(images)


@pytest.mark.parametrize("deferred", [False, True])
def test_nan_changes_nothing_and_is_named(tmp_path, deferred):
    model = with_norm()
    step = make_step(tmp_path, model=model, deferred=deferred)
    step(make_batch(), MOMENT, 0)
    before = copy.deepcopy(model.state_dict())
    if deferred:
        step(poisoned(), MOMENT, 0)
        step(make_batch(), MOMENT, 0)  # the flag is sticky: later updates are masked
        with pytest.raises(NonFiniteError, match="step 5"):
            step.guard.read_flag()
    else:
        with pytest.raises(NonFiniteError, match=r"step 5, epoch 1, examples \["):
            step(poisoned(), MOMENT, 0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("deferred", [False, True])
def test_skip_leaves_the_state_and_gives_up(tmp_path, deferred):
    model = with_norm()
    step = make_step(tmp_path, model=model, policy="skip", max_skips=2, deferred=deferred)
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        step(poisoned(), MOMENT, 0)
        step.guard.read_flag()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    with pytest.raises(NonFiniteError, match="max_skips=2"):
        step(poisoned(), MOMENT, 0) or step.guard.read_flag()


def test_a_good_step_ends_a_row_of_skips(tmp_path):
    step = make_step(tmp_path, policy="skip", max_skips=1)
    for batch in (poisoned(), make_batch(), poisoned(), make_batch()):
        step(batch, MOMENT, 0)
    assert step.guard.in_a_row == 0


def test_warmup_epochs_mine_nothing(tmp_path):
    batch = make_batch()
    step = make_step(tmp_path, miner=Ohem(keep=0.25, warmup_epochs=2))
    torch.testing.assert_close(update_of(step, batch), by_hand(batch, torch.ones(8), 8))


def test_meter_reports_the_plan_rows(tmp_path):
    """Training metrics leave out added rows (count 0) but include rows that OHEM masks."""
    batch = make_batch()
    losses = losses_of(batch)
    step = make_step(tmp_path, miner=Ohem(keep=0.25))
    step(batch, MOMENT, 0)
    step.meter.flush()
    assert step.meter.take_interval()["loss"] == pytest.approx(losses.mean().item())
    plan = Plan.of(torch.arange(6), 6).with_added(torch.tensor([6, 7]), 1.0)
    step = make_step(tmp_path, miner=HardExample())
    step(replace(batch, weight=plan.weight, count=plan.count), MOMENT, 0)
    step.meter.flush()
    metrics = step.meter.take_interval()
    assert metrics["loss"] == pytest.approx(losses[:6].mean().item())
    hits = batch.images[:6, 0, 0, :CLASSES].argmax(1) == batch.labels[:6, 0]
    assert metrics["accuracy"] == pytest.approx(hits.float().mean().item())


def test_training_accuracy_under_mixing_is_share_weighted(tmp_path):
    batch = make_batch()
    step = make_step(tmp_path, mixer=FixedMixer())
    step(batch, MOMENT, 0)
    step.meter.flush()
    images = 0.7 * batch.images + 0.3 * batch.images.roll(-1, 0)
    prediction = images[:, 0, 0, :CLASSES].argmax(1)
    labels = batch.labels[:, 0]
    expected = 0.7 * (prediction == labels).float() + 0.3 * (prediction == labels.roll(-1)).float()
    assert step.meter.take_interval()["accuracy"] == pytest.approx(expected.mean().item())


def test_miners_watch_after_the_update(tmp_path):
    class Watch(Miner):
        seen: torch.Tensor | None = None

        def observe(self, batch, ranks):
            self.seen = ranks

    watch = Watch(score="confidence")
    batch = make_batch()
    make_step(tmp_path, miner=watch)(batch, MOMENT, 0)
    torch.testing.assert_close(watch.seen, 1 - (-losses_of(batch)).exp())
