"""Import paths that an earlier version wrote into run folders, and where their code is now."""

from collections.abc import Mapping
from typing import Any

from trainer.config.build import CODE

RENAMED = {
    "trainer.schedule.function.decay": "trainer.schedule.lambda_.decay",
    "trainer.schedule.function.shrink": "trainer.schedule.multiplicative.shrink",
    "trainer.schedule.function.tenth": "trainer.schedule.adjust.tenth",
}


def with_current_names(node: Any) -> Any:
    """A config in which the settings that name code name it by its current import path."""
    if isinstance(node, Mapping):
        return {
            key: RENAMED.get(value, value)
            if key in CODE and isinstance(value, str)
            else with_current_names(value)
            for key, value in node.items()
        }
    return [with_current_names(item) for item in node] if isinstance(node, list) else node
