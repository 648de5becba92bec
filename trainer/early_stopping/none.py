"""No early stopping."""

from trainer.early_stopping.base import EarlyStopping


class NoEarlyStopping(EarlyStopping):
    """Lets the run train to its end."""

    needs_val = False

    def update(self, metrics: dict[str, float]) -> bool:
        """Return False: never stop."""
        return False
