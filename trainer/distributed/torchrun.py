"""Reads this process's rank from torchrun's environment. Does not import torch: see `world`.

`torchrun --nproc-per-node 2 -m trainer ...` starts two processes with the same command line. They
share the run folder of rank 0, the only one that writes files and prints.
"""

import os
import time
from dataclasses import dataclass

from trainer.core.errors import ConfigError

GRACE = 15.0  # seconds rank 0 has to report an error before another process does
NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Place:
    """Rank and number of processes, in the whole job and on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    started: bool = False  # whether torchrun or a similar launcher started it

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes files and prints."""
        return self.rank == 0


def place() -> Place:
    """Return this process's place. Raises ConfigError if the environment is incomplete."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 and "RANK" not in os.environ:
        return Place()
    missing = [name for name in NEEDED if name not in os.environ]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE is set but not {', '.join(missing)}; "
            "start several processes with torchrun --nproc-per-node 2 -m trainer ..."
        )
    rank, size, local_rank, local_size = (int(os.environ[name]) for name in NEEDED[:4])
    return Place(rank, size, local_rank, local_size, started=True)


def check_sweep(arguments: list[str]) -> None:
    """Raise ConfigError for a sweep started by torchrun."""
    if place().size > 1 and {"-m", "--multirun"} & set(arguments):
        raise ConfigError("-m: a sweep starts its own processes; run it without torchrun")


def own_arguments(arguments: list[str]) -> list[str]:
    """Return the command line of this process.

    Hydra creates the run folder in rank 0 only; the other processes use that one.
    """
    first = os.environ.get("RANK", "0") == "0"
    return arguments if first else [*arguments, "hydra.run.dir=."]


def error_prefix() -> str:
    """Return the prefix of this process's error message: its rank, empty for rank 0.

    A process other than rank 0 waits first: if rank 0 has the same error, it reports it and ends
    all processes. After the wait, the error is this process's own.
    """
    rank = os.environ.get("RANK", "0")
    if rank == "0":
        return ""
    time.sleep(GRACE)
    return f"rank {rank}: "
