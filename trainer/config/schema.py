"""The types and ranges of the settings outside the groups.

A component's settings are typed by its class: see `trainer.config.build`. Nothing here imports
torch, so a wrong setting is refused before anything slow is loaded.
"""

import re
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from trainer.core.duration import parse, positive
from trainer.core.errors import ConfigError
from trainer.core.ranges import within
from trainer.core.suggest import did_you_mean

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
RANGES = {
    "seed": "[0, 9.2e18]",
    "epochs": "[1, inf)",
    "accumulate": "[1, inf)",
    "eval_batch_size": "[1, inf)",
    "steps": "[1, inf)",
    "threads": "[1, inf)",
    "clip": "(0, inf)",
    "ema": "(0, 1)",
    "sam": "(0, inf)",
    "max_skips": "[0, inf)",
}
NEED_RUNS = {  # jobs on finished runs, and the settings that name those
    "evaluate": ("run", "runs"),
    "predict": ("run", "runs"),
    "examples": ("run", "runs"),
    "export": ("run",),
    "compare": ("runs",),
}
DEVICES = ("cpu", "cuda", "cuda:0", "mps")


@dataclass
class CheckpointSettings:
    """How often checkpoints are written, and which are kept."""

    every: str = "1ep"
    keep: int = 3
    monitor: str = "val/loss"


@dataclass
class FinetuneSettings:
    """Initial weights, frozen modules and the learning rates of the layers."""

    source: str | None = None
    metrics: list[str] | None = None
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
    """All settings of a run; `conf/config.yaml` explains each."""

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
    compile: Any = False  # a truth value, or a mode of torch.compile
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
    source: str | None = None
    metrics: list[str] | None = None
    quiet: bool = False
    debug: bool = False


def register() -> None:
    """Make Hydra check the types of the config against this schema."""
    ConfigStore.instance().store(name="schema", node=Config)


def annotation_of(setting: str) -> Any:
    """Return the annotation of a setting by its dotted name, None if the schema has none."""
    annotation: Any = Config
    for part in setting.split("."):
        annotation = get_type_hints(annotation).get(part) if is_dataclass(annotation) else None
    return None if annotation is Any else annotation


def settings_of(annotation: Any) -> list[str]:
    """Return the names of the settings in a node; empty if `annotation` is not a node's class."""
    return [setting.name for setting in fields(annotation)] if is_dataclass(annotation) else []


def validate(config: dict[str, Any]) -> None:
    """Raise ConfigError for an unknown or missing setting, or a value out of range."""
    check_names(config, Config, "")
    check_runs_named(config)
    try:
        check_ranges(config)
        for name, choices in CHOICES.items():
            check_choice(name, config[name], choices)
        check_device(config["device"])
        check_compile(config["compile"])
    except ValueError as error:
        raise ConfigError(str(error)) from error


def check_runs_named(config: dict[str, Any]) -> None:
    """Raise ConfigError for a job on finished runs that is given none: before torch is imported."""
    target = str(config["job"].get("_target_")) if isinstance(config["job"], dict) else ""
    job, given = target.removeprefix("trainer.job.").partition(".")[0], NEED_RUNS
    settings = given.get(job, ()) if target.startswith("trainer.job.") else ()
    if settings and not any(config[name] for name in settings):
        what = "a sweep's folder, or a list of run folders"
        if settings[0] == "run":
            what = "the folder of a trained run, or a checkpoint of it"
        raise ConfigError(f"{settings[0]} must be given: {what}")


def check_names(node: dict[str, Any], annotation: Any, prefix: str) -> None:
    """Raise ConfigError for a setting that was added with + or deleted with ~."""
    names = settings_of(annotation)
    for name in node:
        if name not in names:
            hint = did_you_mean(name, names, prefix=prefix)
            raise ConfigError(f"{prefix}{name}: there is no such setting.{hint}")
    for name in names:
        if name not in node:
            raise ConfigError(f"{prefix}{name} must be given")
        inner = annotation_of(f"{prefix}{name}")
        if isinstance(node[name], dict) and settings_of(inner):
            check_names(node[name], inner, f"{prefix}{name}.")


def check_ranges(config: dict[str, Any]) -> None:
    """Raise ValueError for a number or a duration out of range."""
    for name, interval in RANGES.items():
        if config[name] is not None:
            within(name, config[name], interval)
    check_average(config)
    within("checkpoint.keep", config["checkpoint"]["keep"], "[1, inf)")
    check_finetune(config["finetune"])
    check_runs(config["runs"])
    check_batch_size(config["batch_size"])
    for group in ("checkpoint", "log"):
        positive(config[group]["every"], f"{group}.every")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError for a value that is not one of the choices."""
    if value not in choices:
        hint = did_you_mean(value, choices, start=". ")
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value}{hint}")


def check_device(device: str) -> None:
    """Raise ValueError for anything but the name of a device, or `auto`."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        meant = "cuda" if "gpu" in device else device
        near = [name for name in ("auto", *DEVICES) if name[:1] == meant[:1]]  # tpu is no typo
        hint = did_you_mean(meant, near, start=". ")
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, got {device}{hint}")


def check_compile(setting: Any) -> None:
    """Raise ValueError for a value of `compile` that is no mode, or that does not work here."""
    if isinstance(setting, bool) or setting == "max-autotune":
        return
    if setting == "reduce-overhead":
        raise ValueError(
            "compile=reduce-overhead: its CUDA graphs overwrite outputs that metrics read every "
            "log.every; take compile=true or max-autotune"
        )
    raise ValueError(f"compile must be true, false or max-autotune, got {setting}")


def check_runs(runs: Any) -> None:
    """Raise ValueError for anything but a folder or a list of folders."""
    folders = runs if isinstance(runs, list) else [runs]
    if not all(isinstance(folder, str) for folder in folders):
        raise ValueError(f"runs must be a folder or a list of folders, got {runs}")


def check_batch_size(size: Any) -> None:
    """Raise ValueError for anything but a positive integer or `all`."""
    if size != "all" and (type(size) is not int or size < 1):
        wrong = "null" if size is None else str(size).lower()
        raise ValueError(f"batch_size must be an integer of at least 1, or all, got {wrong}")


def check_average(config: dict[str, Any]) -> None:
    """Raise ValueError for settings of EMA, SWA and SAM that exclude each other."""
    if config["swa"] is not None:
        parse(config["swa"], "swa")
        if config["ema"] is not None:
            raise ValueError(f"swa={config['swa']} and ema={config['ema']} exclude each other")
    if config["sam"] is not None and config["precision"] == "fp16":
        raise ValueError(f"sam={config['sam']} needs precision=fp32 or bf16, got fp16")


def check_finetune(node: dict[str, Any]) -> None:
    """Raise ValueError for a `finetune` setting that is out of range or lacks another."""
    freeze, unfreeze = node["freeze"], node["unfreeze"]
    if not re.fullmatch(r"none|backbone|until:.+", freeze):
        hint = did_you_mean(freeze, ("none", "backbone"), start=". ")
        allowed = "none, backbone or until:<module>"
        raise ValueError(f"finetune.freeze must be {allowed}, got {freeze}{hint}")
    if unfreeze is not None:
        parse(unfreeze, "finetune.unfreeze")
        if freeze == "none":
            raise ValueError(f"finetune.unfreeze={unfreeze} needs finetune.freeze")
    within("finetune.head_lr_factor", node["head_lr_factor"], "(0, inf)")
    within("finetune.layer_decay", node["layer_decay"], "(0, 1]")
