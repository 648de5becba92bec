"""What a group takes: `_target_` may name any class, and another kind would fail in odd places."""

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from trainer.augmentation import Augmentation
from trainer.compare import Interval
from trainer.dataset import Dataset
from trainer.distill import Distiller
from trainer.early_stopping import EarlyStopping
from trainer.errors import ConfigError
from trainer.init import Init
from trainer.job.base import Job
from trainer.loader import Loader
from trainer.loss import Loss
from trainer.mining import Miner
from trainer.mixer import Mixer
from trainer.postprocess import Postprocess
from trainer.sampler import Sampler
from trainer.schedule import Schedule
from trainer.task import Task
from trainer.warmup import Warmup

KINDS: dict[str, type] = {
    "augmentation": Augmentation,
    "compare": Interval,
    "dataset": Dataset,
    "distill": Distiller,
    "early_stopping": EarlyStopping,
    "init": Init,
    "job": Job,
    "loader": Loader,
    "loss": Loss,
    "mining": Miner,
    "mixer": Mixer,
    "optimizer": Optimizer,
    "postprocess": Postprocess,
    "sampler": Sampler,
    "schedule": Schedule,
    "task": Task,
    "warmup": Warmup,
}


def check_kind(made: object, node: Mapping[str, Any], setting: str) -> None:
    """Raise ConfigError for what the group of a setting does not take."""
    kind = KINDS[setting.partition(".")[0]]
    if not isinstance(made, kind):
        wanted = f"{kind.__module__.removesuffix('.base')}.{kind.__name__}"
        hint = "; loss=function takes any f(output, target)" if kind is Loss else ""
        raise ConfigError(f"{setting}._target_={node['_target_']} is no {wanted}{hint}")
