"""The difficulty store: a record of every training example in every epoch; `open(run)` reads it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.history.store import open  # noqa: A004

__all__ = ["open"]


def __getattr__(name: str) -> Any:
    """Import `open` on first use: the store needs torch, which is slow to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trainer.history import store

    return getattr(store, name)
