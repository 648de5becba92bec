"""What the tests of the finders share."""

import pytest
from support import digest

from trainer.job.find_batch_size import job as find_batch_size
from trainer.job.find_lr import job as find_lr


@pytest.fixture
def fits(monkeypatch) -> list:
    """The fits that a finder makes, each with what it was like before the first step."""
    made, make_fit = [], find_lr.make_fit

    def make(run, report):
        fit = make_fit(run, report)
        made.append((fit, digest(fit)))
        return fit

    for module in (find_lr, find_batch_size):
        monkeypatch.setattr(module, "make_fit", make)
    return made
