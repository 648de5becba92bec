"""Restores an optimizer from a checkpoint, which is untrusted data, with the config's settings."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.core.state import match, match_tensor, match_type
from trainer.core.text import count

KERNELS = ("fused", "foreach", "capturable")  # settings that do not change the state's layout


class CheckedOptimizer:
    """Loads a state only if it is what the optimizer itself would have after a step.

    The settings stay those that the optimizer was built with: where `resume_allow` lets one differ
    from the checkpoint's, the new value is what the user wants. Learning rates are exempt: the
    schedule sets them. `parameters` are the optimizer's in order, in full where it updates shards.
    """

    def __init__(self, optimizer: Optimizer, parameters: Sequence[Tensor]) -> None:
        self.optimizer = optimizer
        self.parameters = parameters

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state dict."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state dict. Raises ValueError, naming the entry, where it does not fit."""
        built = [
            {key: value for key, value in group.items() if key not in ("params", "lr")}
            for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(self.checked(state))
        for group, settings in zip(self.optimizer.param_groups, built, strict=True):
            group.update(settings)

    def checked(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the state in the layout of the optimizer's own. Raises ValueError."""
        own, given = self.optimizer.state_dict()["param_groups"], state["param_groups"]
        if len(own) != len(given):
            raise ValueError(f"param_groups has {count(len(given), 'group')}, not {len(own)}")
        groups = [group_of(*pair, i) for i, pair in enumerate(zip(own, given, strict=True))]
        parameters = dict(enumerate(self.parameters))
        after, entries = self.after_a_step(), state["state"]
        for n in entries:
            if n not in parameters:
                raise ValueError(f"state.{n} belongs to no parameter")
        checked = {
            n: entries_of(after[n], values, parameters[n], f"state.{n}")
            for n, values in entries.items()
            if values
        }
        return {"state": checked, "param_groups": groups}

    def after_a_step(self) -> list[dict[str, Any]]:
        """Return the state of each parameter that a step leaves.

        A copy of the optimizer takes the step on the `meta` device, where tensors have shapes only,
        or on the CPU if it reads values.
        """
        try:
            return self.step_of_copy("meta")
        except RuntimeError:
            return self.step_of_copy("cpu")

    def step_of_copy(self, device: str) -> list[dict[str, Any]]:
        """Take a step with a copy of the optimizer, on parameters of the same shapes."""
        own = [p for group in self.optimizer.param_groups for p in group["params"]]
        stand_ins = [stand_in(p, device) for p in self.parameters]
        memo = {id(p): other for p, other in zip(own, stand_ins, strict=True)}
        twin = copy.copy(self.optimizer)
        vars(twin).update({k: v for k, v in vars(self.optimizer).items() if k not in vars(twin)})
        twin.param_groups = copy.deepcopy(self.optimizer.param_groups, memo)
        twin.state = type(self.optimizer.state)(self.optimizer.state.default_factory)
        for group in twin.param_groups:
            group.update({name: False for name in KERNELS if name in group})
        twin.step()
        return [dict(twin.state[p]) for p in stand_ins]


def stand_in(parameter: Tensor, device: str) -> nn.Parameter:
    """Return a parameter of the same shape, strides and dtype, with a gradient of zeros."""
    shape, strides = tuple(parameter.shape), tuple(parameter.stride())
    values = torch.empty_strided(shape, strides, dtype=parameter.dtype, device=device)
    copied = nn.Parameter(values.zero_())
    copied.grad = torch.zeros_like(copied)
    return copied


def group_of(own: Mapping[str, Any], given: Mapping[str, Any], i: int) -> dict[str, Any]:
    """Return the optimizer's own group with a checkpoint's learning rate. Raises ValueError."""
    match(own["params"], given["params"], f"param_groups[{i}].params")
    rates = {name: given[name] for name in ("lr", "lr_scale") if name in given}
    return {**own, **{n: match_type(float, v, f"param_groups[{i}].{n}") for n, v in rates.items()}}


def entries_of(
    expected: dict[str, Any], given: dict[str, Any], parameter: Tensor, name: str
) -> dict[str, Any]:
    """Return the state of one parameter. Raises ValueError.

    Entries that the first step does not make, as some optimizers have, are numbers or tensors like
    the parameter.
    """
    known = {key: value for key, value in given.items() if key in expected}
    later = {key: value for key, value in given.items() if key not in expected}
    for key, value in later.items():
        if isinstance(value, Tensor) and value.numel() > 1:
            later[key] = match_tensor(torch.empty_like(parameter, device="meta"), value, key)
    return match(expected, known, name) | later
