"""Random ranks: who has the highest is drawn."""

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.seed import Purpose, StepId


def drawn(batch: Batch, step_id: StepId) -> Tensor:
    """Ranks like the weights of a whole batch, uniform on [0, 1): a function of seed and step."""
    shape = tuple(batch.weight.shape)
    draws = step_id.generator(Purpose.SELECT).random(shape, "float32")
    return torch.from_numpy(draws).to(batch.weight.device, non_blocking=True)
