"""Train one step as the command line would, then end the process: for bench_startup.py."""

import os
import sys
from typing import Any

from trainer.__main__ import main
from trainer.cli import launch

import_torch = launch.import_torch


def import_and_hook() -> None:
    """Import torch as the command line does, then let the first step end the process."""
    import_torch()
    from trainer.training.step import Step

    call = Step.__call__

    def first(self: Step, *args: Any, **options: Any) -> None:
        call(self, *args, **options)
        os._exit(0)

    Step.__call__ = first  # pyright: ignore


launch.import_torch = import_and_hook
sys.argv = ["trainer", "threads=1", "quiet=true"]
main()
sys.exit("no step was taken")
