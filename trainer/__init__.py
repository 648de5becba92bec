"""A config-driven experiment runner for image models, built around the hard example."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports

if TYPE_CHECKING:
    from trainer import history

__version__ = "0.1.0"

__getattr__, __dir__ = exports(__name__, {"history": "history"})
