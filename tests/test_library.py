"""Components outside the runner: exported by their groups, usable with tensors alone."""

import inspect
import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from support import CONF
from torch import Tensor, nn

from trainer.core.batch import Batch, contract
from trainer.core.duration import Clock
from trainer.core.seed import ExampleRandom, StepId
from trainer.loss import CrossEntropy, Focal, Function, Ghm, LogitAdjusted, Loss, SuperLoss
from trainer.loss import mean_loss as mean
from trainer.mining import (
    HardExample,
    HardNegative,
    Importance,
    InfoBatch,
    Misclassified,
    Ohem,
    OhemTwoPass,
    Random,
    Reweight,
    Rho,
    Rs2,
    SelectiveBackprop,
    SelfPaced,
    SmallLoss,
)
from trainer.mixer import Cutmix, Mixup
from trainer.optimizer import AdaBound, Adagrad, Adam, AdamW, Lion, RMSprop, Sgd
from trainer.schedule import (
    Adjust,
    CosineDecay,
    Lambda,
    Multiplicative,
    Multistep,
    OneCycle,
    Trapezoid,
)
from trainer.warmup import Gradual

NO_COMPONENTS = ("experiment", "sweep", "hydra")  # folders of whole configs, not of components
FILES = sorted(path for path in CONF.glob("*/*.yaml") if path.parent.name not in NO_COMPONENTS)
NODES = {f"{path.parent.name}/{path.stem}": yaml.safe_load(path.read_text()) for path in FILES}
NODES = {name: node for name, node in NODES.items() if node and "_target_" in node}
# Settings whose default, None in the class, the YAML writes out.
SPELT_OUT = {("model/mlp", "hidden"), ("job/compare", "ignore")}

RNG = torch.Generator().manual_seed(0)
IMAGES = torch.rand(32, 3, 8, 8, generator=RNG)
LABELS = torch.arange(32) % 4
LOGITS = torch.randn(32, 4, generator=RNG)
LOSSES = F.cross_entropy(LOGITS, LABELS, reduction="none")


def target(node: dict[str, Any]) -> Any:
    """Import the class that a node names."""
    module, _, name = node["_target_"].rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("name", NODES)
def test_a_group_exports_its_options(name: str) -> None:
    group = import_module(f"trainer.{name.partition('/')[0]}")
    component = target(NODES[name])
    assert getattr(group, component.__name__) is component
    assert component.__name__ in dir(group)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import trainer.loss

    with pytest.raises(AttributeError, match="Fokal"):
        _ = trainer.loss.Fokal  # pyright: ignore
    assert not hasattr(trainer.loss, "Fokal")


def test_imports_are_lazy() -> None:
    code = """
import sys, trainer
assert "torch" not in sys.modules
import trainer.loss, trainer.schedule, trainer.optimizer
options = ("trainer.loss.focal", "trainer.schedule.cosine", "trainer.optimizer.adam")
assert not set(options) & set(sys.modules)
from trainer.loss import Focal
assert options[0] in sys.modules and "trainer.loss.ghm" not in sys.modules
print(trainer.history.open.__module__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("trainer.history"), done.stderr


@pytest.mark.parametrize("name", NODES)
def test_yaml_and_class_have_the_same_defaults(name: str) -> None:
    node = NODES[name]
    for key, parameter in inspect.signature(target(node)).parameters.items():
        default = parameter.default
        if key not in node or default is parameter.empty or (name, key) in SPELT_OUT:
            continue
        given = node[key]
        if "factory" in repr(default):  # a dataclass's list
            default = getattr(target(node)(), key)
        if callable(default):
            default = f"{default.__module__}.{default.__qualname__}"
        if isinstance(default, tuple):
            default = list(default)
        if isinstance(default, list) and default and isinstance(default[0], float):
            given = [float(number) for number in given]
        if isinstance(default, float):  # YAML reads 1e-3 as a string
            given = float(node[key])
        assert given == default, key


# Losses


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4))


def test_the_mean_of_losses_and_of_a_mask(model: nn.Module) -> None:
    losses = Focal(gamma=2.0)(model(IMAGES), LABELS)
    mean(losses).backward()
    assert mean(losses).item() == pytest.approx(losses.mean().item())
    mask = losses > losses.median()
    assert mean(losses, mask).item() == pytest.approx(losses[mask].mean().item())
    pixels = losses[:, None, None].expand(32, 2, 3)
    assert mean(pixels, mask).item() == pytest.approx(losses[mask].mean().item())
    assert mean(losses, mask & False) == 0
    assert mean(torch.tensor([1.0, torch.inf]), torch.tensor([True, False])) == 1


def test_weighted_losses_are_averaged_over_all_examples() -> None:
    weights = torch.rand(32, generator=RNG)
    torch.testing.assert_close(mean(LOSSES, weights), (weights * LOSSES).sum() / 32)


def test_given_class_weights_need_no_preparation() -> None:
    loss = CrossEntropy(class_weights=[1, 3, 2, 0.5])
    expected = F.cross_entropy(LOGITS, LABELS, loss.weights)
    ours = mean(loss(LOGITS, LABELS), counts=loss.denominator(LABELS))
    torch.testing.assert_close(ours, expected)
    mask = LABELS < 2
    expected = F.cross_entropy(LOGITS[mask], LABELS[mask], loss.weights)
    ours = mean(loss(LOGITS, LABELS), mask, loss.denominator(LABELS))
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("weights", ["balanced", "effective_number"])
def test_class_weights_from_the_data_must_be_prepared(weights: Any) -> None:
    loss = CrossEntropy(class_weights=weights)
    with pytest.raises(RuntimeError, match=r"class weights.* call prepare\(class_counts\)"):
        loss(LOGITS, LABELS)
    with pytest.raises(RuntimeError, match="prepare"):
        loss.denominator(LABELS)
    loss.prepare(LABELS.bincount())
    torch.testing.assert_close(loss(LOGITS, LABELS), LOSSES)


def test_priors_must_be_prepared_for_training() -> None:
    with pytest.raises(RuntimeError, match=r"priors.* call prepare\(class_counts\)"):
        LogitAdjusted()(LOGITS, LABELS)
    torch.testing.assert_close(LogitAdjusted().eval()(LOGITS, LABELS), LOSSES)


@pytest.mark.parametrize("loss", [Ghm(), SuperLoss(), SuperLoss(tau="mean")])
def test_a_call_in_training_mode_reweighs(loss: Loss) -> None:
    """The call equals forward, survey and reweigh, as a step runs them."""
    batch = Batch.of(IMAGES, LABELS)
    if loss.batchwise:
        with pytest.raises(RuntimeError, match=r"call survey\(.*batch_losses"):
            loss.reweigh(LOSSES, LOGITS, batch)
    losses = loss(LOGITS, LABELS)
    plain = loss.forward(LOGITS, LABELS)
    torch.testing.assert_close(losses, loss.reweigh(plain, LOGITS, batch))
    assert not torch.allclose(losses, plain)
    torch.testing.assert_close(loss.eval()(LOGITS, LABELS), plain)


SETTINGS: dict[str, dict[str, Any]] = {
    "cross_entropy": {"class_weights": [1.0, 2.0, 3.0, 0.5], "label_smoothing": 0.1},
    "bce": {"pos_weight": [1.0, 2.0, 3.0, 0.5]},
    "focal": {"alpha": [1.0, 2.0, 3.0, 0.5]},
    "superloss": {"tau": "mean"},
}


@pytest.mark.parametrize("name", [name for name in NODES if name.startswith("loss/")])
def test_losses_in_float64_have_correct_gradients(name: str) -> None:
    """Losses keep the dtype, and their gradients equal finite differences."""
    option = name.partition("/")[2]
    loss = target(NODES[name])(**SETTINGS.get(option, {}))
    loss.prepare(torch.tensor([4, 3, 2, 1]))
    loss.allocate(3, 4)
    shape = (3, 4, 5, 5) if loss.targets[-1] in ("mask", "image") else (3, 4)
    outputs = torch.randn(shape, generator=RNG, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 4, (shape[0], *shape[2:]), generator=RNG)
    if loss.targets == ("multilabel",):
        labels = torch.rand(shape, generator=RNG) < 0.5
    if ("vector" in loss.targets and option != "function") or loss.targets == ("image",):
        labels = torch.randn(shape, generator=RNG, dtype=torch.float64)
    batch = Batch.of(outputs.detach(), labels)
    for call in (loss.forward, lambda o, y: loss.batch_losses(o, batch)):
        assert call(outputs, labels).dtype == torch.float64
    if option == "superloss":  # σ carries no gradient: the derivative is not the slope
        return
    assert torch.autograd.gradcheck(lambda o: loss.forward(o, labels), outputs)


def test_a_function_as_a_loss() -> None:
    loss = Function(function=lambda outputs, labels: outputs.square().mean(1))
    torch.testing.assert_close(loss(LOGITS, LABELS), LOGITS.square().mean(1))
    assert "test_library" in loss.path


# Miners


def test_masks_of_a_batch() -> None:
    rng = np.random.default_rng(0)
    kept = Ohem(keep=0.25).mask(LOSSES)
    assert kept.sum() == 8
    assert LOSSES[kept].min() >= LOSSES[~kept].max()
    pixels = Ohem(keep=0.5).mask(LOSSES.view(2, 4, 4))
    assert (pixels.shape, pixels.sum().item()) == ((2, 4, 4), 16)
    uncertain = Ohem(threshold=0.3).mask(1 - (-LOSSES).exp())
    assert torch.equal(uncertain, (-LOSSES).exp() < 0.3)
    easy = SmallLoss(tau=0.5, fall_epochs=2)
    assert [easy.mask(LOSSES, epoch).sum().item() for epoch in (0, 1, 2, 9)] == [32, 24, 16, 16]
    negatives = HardNegative(ratio=1, negative_classes=[0, 1]).mask(LOSSES, LABELS)
    assert negatives[LABELS > 1].all()
    assert negatives[LABELS < 2].sum() == 16
    miner = SelectiveBackprop(beta=2.0)
    assert miner.mask(LOSSES, rng).all(), "nothing to compare with yet"
    drawn = miner.mask(LOSSES, rng)
    assert drawn[LOSSES.argmax()]
    assert 0 < drawn.sum() < 32


def test_rows_of_a_batch() -> None:
    rng = np.random.default_rng(0)
    rows = OhemTwoPass(keep=0.25).rows(LOSSES)
    assert torch.equal(rows, Ohem(keep=0.25).mask(LOSSES).nonzero()[:, 0])
    assert len(Random(keep=0.5).rows(32, rng).unique()) == 16
    rows, weights = Importance(keep=0.5, score="loss").draw(LOSSES, rng)
    torch.testing.assert_close(weights, LOSSES.mean() / LOSSES[rows])


def test_selections_from_a_training_set() -> None:
    rng = np.random.default_rng(0)
    hard = HardExample(keep=0.25).rows(LOSSES)
    assert hard.tolist() == LOSSES.argsort(descending=True)[:8].tolist()
    wrong = LOGITS.argmax(1) != LABELS
    assert torch.equal(Misclassified().mask(wrong.float()), wrong)
    easy = SelfPaced(pool=0.5, until=0.5)
    assert [len(easy.rows(LOSSES, epoch, 10)) for epoch in (0, 1, 5)] == [32, 16, 32]
    assert set(easy.rows(LOSSES, 1, 10).tolist()) == set(LOSSES.argsort()[:16].tolist())
    parts = [Rs2(keep=0.25).rows(32, epoch, seed=1) for epoch in range(4)]
    assert torch.cat(parts).sort().values.tolist() == list(range(32))
    weights = Reweight().weights(LOSSES)
    assert weights.mean().item() == pytest.approx(1)
    assert weights.argmax() == LOSSES.argmax()
    pruned = InfoBatch(prune=0.5).weights(LOSSES, rng)
    below = LOSSES.mean() > LOSSES
    assert (pruned[~below] == 1).all()
    assert set(pruned[below].tolist()) == {0.0, 2.0}


def test_an_unprepared_miner_raises_an_error() -> None:
    batch = Batch.of(IMAGES, LABELS)
    with pytest.raises(RuntimeError, match=r"Reweight lacks `live`: call prepare\(labels\) first"):
        Reweight().observe(batch, LOSSES)
    rho = Rho(reference="outputs/irreducible")
    with pytest.raises(RuntimeError, match=r"Rho lacks `irreducible`: call prepare\(labels\)"):
        rho.select(batch, lambda rows: LOSSES, StepId(0, 0, 0))


# Mixers and augmentations


def test_a_mixed_batch_trains_like_soft_labels(model: nn.Module) -> None:
    rng = np.random.default_rng(0)
    batch = Mixup(alpha=0.2).mixed(IMAGES, LABELS, rng)
    assert batch.labels.shape == (32, 2)
    torch.testing.assert_close(batch.shares.sum(1), torch.ones(32))
    loss, outputs = CrossEntropy(), model(batch.images)
    ours = mean(loss.batch_losses(outputs, batch), batch)
    soft = (F.one_hot(batch.labels, 4) * batch.shares[..., None]).sum(1)
    torch.testing.assert_close(ours, F.cross_entropy(outputs, soft))


def test_mixing_follows_the_kind_of_target() -> None:
    masks = torch.randint(0, 4, (32, 8, 8), generator=RNG)
    mixed = Cutmix().mixed(IMAGES, masks, np.random.default_rng(0))
    assert mixed.labels.shape == (32, 1, 8, 8)
    with pytest.raises(ValueError, match="mask"):
        Mixup().mixed(IMAGES, masks, np.random.default_rng(0))
    with pytest.raises(RuntimeError, match=r"mixer\.until=5ep .*bind_clock"):
        Mixup(until="5ep").mixed(IMAGES, LABELS, np.random.default_rng(0))


def test_augmentation_of_a_batch() -> None:
    from trainer.augmentation import HorizontalFlip

    augmented = HorizontalFlip()(IMAGES, ExampleRandom(0, 0, torch.arange(len(IMAGES))))
    flipped = (augmented == IMAGES.flip(-1)).flatten(1).all(1)
    assert ((augmented == IMAGES).flatten(1).all(1) | flipped).all()
    assert 0 < flipped.sum() < 32


# Schedules, optimizers, samplers


def test_schedules_are_functions_of_the_step() -> None:
    schedule, warmup = CosineDecay(decay_steps=1000), Gradual(steps=100, start_factor=0.0)
    assert schedule(500, 0.1) == pytest.approx(0.05)
    rates = [warmup(t, schedule(max(t - 100, 0), 0.1)) for t in range(1101)]
    assert rates[0] == 0
    assert rates[50] == pytest.approx(0.05)
    assert rates[100] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0)
    assert Multistep(milestones=[30, 60])(45, 1.0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "schedule", [CosineDecay(), CosineDecay(decay_steps="5ep"), OneCycle(), Trapezoid(), Adjust()]
)
def test_durations_not_in_steps_need_a_clock(schedule: Any) -> None:
    with pytest.raises(RuntimeError, match=r"bind\(Clock\(steps_per_epoch, total\)\) first"):
        schedule(0, 0.1)
    schedule.bind(Clock(steps_per_epoch=50, total=1000))
    assert 0 < schedule(0, 0.1) <= 0.1


def test_functions_as_schedules() -> None:
    assert Lambda(function=lambda n: 0.9**n, every=100)(250, 0.1) == pytest.approx(0.081)
    assert Multiplicative(function=lambda n: 0.5, every=10)(25, 1.0) == 0.25
    schedule = Adjust(function=lambda step, epoch: step + 100 * epoch)
    schedule.bind(Clock(steps_per_epoch=10, total=100))
    assert schedule(25, 1.0) == 225


@pytest.mark.parametrize("cls", [AdaBound, Adagrad, Adam, AdamW, Lion, RMSprop, Sgd])
def test_an_optimizer_takes_a_model_or_its_parameters(cls: Any) -> None:
    steps: list[Tensor] = []
    for parameters in (lambda model: model, lambda model: model.parameters()):
        torch.manual_seed(0)
        network = nn.Linear(3, 2)
        optimizer = cls(parameters(network), weight_decay=0.1)
        network(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
        steps.append(network.weight.detach())
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert torch.equal(*steps)


def test_sampling_by_labels() -> None:
    from trainer.sampler import ClassBalanced, Oversample

    rng, labels = np.random.default_rng(0), torch.tensor([0] * 90 + [1] * 10)
    assert labels[Oversample().order(labels, rng)].bincount().tolist() == [90, 90]
    assert 30 < labels[ClassBalanced().order(labels, rng)].sum() < 70


def test_early_stopping() -> None:
    from trainer.early_stopping import Patience

    patience = Patience(monitor="val/loss", patience=2)
    assert [patience.update({"val/loss": loss}) for loss in (1.0, 1.1, 1.2)] == [False, False, True]


def test_the_share_weighted_loss_of_one_label_is_the_loss() -> None:
    batch = Batch.of(IMAGES, LABELS)
    assert torch.equal(contract(lambda y: CrossEntropy()(LOGITS, y), batch), LOSSES)


def test_a_mixed_batch_with_class_weights_is_the_weighted_mean() -> None:
    """Σ_k λ_k w_{y_k} ℓ_k / Σ_k λ_k w_{y_k}: torch's weighted mean over the labelled parts."""
    batch = Mixup(alpha=1.0).mixed(IMAGES, LABELS, np.random.default_rng(0))
    weights = torch.tensor([1.0, 3.0, 1.0, 2.0])
    loss = CrossEntropy(class_weights=[1, 3, 1, 2])
    ours = mean(loss.batch_losses(LOGITS, batch), batch, counts=loss.batch_counts(batch))
    shares = batch.shares * weights[batch.labels]
    plain = torch.stack([F.cross_entropy(LOGITS, y, reduction="none") for y in batch.labels.T], 1)
    torch.testing.assert_close(ours, (shares * plain).sum() / shares.sum())


def test_an_unknown_name_for_class_weights_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"loss\.class_weights .*balanced.*got balancd"):
        CrossEntropy(class_weights="balancd")  # pyright: ignore
