"""Features of examples: what the last layer of a trained model takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainer.errors import ConfigError
from trainer.source import Source, known_targets

if TYPE_CHECKING:
    from trainer.dataset import Split
    from trainer.run import Run


def encode(run: Run, reference: str, split: Split) -> Tensor:
    """Inputs [n, d] of the last linear layer of a finished run's best model, on the CPU.

    They are of the n examples of a split of `run`, unaugmented. Raises ConfigError where there is
    no run or no such layer.
    """
    other = restored(run, reference)
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


def restored(run: Run, reference: str) -> Run:
    """The parts of a finished run by its own settings, with its best weights, on our device."""
    folder = Path(reference)
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"sampler.reference={reference}: no run there; give a run or a .npy file")
    source = Source(folder, None)
    config = run.config | source.config(known_targets(run.sources))
    config |= {"device": run.config["device"], "compile": False}
    other = type(run)(config, run.folder, run.console, [], run.sources)
    other.model.load_state_dict(source.checkpoint(run.console.warn).model)
    return other
