"""Checks settings that depend on the number of processes."""

from typing import Any

from trainer.core.errors import ConfigError


def check_processes(settings: dict[str, Any], size: int, *, started: bool) -> None:
    """Raise ConfigError for settings that do not fit the number of processes.

    `started`: whether torchrun, or a similar launcher, started them.
    """
    strategy = settings["strategy"]
    if not started:
        if strategy in ("ddp", "fsdp"):
            todo = f"torchrun --nproc-per-node 2 -m trainer strategy={strategy} ..."
            raise ConfigError(f"strategy={strategy} needs torchrun: {todo}")
        return
    if size > 1:
        check_several(settings, size)
    if strategy == "fsdp":
        check_sharded(settings)


def check_several(settings: dict[str, Any], size: int) -> None:
    """Raise ConfigError for settings that only a single process can use."""
    if settings["strategy"] == "single":
        raise ConfigError(f"strategy=single, but torchrun has started {size} processes; take auto")
    if settings["device"].startswith(("cuda:", "mps")):
        wanted = f"device={settings['device']} is one device for {size} processes"
        raise ConfigError(
            f"{wanted}; take device=cuda, which gives each process its own GPU, or cpu"
        )
    batch = settings["batch_size"]
    if batch != "all" and batch < size:
        raise ConfigError(f"batch_size={batch} is less than one row for each of {size} processes")


def check_sharded(settings: dict[str, Any]) -> None:
    """Raise ConfigError for settings that do not work with sharded weights."""
    plain = {
        "precision": settings["precision"] != "fp16",
        "compile": not settings["compile"],
        "channels_last": not settings["channels_last"],
        "ema": settings["ema"] is None,
        "swa": settings["swa"] is None,
        "sam": settings["sam"] is None,
        "finetune.freeze": settings["finetune"]["freeze"] == "none",
    }
    for name, fine in plain.items():
        if not fine:
            node = settings["finetune"] if "." in name else settings
            value = str(node[name.rpartition(".")[2]])
            value = value.lower() if value == "True" else value
            raise ConfigError(f"{name}={value} does not work with strategy=fsdp; take strategy=ddp")
