"""Optimizers, each with the same options for weight decay."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports

if TYPE_CHECKING:
    from trainer.optimizer.adabound import AdaBound
    from trainer.optimizer.adagrad import Adagrad
    from trainer.optimizer.adam import Adam
    from trainer.optimizer.adamw import AdamW
    from trainer.optimizer.lion import Lion
    from trainer.optimizer.rmsprop import RMSprop
    from trainer.optimizer.sgd import Sgd

__getattr__, __dir__ = exports(__name__)
