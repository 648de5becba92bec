"""Fixtures of the tests of job=trial."""

import copy

import pytest

from trainer.job.trial.first_steps import Subject
from trainer.run.run import Run


@pytest.fixture
def subject_of():
    """Collects the components of a run that the trial tests."""

    def make(run: Run) -> Subject:
        return Subject(
            run.model,
            copy.deepcopy(run.model.state_dict()),
            run.data,
            run.task,
            run.ready_loss,
            run.evaluator,
            run.open_feed,
            run.device,
            run.batch_size,
            run.seed,
            run.poll,
            run.assemble_step,
        )

    return make
