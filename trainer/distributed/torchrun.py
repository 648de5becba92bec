"""Which of several processes this one is, as torchrun says. No torch in here: see `world`.

`torchrun --nproc-per-node 2 -m trainer ...` starts two processes with one command line. They agree
upon the run folder of rank 0, which alone writes and speaks.
"""

import os
import time
from dataclasses import dataclass

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
