"""Features of examples: what the last layer of a trained model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainer.core.errors import ConfigError
from trainer.trained.restore import restored

if TYPE_CHECKING:
    from trainer.dataset import Split
    from trainer.run.run import Run


def encode(run: Run, reference: str, split: Split) -> Tensor:
    """Inputs [n, d] of the last linear layer of a finished run's best model, on the CPU.

    They are of the n examples of a split of `run`, unaugmented. Raises ConfigError where there is
    no run or no such layer.
    """
    other = restored(run, reference, "sampler.reference")
    layers = [module for module in other.model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ConfigError(f"sampler.reference={reference}: its model has no linear layer")
    taken: list[Tensor] = []
    hook = layers[-1].register_forward_pre_hook(
        lambda _, inputs: taken.append(inputs[0].flatten(1).float().cpu())
    )
    feed = run.loader.open(split, run.device)
    for _ in other.evaluator.passes(feed, split.ids, run.signals.check):
        pass
    hook.remove()
    return torch.cat(taken)
