"""An arbitrary optimizer by its import path."""

from pathlib import Path

import pytest
import yaml
from support import config_of, fitted, read_json, train

from trainer.config.import_path import retarget
from trainer.core.errors import ConfigError

NADAM = "optimizer._target_=torch.optim.NAdam"


def test_a_torch_optimizer_trains_and_is_evaluated(tmp_path: Path) -> None:
    """NAdam keeps the settings of adam.yaml that it has; the others are dropped."""
    run = tmp_path / "run"
    assert train(run, NADAM, "optimizer.lr=2e-3", "epochs=1") == 0
    node = yaml.safe_load((run / "config.yaml").read_text())["optimizer"]
    settings = {"lr": 2e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
    assert node == {"_target_": "torch.optim.NAdam", **settings}
    assert read_json(run / "result.json")["test"]["accuracy"] > 0.5
    assert train(tmp_path / "e", "job=evaluate", f"run={run}") == 0


def test_layer_rates_and_decoupled_decay_combine(tmp_path: Path) -> None:
    overrides = ["optimizer=rmsprop", "finetune.layer_decay=0.5", "optimizer.decoupled=true"]
    fit = fitted(tmp_path, *overrides, "optimizer.weight_decay=0.01")
    groups = fit.step.guard.optimizer.param_groups
    pairs = {(group["lr_scale"], group["decoupled_decay"]) for group in groups}
    assert pairs == {(0.5, 0.01), (0.5, 0.0), (1.0, 0.01), (1.0, 0.0)}


def test_command_line_settings_are_not_dropped() -> None:
    """A setting that the target lacks is kept, to be rejected by name later."""
    overrides = [NADAM, "optimizer.amsgrad=true", "+optimizer.momentum_decay=0.01"]
    config = config_of(*overrides)
    retarget(config, overrides)
    assert set(config["optimizer"]) == {
        "_target_", "lr", "betas", "eps", "weight_decay", "amsgrad", "momentum_decay",
    }  # fmt: skip


def test_retarget_leaves_other_groups_unchanged() -> None:
    overrides = ["loss._target_=trainer.loss.focal.Focal", "optimizer.lr=0.1", "seed=1"]
    config, before = config_of(*overrides), config_of(*overrides)
    retarget(config, overrides)
    assert set(config["loss"]) <= set(before["loss"])
    assert "_target_" in config["loss"]
    assert {k: v for k, v in config.items() if k != "loss"} == {
        k: v for k, v in before.items() if k != "loss"
    }


def test_a_setting_unknown_to_torch_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.amsgrad: NAdam has no such setting"):
        train(tmp_path / "run", NADAM, "optimizer.amsgrad=true")
    with pytest.raises(ConfigError, match=r"optimizer\._target_=torch\.optim\.Nadam cannot be"):
        train(tmp_path / "run", "optimizer._target_=torch.optim.Nadam")


@pytest.mark.parametrize("name", ["LBFGS", "SparseAdam"])
def test_an_unsupported_optimizer_is_rejected_before_data_is_read(
    tmp_path: Path, name: str
) -> None:
    """LBFGS needs a closure, SparseAdam sparse gradients."""
    wrong = rf"optimizer\._target_=torch\.optim\.{name} cannot train here: "
    with pytest.raises(ConfigError, match=wrong):
        train(tmp_path / "run", f"optimizer._target_=torch.optim.{name}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("loss._target_=torch.nn.CrossEntropyLoss", r"trainer\.loss\.Loss; loss=function takes"),
        ("mixer._target_=trainer.loss.poly1.Poly1", r"trainer\.mixer\.Mixer"),
        ("augmentation.none._target_=torch.nn.Identity", r"trainer\.augmentation\.Augmentation"),
        ("optimizer._target_=torch.nn.Identity", r"torch\.optim\.optimizer\.Optimizer"),
    ],
)
def test_a_class_of_another_group_is_rejected(tmp_path: Path, override: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=rf"_target_=\S+ is not a {wanted}"):
        train(tmp_path / "run", override)
    assert not (tmp_path / "run").exists()
