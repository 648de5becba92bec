"""No early stopping."""

from trainer.early_stopping.base import EarlyStopping


class NoEarlyStopping(EarlyStopping):
    """Never stops a run early."""

    needs_val = False

    def update(self, metrics: dict[str, float]) -> bool:
        """Return False: never stop."""
        return False
