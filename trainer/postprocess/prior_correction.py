"""Post-hoc logit adjustment (Menon et al. 2021, https://arxiv.org/abs/2007.07314), section 4.2.

With priors of the target that are not even: Saerens et al. 2002, eq. 2.4.
"""

from typing import Literal

import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.postprocess.base import Postprocess


class PriorCorrection(Postprocess):
    """z − τ·log π + τ·log π', π the priors of the training split and π' those of the target.

    The target is `uniform`, `val` (those of the validation split, which `dataset.imbalance` leaves
    alone) or a list with one for each class. An absent class counts as one example. It does again
    what loss=logit_adjusted or a balancing sampler has done in training: take one of them.
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
        """Take the priors of the training split. Raises ValueError for a target of other length."""
        self.priors = class_counts.double().clamp(min=1)
        target = torch.ones_like(self.priors)
        if not isinstance(self.target, str):
            target = torch.tensor(self.target, dtype=torch.float64)
        if len(target) != len(class_counts):
            raise ValueError(
                f"postprocess.target has {len(target)} numbers for {len(class_counts)} classes"
            )
        self.shift_to(target)

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Take the target's priors from the labels where they are to be those of val."""
        if self.target == "val":
            self.shift_to(labels.bincount(minlength=len(self.priors)).double().clamp(min=1))

    def shift_to(self, target: Tensor) -> None:
        """Shift from the training priors to a target's, [C] up to a factor."""
        shift = (target / target.sum()).log() - (self.priors / self.priors.sum()).log()
        self.fitted = {"shift": (self.tau * shift).tolist()}

    def __call__(self, outputs: Tensor) -> Tensor:
        """Shifted outputs."""
        return outputs + outputs.new_tensor(self.fitted["shift"])
