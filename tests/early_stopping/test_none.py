"""No early stopping."""

from trainer.early_stopping.none import NoEarlyStopping


def test_it_never_stops_and_needs_no_validation() -> None:
    stopping = NoEarlyStopping()
    assert not any(stopping.update(metrics) for metrics in [{}, {"val/loss": float("nan")}] * 50)
    assert not stopping.needs_val
    assert stopping.state_dict() == {}
