"""Fixtures of the tests of the LR and batch-size finders."""

import pytest
from support import digest

from trainer.run.run import Run


@pytest.fixture
def fits(monkeypatch) -> list:
    """The training loops that a job assembles, each with the digest of its initial state."""
    assembled, assemble = [], Run.assemble

    def make(run, **options):
        fit = assemble(run, **options)
        assembled.append((fit, digest(fit)))
        return fit

    monkeypatch.setattr(Run, "assemble", make)
    return assembled
