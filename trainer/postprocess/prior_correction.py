"""Post-hoc logit adjustment (Menon et al. 2021, https://arxiv.org/abs/2007.07314), section 4.2.

For target priors that are not uniform: Saerens et al. 2002, eq. 2.4.
"""

from typing import Literal

import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.postprocess.base import Postprocess


class PriorCorrection(Postprocess):
    """Turns outputs z into z − τ·log π + τ·log π', for training priors π and target priors π'.

    The target is `uniform`, `val` (the priors of the validation split, which `dataset.imbalance`
    leaves alone), or a list with a prior per class. An absent class counts as one example. Use only
    one of this, loss=logit_adjusted and a balancing sampler: two would correct twice.
    """

    def __init__(
        self, *, tau: float = 1.0, target: Literal["uniform", "val"] | list[float] = "uniform"
    ) -> None:
        super().__init__()
        within("postprocess.tau", tau, "[0, inf)")
        if not isinstance(target, str):
            within("postprocess.target", target, "(0, inf)")
        self.tau = tau
        self.target = target
        self.needs_val = target == "val"

    def prepare(self, class_counts: Tensor) -> None:
        """Set the training priors from the examples per class [C].

        Raises ValueError if the target is a list of another length.
        """
        self.priors = class_counts.double().clamp(min=1)
        target = torch.ones_like(self.priors)
        if not isinstance(self.target, str):
            target = torch.tensor(self.target, dtype=torch.float64)
        if len(target) != len(class_counts):
            raise ValueError(
                f"postprocess.target must have a prior for each of {len(class_counts)} classes, "
                f"got {len(target)}"
            )
        self.shift_to(target)

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """With target `val`, set the target priors from labels [N]; otherwise do nothing."""
        if self.target == "val":
            self.shift_to(labels.bincount(minlength=len(self.priors)).double().clamp(min=1))

    def shift_to(self, target: Tensor) -> None:
        """Set the shift from the training priors to target priors [C], given up to a factor."""
        shift = (target / target.sum()).log() - (self.priors / self.priors.sum()).log()
        self.fitted = {"shift": (self.tau * shift).tolist()}

    def __call__(self, outputs: Tensor) -> Tensor:
        """The shifted outputs [N, C]."""
        return outputs + outputs.new_tensor(self.fitted["shift"])
