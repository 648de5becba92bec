"""torch's optimizers without torch._dynamo, which takes a second of processor time to import.

torch decorates an optimizer's methods so that a graph that torch.compile makes leaves them out. The
models here are compiled, the optimizers' methods never are.
"""

import inspect
from typing import Any

import torch
from torch.optim import Optimizer


class Eager(Optimizer):
    """An optimizer, or a mixin listed before one of torch's, that no graph contains."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)


def take_step(step: Any, closure: Any = None) -> Any:
    """Call the method `step` of one of torch's optimizers without its decorators and hooks."""
    with torch.no_grad():
        return inspect.unwrap(step.__func__)(step.__self__, closure)
