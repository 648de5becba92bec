"""Import paths that earlier versions wrote into run folders, and the current ones."""

from collections.abc import Mapping
from typing import Any

from trainer.config.build import CODE

RENAMED = {
    "trainer.schedule.function.decay": "trainer.schedule.lambda_.decay",
    "trainer.schedule.function.shrink": "trainer.schedule.multiplicative.shrink",
    "trainer.schedule.function.tenth": "trainer.schedule.adjust.tenth",
}


def with_current_names(node: Any) -> Any:
    """Return a config with every outdated import path replaced by the current one."""
    if isinstance(node, Mapping):
        return {
            key: RENAMED.get(value, value)
            if key in CODE and isinstance(value, str)
            else with_current_names(value)
            for key, value in node.items()
        }
    return [with_current_names(item) for item in node] if isinstance(node, list) else node
