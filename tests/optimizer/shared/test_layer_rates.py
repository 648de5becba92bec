"""Learning rates by part."""

from collections import OrderedDict
from pathlib import Path

import pytest
import timm
import torch
from support import events, train
from timm.optim import param_groups_layer_decay
from torch import nn
from torch.optim import Optimizer

from trainer.core.duration import Clock
from trainer.optimizer.adabound import AdaBound, bounds
from trainer.optimizer.sgd import Sgd
from trainer.optimizer.shared.groups import base_lr
from trainer.optimizer.shared.layer_rates import layers_of, scale_parts
from trainer.schedule.cosine_decay import CosineDecay
from trainer.training.learning_rate import LearningRate
from trainer.warmup.none import NoWarmup


class Small(nn.Module):
    """Three layers in a container, a norm of one, an embedding of its own, a head defined first."""

    head = "out"

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, 2)
        self.position = nn.Parameter(torch.zeros(1, 4))
        self.stem = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4)))


def scales(optimizer: Optimizer, model: nn.Module) -> dict[str, float]:
    """The rate of each parameter as a factor on the optimizer's."""
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    return {name: rates[id(p)] / base_lr(optimizer) for name, p in model.named_parameters()}


def test_by_hand() -> None:
    """Four layers: stem, norm and embedding are the first, two are the body, 10 is the head's."""
    model = Small()
    optimizer = Sgd(model, lr=0.2)
    scale_parts(optimizer, model, head_lr_factor=10.0, layer_decay=0.5)
    got = scales(optimizer, model)
    assert got == pytest.approx(
        {"position": 0.125, "out.weight": 10.0, "out.bias": 10.0}
        | {f"{name}.{kind}": 0.125 for name in ("stem", "norm") for kind in ("weight", "bias")}
        | {"body.0.weight": 0.25, "body.0.bias": 0.25}
        | {"body.2.0.weight": 0.5, "body.2.0.bias": 0.5}
    )


def test_the_head_alone() -> None:
    model = Small()
    optimizer = Sgd(model)
    scale_parts(optimizer, model, head_lr_factor=10.0, layer_decay=1.0)
    assert [group["lr_scale"] for group in optimizer.param_groups] == pytest.approx([1.0, 10.0])
    assert {name for name, scale in scales(optimizer, model).items() if scale > 1} == {
        "out.weight",
        "out.bias",
    }


def test_nothing_to_scale_leaves_the_groups_alone() -> None:
    model = Small()
    optimizer = Sgd(model, weight_decay=0.1)
    before = list(optimizer.param_groups)
    scale_parts(optimizer, model, head_lr_factor=1.0, layer_decay=1.0)
    assert len(before) == len(optimizer.param_groups) == 2
    assert all(a is b for a, b in zip(before, optimizer.param_groups, strict=True))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18", "convnext_atto"])
def test_equals_timm(name: str) -> None:
    """Rates and decay of every parameter; the rule for other models agrees on the first two."""
    model = timm.create_model(name)
    groups = param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.7)
    theirs = {id(p): (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}

    def agrees() -> bool:
        optimizer = Sgd(model, lr=0.1, weight_decay=0.05)
        scale_parts(optimizer, model, head_lr_factor=1.0, layer_decay=0.7)
        return all(
            (g["lr_scale"], g["weight_decay"]) == pytest.approx(theirs[id(p)])
            for g in optimizer.param_groups
            for p in g["params"]
        )

    assert agrees()
    model.__class__ = type("Unknown", (nn.Module,), {})
    assert agrees() == (name != "convnext_atto")


def test_every_parameter_is_in_one_group_once() -> None:
    model = timm.create_model("vit_tiny_patch16_224")
    optimizer = Sgd(model, weight_decay=0.05)
    scale_parts(optimizer, model, head_lr_factor=2.0, layer_decay=0.7)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(map(id, model.parameters()))
    assert len(layers_of(model)) == 14  # patches, twelve blocks, the head


def test_it_works_with_any_optimizer_and_frozen_parts() -> None:
    model = Small()
    model.stem.requires_grad_(requires_grad=False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.NAdam(trained, lr=0.1)
    scale_parts(optimizer, model, head_lr_factor=1.0, layer_decay=0.5)
    lrs = sorted(group["lr"] for group in optimizer.param_groups)
    assert lrs == pytest.approx([0.0125, 0.025, 0.05, 0.1])
    model.out(torch.ones(1, 4)).sum().backward()
    before = model.out.bias.detach().clone()
    optimizer.step()
    assert (model.out.bias != before).all()


def test_the_schedule_keeps_the_ratios() -> None:
    """The schedule's rate is that of the scale 1, though the first group's is another."""
    model = Small()
    optimizer = Sgd(model, lr=0.2, weight_decay=0.1)
    scale_parts(optimizer, model, head_lr_factor=10.0, layer_decay=0.5)
    rate = LearningRate(CosineDecay(), NoWarmup(), base_lr(optimizer), Clock(4, 8))
    assert optimizer.param_groups[0]["lr_scale"] == 0.125
    for t, lr in ((0, 0.2), (4, 0.1), (2, 0.1 * (1 + 0.5**0.5))):
        assert rate.apply(optimizer, t) == pytest.approx(lr)
        assert scales(optimizer, model)["stem.weight"] * 0.2 == pytest.approx(lr * 0.125)
        assert scales(optimizer, model)["out.weight"] * 0.2 == pytest.approx(lr * 10)


def test_adabound_scales_its_final_rate_too() -> None:
    """At the end every part has f · its scale, or all parts would be the same."""
    model = nn.Sequential(OrderedDict(body=nn.Linear(2, 2), out=nn.Linear(2, 2)))
    optimizer = AdaBound(model, betas=[0.9, 0.999])
    scale_parts(optimizer, model, head_lr_factor=1.0, layer_decay=0.5)
    closed = [bounds(group, 10**9)[1:] for group in optimizer.param_groups]
    assert closed[0] == pytest.approx((0.05, 0.05), rel=1e-5)
    assert closed[1] == pytest.approx((0.1, 0.1), rel=1e-5)


def test_a_run_trains_its_parts_at_their_rates(tmp_path: Path) -> None:
    """mlp: two layers; the rates are logged by group, that of the scale 1 as `lr`."""
    overrides = ["finetune.layer_decay=0.5", "finetune.head_lr_factor=4.0", "optimizer.lr=1e-3"]
    assert train(tmp_path / "run", *overrides, "epochs=1") == 0
    logged = [event for event in events(tmp_path / "run") if "lr/group0" in event][-1]
    rates = {key: value for key, value in logged.items() if key.startswith("lr")}
    assert rates == pytest.approx({"lr": 1e-3, "lr/group0": 5e-4, "lr/group1": 4e-3})
