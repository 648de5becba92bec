"""Saves and restores an optimizer, with settings from the config rather than the checkpoint."""

from typing import Any

from torch.optim import Optimizer


class KeepsSettings:
    """Wraps an optimizer so that loading a checkpoint keeps the settings it was built with.

    If `resume_allow` lets a setting differ from the checkpoint's, the new value is what the user
    wants. Learning rates are exempt: the schedule sets them.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state dict."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state dict, then reinstate the settings that the optimizer was built with."""
        built = [
            {key: value for key, value in group.items() if key not in ("params", "lr")}
            for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(state)
        for group, settings in zip(self.optimizer.param_groups, built, strict=True):
            group.update(settings)
