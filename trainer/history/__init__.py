"""The difficulty store: a record per training example and epoch; `open(run)` reads it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.history.store import open  # noqa: A004

__all__ = ["open"]


def __getattr__(name: str) -> Any:
    """`open`, imported when it is first used: the store needs torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trainer.history import store

    return getattr(store, name)
