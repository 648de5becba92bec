"""The optimizer as a part of a checkpoint."""

from typing import Any

from torch.optim import Optimizer


class KeepsSettings:
    """An optimizer whose settings stay the config's when a checkpoint is loaded.

    Where `resume_allow` lets a setting differ from the checkpoint's, it is the new one that is
    asked for. Learning rates are not settings here: the schedule sets them.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's own."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load it, then put the settings back that the optimizer was built with."""
        built = [
            {key: value for key, value in group.items() if key not in ("params", "lr")}
            for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(state)
        for group, settings in zip(self.optimizer.param_groups, built, strict=True):
            group.update(settings)
