"""No early stopping."""

from trainer.early_stopping.base import EarlyStopping


class NoEarlyStopping(EarlyStopping):
    """The run goes on to its end."""

    needs_val = False

    def update(self, metrics: dict[str, float]) -> bool:
        """Never."""
        return False
