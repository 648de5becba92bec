"""Weights from a smoothed history of losses: nothing is dropped, the hard count for more.

What Loshchilov and Hutter 2016 (https://arxiv.org/abs/1511.06343) do with the probability of being
drawn, by the rank of the last loss, is done here with weights, by a power of the smoothed loss.
"""

from dataclasses import dataclass

from torch import Tensor

from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.mining.base import Epoch
from trainer.mining.shared.running_scores import RunningScoreMiner, dominant

TINY = 1e-30  # keeps 0 / 0 away where every loss is 0


@dataclass(kw_only=True)
class Reweight(RunningScoreMiner):
    """Multiplies each row's weight by w of its example; counts stay.

    h_i is the moving average of the losses, h ← β·h + (1 − β)·ℓ, the first loss being h itself;
    m is the mean of h over the training split. v_i = (h_i / m)^(power / temperature), brought into
    [1 / clip, clip]; w_i = v_i / mean v, again over the training split. So temperature 1 is the
    plain power, a high one makes the weights equal, and a negative power favours the easy. v is 1
    for what was not seen.
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
            raise ValueError("mining.score must not be margin: it is negative, and has no power")
        self.smoothing = self.beta

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The plan with other weights."""
        return plan.weighted(self.weights(epoch.ids)[dominant(plan)])

    def weights(self, ids: Tensor) -> Tensor:
        """The weights w of all M examples, with mean 1 over `ids`."""
        history = self.frozen.clamp(min=0)
        relative = history / history[ids].nanmean().clamp(min=TINY)
        powers = relative ** (self.power / self.temperature)
        powers = powers.clamp(1 / self.clip, self.clip).nan_to_num(nan=1.0)
        return powers / powers[ids].mean()
