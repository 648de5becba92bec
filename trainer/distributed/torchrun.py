"""Which of several processes this one is, as torchrun says. No torch in here: see `world`.

`torchrun --nproc-per-node 2 -m trainer ...` starts two processes with one command line. They agree
upon the run folder of rank 0, which alone writes and speaks.
"""

import os
import time
from dataclasses import dataclass
from typing import Any

from trainer.core.errors import ConfigError

GRACE = 15.0  # seconds that rank 0 has to say what is wrong, before another process does
NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Place:
    """The place of a process among all of a job, and among those of its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    started: bool = False  # whether torchrun, or what is like it, has started it

    @property
    def is_main(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0


def place() -> Place:
    """The place of this process. Raises ConfigError where the environment tells half of it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 and "RANK" not in os.environ:
        return Place()
    lacking = [name for name in NEEDED if name not in os.environ]
    if lacking:
        raise ConfigError(
            f"WORLD_SIZE is set, but not {', '.join(lacking)}; "
            "start several processes with torchrun --nproc-per-node 2 -m trainer ..."
        )
    rank, size, local_rank, local_size = (int(os.environ[name]) for name in NEEDED[:4])
    return Place(rank, size, local_rank, local_size, started=True)


def check_sweep(arguments: list[str]) -> None:
    """Raise ConfigError for a sweep in several processes."""
    if place().size > 1 and {"-m", "--multirun"} & set(arguments):
        raise ConfigError("-m: a sweep starts processes of its own; start it without torchrun")


def check(settings: dict[str, Any]) -> None:
    """Raise ConfigError for settings that do not go with the number of processes."""
    here = place()
    strategy, size = settings["strategy"], here.size
    if not here.started:
        if strategy in ("ddp", "fsdp"):
            todo = f"torchrun --nproc-per-node 2 -m trainer strategy={strategy} ..."
            raise ConfigError(f"strategy={strategy} needs torchrun: {todo}")
        return
    if size > 1:
        check_several(settings, size)
    if strategy == "fsdp":
        check_sharded(settings)


def check_several(settings: dict[str, Any], size: int) -> None:
    """Raise ConfigError for what one process can do, and `size` processes cannot."""
    if settings["strategy"] == "single":
        raise ConfigError(f"strategy=single, but torchrun has started {size} processes; take auto")
    if settings["device"].startswith(("cuda:", "mps")):
        wanted = f"device={settings['device']} is one device for {size} processes"
        raise ConfigError(f"{wanted}; take device=cuda, each process has a GPU of its own, or cpu")
    batch = settings["batch_size"]
    if batch != "all" and batch < size:
        raise ConfigError(f"batch_size={batch} is less than a row for each of {size} processes")


def check_sharded(settings: dict[str, Any]) -> None:
    """Raise ConfigError for what sharded weights do not go with."""
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
            raise ConfigError(f"{name}={value} does not go with strategy=fsdp; take strategy=ddp")


def own_arguments(arguments: list[str]) -> list[str]:
    """The command line of this process: the others have no folder of their own for Hydra to make.

    They take rank 0's.
    """
    first = os.environ.get("RANK", "0") == "0"
    return arguments if first else [*arguments, "hydra.run.dir=."]


def let_the_first_speak() -> str:
    """Wait for rank 0, which finds the same mistake, to say so and to end all processes.

    Where it does not, the mistake is this process's own: what it is told with.
    """
    rank = os.environ.get("RANK", "0")
    if rank == "0":
        return ""
    time.sleep(GRACE)
    return f"rank {rank}: "
