"""Jobs: train, evaluate, compare, and what else a run can do."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports

if TYPE_CHECKING:
    from trainer.job.compare import Compare
    from trainer.job.diagnose import Diagnose
    from trainer.job.evaluate import Evaluate
    from trainer.job.examples import Examples
    from trainer.job.export import Export
    from trainer.job.find_batch_size import FindBatchSize
    from trainer.job.find_lr import FindLr
    from trainer.job.predict import Predict
    from trainer.job.preview import Preview
    from trainer.job.train import Train
    from trainer.job.trial import Trial
    from trainer.job.tune import Tune

__getattr__, __dir__ = exports(__name__)
