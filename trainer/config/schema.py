"""The type of every setting outside the groups, and the rules that hold between settings.

A component's own settings are typed by its class: see `trainer.config.build`. No torch in here: a
wrong setting is refused before anything slow is imported.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from trainer.core.duration import parse
from trainer.core.errors import ConfigError, nearest
from trainer.core.ranges import within

GROUPS = (
    "job",
    "task",
    "dataset",
    "loader",
    "model",
    "init",
    "augmentation",
    "mixer",
    "sampler",
    "loss",
    "mining",
    "distill",
    "optimizer",
    "schedule",
    "warmup",
    "early_stopping",
    "postprocess",
    "compare",
)

CHOICES = {
    "precision": ("fp32", "bf16", "fp16"),
    "strategy": ("auto", "single", "ddp", "fsdp"),
    "nonfinite": ("raise", "skip"),
    "split": ("train", "val", "test"),
}
DEVICES = ("cpu", "cuda", "cuda:0", "mps")


@dataclass
class CheckpointSettings:
    """When checkpoints are written and which stay."""

    every: str = "1ep"
    keep: int = 3
    monitor: str = "val/loss"


@dataclass
class FinetuneSettings:
    """Where the weights begin, what of them stays, and how fast the parts learn."""

    source: str | None = None
    freeze: str = "none"
    unfreeze: str | None = None
    head_lr_factor: float = 1.0
    layer_decay: float = 1.0


@dataclass
class LogSettings:
    """How often training metrics are logged."""

    every: str = "50st"


@dataclass
class Config:
    """All settings of a run. `conf/config.yaml` says what each is."""

    job: Any = MISSING
    task: Any = MISSING
    dataset: Any = MISSING
    loader: Any = MISSING
    model: Any = MISSING
    init: Any = MISSING
    augmentation: Any = MISSING
    mixer: Any = MISSING
    sampler: Any = MISSING
    loss: Any = MISSING
    mining: Any = MISSING
    distill: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    warmup: Any = MISSING
    early_stopping: Any = MISSING
    postprocess: Any = MISSING
    compare: Any = MISSING

    seed: int = 0
    epochs: int = 30
    steps: int | None = None
    batch_size: Any = 32  # an integer or `all`
    accumulate: int = 1
    clip: float | None = None
    ema: float | None = None
    swa: str | None = None
    sam: float | None = None
    eval_batch_size: int = 256

    device: str = "auto"
    precision: str = "fp32"
    compile: bool = False
    channels_last: bool = False
    threads: int | None = None
    strategy: str = "auto"

    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    log: LogSettings = field(default_factory=LogSettings)
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    resume: str | None = None
    resume_allow: list[str] = field(default_factory=list)
    nonfinite: str = "raise"
    max_skips: int = 3

    run: str | None = None
    runs: Any = field(default_factory=list)  # a folder or a list of folders
    split: str = "test"
    quiet: bool = False
    debug: bool = False


def register() -> None:
    """Let Hydra type the config by this schema."""
    ConfigStore.instance().store(name="schema", node=Config)


def kind_of(setting: str) -> Any:
    """The annotation of a setting by its dotted name, None where the schema has none."""
    kind: Any = Config
    for part in setting.split("."):
        kind = get_type_hints(kind).get(part) if is_dataclass(kind) else None
    return None if kind is Any else kind


def settings_of(kind: Any) -> list[str]:
    """The names of the settings that a setting consists of."""
    return [one.name for one in fields(kind)] if is_dataclass(kind) else []


def check(config: dict[str, Any]) -> None:
    """Raise ConfigError for an unknown setting, a missing one or one out of range."""
    check_names(config, Config, "")
    try:
        check_ranges(config)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    for name, choices in CHOICES.items():
        if config[name] not in choices:
            wrong = f"{name} must be one of {', '.join(choices)}, got {config[name]}"
            raise ConfigError(wrong + meant(config[name], choices))
    device = config["device"]
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        close = ". Did you mean cuda?" if "gpu" in device else meant(device, ("auto", *DEVICES))
        raise ConfigError(f"device must be auto, cpu, cuda, cuda:N or mps, got {device}{close}")


def meant(value: str, choices: Sequence[str]) -> str:
    """'. Did you mean x?' for the nearest choice, or an empty string."""
    close = nearest(value, list(choices)).replace("'", "")
    return close and "." + close


def check_names(node: dict[str, Any], kind: Any, prefix: str) -> None:
    """Raise ConfigError for what was added with + or taken away with ~."""
    names = settings_of(kind)
    for name in node:
        if name not in names:
            hint = nearest(name, names).replace("'", "").replace("mean ", f"mean {prefix}")
            raise ConfigError(f"{prefix}{name}: there is no such setting.{hint}")
    for name in names:
        if name not in node:
            raise ConfigError(f"{prefix}{name} must be given")
        if isinstance(node[name], dict) and settings_of(kind_of(f"{prefix}{name}")):
            check_names(node[name], kind_of(f"{prefix}{name}"), f"{prefix}{name}.")


def check_ranges(config: dict[str, Any]) -> None:
    """Raise ValueError for a number or a length out of range."""
    within("seed", config["seed"], "[0, 9.2e18]")
    for name in ("epochs", "accumulate", "eval_batch_size"):
        within(name, config[name], "[1, inf)")
    for name in ("steps", "threads"):
        if config[name] is not None:
            within(name, config[name], "[1, inf)")
    for name, interval in {"clip": "(0, inf)", "ema": "(0, 1)", "sam": "(0, inf)"}.items():
        if config[name] is not None:
            within(name, config[name], interval)
    check_average(config)
    within("max_skips", config["max_skips"], "[0, inf)")
    within("checkpoint.keep", config["checkpoint"]["keep"], "[1, inf)")
    check_finetune(config["finetune"])
    runs = config["runs"]
    listed = runs if isinstance(runs, list) else [runs]
    if not all(isinstance(one, str) for one in listed):
        raise ValueError(f"runs must be a folder or a list of folders, got {runs}")
    size = config["batch_size"]
    if size != "all" and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        wrong = "null" if size is None else str(size).lower()
        raise ValueError(f"batch_size must be an integer of at least 1, or all, got {wrong}")
    for group in ("checkpoint", "log"):
        length, _ = parse(config[group]["every"], f"{group}.every")
        if not length:
            raise ValueError(f"{group}.every must be above 0, got {config[group]['every']}")


def check_average(config: dict[str, Any]) -> None:
    """Raise ValueError for averages, or a second gradient, that do not go together."""
    if config["swa"] is not None:
        parse(config["swa"], "swa")
        if config["ema"] is not None:
            raise ValueError(f"swa={config['swa']} and ema={config['ema']}: take one average")
    if config["sam"] is not None and config["precision"] == "fp16":
        raise ValueError(f"sam={config['sam']} needs precision=fp32 or bf16, got fp16")


def check_finetune(node: dict[str, Any]) -> None:
    """Raise ValueError for a setting of fine-tuning out of range."""
    freeze, unfreeze = node["freeze"], node["unfreeze"]
    if not re.fullmatch(r"none|backbone|until:.+", freeze):
        wrong = f"finetune.freeze must be none, backbone or until:<module>, got {freeze}"
        raise ValueError(wrong + meant(freeze, ("none", "backbone")))
    if unfreeze is not None:
        parse(unfreeze, "finetune.unfreeze")
        if freeze == "none":
            raise ValueError(f"finetune.unfreeze={unfreeze} needs finetune.freeze")
    within("finetune.head_lr_factor", node["head_lr_factor"], "(0, inf)")
    within("finetune.layer_decay", node["layer_decay"], "(0, 1]")
