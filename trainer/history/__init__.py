"""The difficulty store: a record of every training example in every epoch; `open(run)` reads it."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports

if TYPE_CHECKING:
    from trainer.history.store import open  # noqa: A004

__getattr__, __dir__ = exports(__name__, {"open": "store"})
