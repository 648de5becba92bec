"""A run with a stateful miner, stopped and resumed in any epoch, ends with the same bits."""

import pytest
from support import digest, fitted

from trainer.core.errors import Interrupted

TWO_PASSES = ("mining=selective_backprop", "mining.mode=two_pass", "mining.warmup_epochs=0")
VARIANTS = {
    "rs2": ("mining=rs2", "mining.keep=0.4"),
    "small_loss": ("mining=small_loss", "mining.tau=0.5", "mining.fall_epochs=2"),
    "selective_backprop": ("mining=selective_backprop", "accumulate=3"),
    "selective_backprop, two passes": (*TWO_PASSES, "mixer=random_choice", "augmentation=light"),
    "selective_backprop, stale": (*TWO_PASSES, "mining.stale=2", "epochs=5"),
    "importance": ("mining=importance", "mining.threshold=0", "accumulate=3", "mixer=mixup"),
    "misclassified": ("mining=misclassified", "mining.threshold=0.2", "mining.every=2"),
    "hard_negative": ("mining=hard_negative", "mining.mode=bootstrap"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_stopped_run_resumes_identically(tmp_path, variant):
    overrides = ("epochs=3", *VARIANTS[variant])
    expected = digest(fitted(tmp_path / "whole", *overrides))
    for after in (4, 13):
        folder = tmp_path / f"stop-{after}"
        with pytest.raises(Interrupted):
            fitted(folder, *overrides, stop_after=after)
        assert digest(fitted(folder, *overrides)) == expected, f"stopped at poll {after}"
