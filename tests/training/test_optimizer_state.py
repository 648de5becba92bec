"""The state of every optimizer of torch's is restored as it was, or refused if it is another."""

import copy
import inspect
import warnings

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from trainer.training.optimizer_state import CheckedOptimizer

CANNOT_TRAIN_HERE = ("Optimizer", "LBFGS", "SparseAdam")  # a closure, sparse gradients
NAMES = [
    name
    for name in torch.optim.__all__
    if inspect.isclass(getattr(torch.optim, name)) and name not in CANNOT_TRAIN_HERE
]
OPTIONS = {
    "Adam, fused": ("Adam", {"fused": True, "amsgrad": True}),
    "SGD, momentum": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "Adagrad, fused": ("Adagrad", {"fused": True}),
    "RMSprop, centered": ("RMSprop", {"centered": True, "momentum": 0.5}),
    **{name: (name, {}) for name in NAMES},
}


def trained(choice: str, steps: int) -> tuple[nn.Module, Optimizer]:
    """A small net after some steps of an optimizer; the same for the same number of steps."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    name, options = OPTIONS[choice]
    weights = [p for p in net.parameters() if name != "Muon" or p.ndim == 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = getattr(torch.optim, name)(weights, lr=0.01, **options)
    for _ in range(steps):
        net(torch.ones(5, 3)).square().sum().backward()
        optimizer.step()
    return net, optimizer


def checked(optimizer: Optimizer) -> CheckedOptimizer:
    return CheckedOptimizer(optimizer, [p for g in optimizer.param_groups for p in g["params"]])


@pytest.mark.parametrize("choice", OPTIONS)
def test_its_own_state_is_restored_to_the_bit(choice):
    _, optimizer = trained(choice, 3)
    state = copy.deepcopy(optimizer.state_dict())
    _, again = trained(choice, 0)
    checked(again).load_state_dict(copy.deepcopy(state))
    restored = again.state_dict()["state"]
    assert restored.keys() == state["state"].keys()
    for number, entries in state["state"].items():
        for key, value in entries.items():
            torch.testing.assert_close(restored[number][key], value, rtol=0, atol=0)


@pytest.mark.parametrize("choice", OPTIONS)
def test_another_state_is_refused_by_name_and_leaves_the_optimizer_alone(choice):
    _, optimizer = trained(choice, 1)
    state = optimizer.state_dict()
    for key, value in state["state"].get(0, {}).items():
        for wrong in (torch.zeros(1), torch.zeros(3, dtype=torch.bool), torch.zeros(5, 7), "x"):
            _, again = trained(choice, 0)
            before = copy.deepcopy(again.state_dict())
            forged = copy.deepcopy(state)
            forged["state"][0][key] = wrong
            with pytest.raises(ValueError, match=rf"state\.0\.{key} is "):
                checked(again).load_state_dict(forged)
            assert len(again.state_dict()["state"]) == len(before["state"])
        assert value is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state["state"].update({9: {}}), "state.9 belongs to no parameter"),
        (lambda state: state["state"][0].pop("exp_avg"), "state.0 has step, exp_avg_sq"),
        (lambda state: state["param_groups"].append({}), "param_groups has 2 groups"),
        (lambda state: state["param_groups"][0].update(lr="x"), r"param_groups\[0\].lr is 'x'"),
        (lambda state: state["param_groups"][0].update(params=[0, 0, 1, 2, 3]), "params"),
        (lambda state: state["state"][0].update(more=torch.zeros(9)), "more is float32"),
    ],
)
def test_what_torch_would_take_without_a_word_is_refused(change, said):
    _, optimizer = trained("Adam", 1)
    state = copy.deepcopy(optimizer.state_dict())
    change(state)
    with pytest.raises(ValueError, match=said):
        checked(optimizer).load_state_dict(state)


def test_tensors_take_the_strides_of_the_weights():
    """A kernel goes through memory, not through indices."""
    _, optimizer = trained("Adam", 1)
    state = copy.deepcopy(optimizer.state_dict())
    entries = state["state"][0]
    entries["exp_avg"] = entries["exp_avg"].t().contiguous().t()
    net, again = trained("Adam", 0)
    checked(again).load_state_dict(state)
    (weight, *_) = net.parameters()
    assert again.state[weight]["exp_avg"].stride() == weight.stride()
    torch.testing.assert_close(again.state[weight]["exp_avg"], entries["exp_avg"])
