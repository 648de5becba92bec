"""Weights from smoothed losses: nothing is dropped, hard examples count for more.

Loshchilov and Hutter 2016 (https://arxiv.org/abs/1511.06343) set the probability of drawing an
example by the rank of its last loss; here a power of its smoothed loss sets its weight.
"""

from dataclasses import dataclass

from torch import Tensor

from trainer.core.batch import TINY
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.mining.base import Epoch
from trainer.mining.shared.running_scores import RunningScoreMiner, dominant


@dataclass(kw_only=True)
class Reweight(RunningScoreMiner):
    """Multiplies each row's weight by w of its example and leaves counts alone.

    h_i is a moving average of the losses, h ← β·h + (1 − β)·ℓ, that starts at the first; m is its
    mean over the training split. v_i = (h_i / m)^(power / temperature), clipped to [1 / clip,
    clip], and 1 for unseen examples; w_i = v_i / mean v, again over the training split. A high
    temperature makes the weights more even; a negative power favours easy examples.
    """

    beta: float = 0.9
    power: float = 1.0
    temperature: float = 1.0
    clip: float = 5.0
    warmup_epochs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.beta", self.beta, "[0, 1)")
        within("mining.power", self.power, "(-inf, inf)")
        within("mining.temperature", self.temperature, "(0, inf)")
        within("mining.clip", self.clip, "[1, inf)")
        if self.score == "margin":
            raise ValueError("mining.score must not be margin, which may be negative")
        self.smoothing = self.beta

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The plan with its rows' weights multiplied."""
        return plan.weighted(self.weights(self.frozen, epoch.ids)[dominant(plan)])

    def weights(self, losses: Tensor, ids: Tensor | None = None) -> Tensor:
        """Weights w [M] of smoothed losses [M], NaN where unseen, with mean 1 over `ids` or all."""
        split = slice(None) if ids is None else ids
        losses = losses.clamp(min=0)
        relative = losses / losses[split].nanmean().clamp(min=TINY)
        powers = relative ** (self.power / self.temperature)
        powers = powers.clamp(1 / self.clip, self.clip).nan_to_num(nan=1.0)
        return powers / powers[split].mean()
