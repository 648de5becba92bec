"""Fine-tuning: initial weights from a source, frozen modules, and unfreezing."""

import shutil

import pytest
import torch
from support import CONF, config_of, digest, fitted, make_run, read_json, train
from torch import nn

from trainer.cli.execute import execute
from trainer.core.duration import Clock
from trainer.core.errors import CheckpointError, ConfigError, Interrupted
from trainer.init.zeros import Zeros
from trainer.model.mlp import Mlp
from trainer.model.resnet_cifar import ResnetCifar
from trainer.storage import checkpoint
from trainer.training.finetune import Freeze, frozen_modules, initialise

NET = ("model=resnet_cifar", "model.depth=8", "model.width=4")
CLOCK = Clock(steps_per_epoch=7, total=14)


def never(*_: str) -> None:
    """Fail: no run should be restored."""
    pytest.fail("nothing is to be restored")


def net(**settings):
    torch.manual_seed(0)
    return ResnetCifar(shape=(1, 8, 8), outputs=10, depth=8, width=4, **settings)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Train the finished run to fine-tune from."""
    folder = tmp_path_factory.mktemp("source") / "run"
    settings = ("epochs=1", "batch_size=64", "dataset.val_fraction=0.8", "seed=7")
    assert train(folder, *NET, *settings) == 0
    return folder


def best(folder):
    step = read_json(folder / "result.json")["best_step"]
    return checkpoint.load(checkpoint.step_folder(folder / "checkpoints", step))


def test_all_but_the_head_is_the_sources(source, tmp_path):
    """Weights and statistics come from its best checkpoint; the scheme initialises the head."""
    run = make_run(tmp_path, "device=cpu", *NET, f"finetune.source={source}", "init=zeros")
    weights = best(source).model
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, weights[name]) == (not name.startswith("fc.")), name
    assert not run.model.fc.weight.any()


def test_a_checkpoint_is_a_source_too(source, tmp_path):
    path = checkpoint.latest(source / "checkpoints", pytest.fail).path
    run = make_run(tmp_path, "device=cpu", *NET, f"finetune.source={path}")
    weights = checkpoint.load(path).model
    assert torch.equal(run.model.conv.weight, weights["conv.weight"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.width=5", r"conv.weight.*\[4, 1, 3, 3\].*\[5, 1, 3, 3\]"),
        ("model.depth=14", "stage1.1.conv1.weight"),
        ("model.shortcut=B", "stage2.0.shortcut.0.weight"),
    ],
)
def test_a_source_that_does_not_fit_is_refused_by_its_first_parameter(
    source, tmp_path, override, message
):
    run = make_run(tmp_path, "device=cpu", *NET, override, f"finetune.source={source}")
    with pytest.raises(CheckpointError, match=rf"^finetune\.source=.*{message}"):
        _ = run.model


def test_a_deeper_source_is_refused(source, tmp_path):
    run = make_run(tmp_path, "device=cpu", "model=mlp", f"finetune.source={source}")
    with pytest.raises(CheckpointError, match=r"layers\.1\.weight"):
        _ = run.model
    missing = make_run(tmp_path, "device=cpu", "model=mlp", "finetune.source=nowhere")
    with pytest.raises(ConfigError, match=r"^finetune\.source=nowhere: no run there"):
        _ = missing.model


def test_the_scheme_leaves_pretrained_weights_alone():
    model = net()
    made = initialise(model, Zeros(), source=None, pretrained=True, restore=never)
    assert made == {"fc"}
    assert model.conv.weight.any()
    assert not model.fc.weight.any()
    assert initialise(model, Zeros(), source=None, pretrained=False, restore=never) is None
    assert not model.conv.weight.any()


def test_pretrained_and_a_source_contradict_each_other():
    with pytest.raises(ConfigError, match=r"finetune\.source=x needs model\.pretrained=false"):
        initialise(net(), Zeros(), source="x", pretrained=True, restore=never)


def test_what_backbone_and_until_freeze():
    model = net()
    names = {id(m): n for n, m in model.named_modules()}

    def frozen(freeze):
        return [names[id(m)] for m in frozen_modules(model, freeze) if list(m.parameters(False))]

    assert frozen("none") == []
    assert frozen("until:bn") == ["conv", "bn"]
    first = [f"stage1.0.{layer}" for layer in ("conv1", "bn1", "conv2", "bn2")]
    assert frozen("until:stage1") == ["conv", "bn", *first]
    assert frozen("until:stage1.0.bn1") == ["conv", "bn", *first[:2]]
    everything = [n for n, m in model.named_modules() if list(m.parameters(False))]
    assert frozen("backbone") == [name for name in everything if name != "fc"]


def test_parameters_that_a_module_itself_holds_are_frozen_with_what_is_in_it():
    """Such as position embeddings, defined first; their module itself stays in train mode."""
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2))
    model[0].register_parameter("positions", nn.Parameter(torch.zeros(2)))
    Freeze(model, "until:0.0", None, CLOCK)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained == ["0.1.weight", "0.1.bias", "1.weight", "1.bias"]
    modes = {name: module.training for name, module in model.named_modules()}
    assert modes == {"": True, "0": True, "0.0": False, "0.1": True, "1": True}


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("until:stage4", "Did you mean until:stage"),
        ("until:", "has no such module"),
        ("until:fc", "head is fc"),
    ],
)
def test_a_module_that_cannot_be_frozen_last_is_rejected(freeze, message):
    with pytest.raises(ConfigError, match=f"finetune.freeze={freeze}.*{message}"):
        frozen_modules(net(), freeze)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "finetune.freeze=backbon",
            "finetune.freeze must be .* got backbon. Did you mean backbone",
        ),
        ("finetune.unfreeze=1ep", "finetune.unfreeze=1ep needs finetune.freeze"),
        ("finetune.unfreeze=soon", "finetune.unfreeze must be a duration"),
        ("finetune.head_lr_factor=0", r"finetune.head_lr_factor must be in \(0, inf\)"),
        ("finetune.layer_decay=1.5", r"finetune.layer_decay must be in \(0, 1\]"),
    ],
)
def test_bad_settings_are_named(override, message):
    from trainer.config.schema import validate

    with pytest.raises(ConfigError, match=message):
        validate(config_of(override))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_what_is_frozen_stays_to_the_bit(tmp_path, optimizer):
    """Weights, despite weight decay, and BatchNorm statistics."""
    decay = ("optimizer.weight_decay=0.1", f"optimizer={optimizer}")
    fit = fitted(tmp_path / "run", *NET, *decay, "finetune.freeze=until:stage2")
    begun = make_run(tmp_path / "new", "device=cpu", "dataset.val_fraction=0.7", *NET).model
    for name, value in fit.model.state_dict().items():
        same = torch.equal(value, begun.state_dict()[name])
        assert same == name.startswith(("conv.", "bn.", "stage1.", "stage2.")), name


def test_without_eval_mode_the_statistics_would_move():
    """Counter-example: without gradients alone, the statistics still drift."""
    images = torch.randn(16, 1, 8, 8) + 3
    moved = []
    for mistaken in (False, True):
        model = net()
        Freeze(model, "backbone", None, CLOCK)
        if mistaken:
            model.train()
        before = model.bn.running_mean.clone()
        model(images)
        moved.append(not torch.equal(model.bn.running_mean, before))
    assert moved == [False, True]


def test_dropout_is_off_in_what_is_frozen_alone():
    model = Mlp(shape=(1, 2, 2), outputs=3, hidden=[5, 5], dropout=0.5)
    Freeze(model, "until:layers.3", None, CLOCK)
    assert [layer.training for layer in model.layers] == [False] * 4 + [True] * 4


def test_it_thaws_when_it_is_due_and_not_before():
    model = net()
    model.conv.weight.requires_grad_(False)  # frozen by its owner: unfreezing must not undo it
    freeze = Freeze(model, "backbone", "1.5ep", CLOCK)
    for t, frozen in [(0.0, True), (10.4, True), (10.5, False), (13.0, False)]:
        freeze(t)
        assert model.bn.weight.requires_grad is not frozen
        assert model.bn.training is not frozen
        assert model.fc.training
        assert not model.conv.weight.requires_grad


def test_unfrozen_weights_are_trained(tmp_path):
    """Frozen for one epoch of two; the optimizer has them from the start."""
    frozen = ("finetune.freeze=backbone", "finetune.unfreeze=1ep", "checkpoint.keep=9")
    fit = fitted(tmp_path / "run", *NET, *frozen)
    states = [checkpoint.load(tmp_path / f"run/checkpoints/step-{n}").model for n in (7, 14)]
    begun = make_run(tmp_path / "new", "device=cpu", "dataset.val_fraction=0.7", *NET).model
    for name in ("conv.weight", "bn.running_mean", "stage3.0.conv2.weight"):
        assert torch.equal(states[0][name], begun.state_dict()[name])
        assert not torch.equal(states[0][name], states[1][name])
    optimized = sum(len(group["params"]) for group in fit.step.guard.optimizer.param_groups)
    assert optimized == len(list(fit.model.parameters()))


@pytest.mark.parametrize("unfreeze", ["1ep", "4st"])
def test_stopped_anywhere_and_resumed_is_identical(source, tmp_path, unfreeze):
    overrides = (*NET, f"finetune.source={source}", "finetune.freeze=until:stage2")
    overrides += (f"finetune.unfreeze={unfreeze}", "finetune.head_lr_factor=10", "optimizer=sgd")
    expected = digest(fitted(tmp_path / "whole", *overrides))
    assert digest(fitted(tmp_path / "frozen", *overrides[:-3], "optimizer=sgd")) != expected
    for after in (3, 5, 9):
        with pytest.raises(Interrupted):
            fitted(tmp_path / f"{after}", *overrides, stop_after=after)
        assert digest(fitted(tmp_path / f"{after}", *overrides)) == expected, after


def test_a_finished_run_needs_its_source_no_more(source, tmp_path):
    """Not to be resumed, evaluated or referred to."""
    copy, run = tmp_path / "copy", tmp_path / "run"
    shutil.copytree(source, copy)
    settings = [*NET, "batch_size=64", "dataset.val_fraction=0.8", f"finetune.source={copy}"]
    assert train(run, *settings, "epochs=1") == 0
    shutil.rmtree(copy)
    status = run / "status.json"
    status.write_text(status.read_text().replace("finished", "failed"))
    assert train(run, *settings, "epochs=2", "resume=auto") == 0
    assert read_json(run / "result.json")["epochs"] == 2
    reading = ["job=evaluate", f"run={run}", "device=cpu", "quiet=true"]
    assert execute(config_of(*reading), tmp_path / "evaluation", reading, [str(CONF)]) == 0
    other = make_run(tmp_path / "new", "device=cpu").restore(str(run), "distill.teacher")
    assert torch.equal(other.model.conv.weight, best(run).model["conv.weight"])


def test_restored_shares_the_data_of_the_same_data_set(source, tmp_path):
    same = make_run(tmp_path, "device=cpu", "dataset.val_fraction=0.8", "seed=7")
    other = make_run(tmp_path, "device=cpu", "dataset.val_fraction=0.7", "seed=7")
    assert same.restore(str(source), "x").components.data.train.images is same.data.train.images
    assert (
        other.restore(str(source), "x").components.data.train.images is not other.data.train.images
    )
    with pytest.raises(ConfigError, match=r"^distill\.teacher=nowhere: no run there"):
        same.restore("nowhere", "distill.teacher")


def test_a_dry_run_does_not_call_what_is_frozen_idle(tmp_path):
    settings = ["job=trial", *NET, "finetune.freeze=until:stage1", "job.overfit_steps=5"]
    assert train(tmp_path / "run", *settings) == 0
    checks = {c["name"]: c for c in read_json(tmp_path / "run" / "result.json")["checks"]}
    assert checks["gradients"]["passed"]
