"""A process that has imported torch and runs command lines in forks of itself.

A fork saves each of the 18 commands of test_sweep.py the imports below: 5.9 and 7.7 s of processor
time in two runs on a busy machine.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def serve() -> None:
    """Read a command per line from stdin; a supervisor for each writes its pid and exit code."""
    for name in ("trainer.run.run", "trainer.job.train", "matplotlib.figure", "torch._dynamo"):
        importlib.import_module(name)
    for line in sys.stdin:
        if os.fork() == 0:
            supervise(json.loads(line))
            os._exit(0)


def supervise(order: dict[str, Any]) -> None:
    """Run a command in a fork, wait for it, and write its pid and exit code to files."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = run(order)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    files = Path(order["files"])
    (files / ".pid").write_text(str(pid))
    (files / ".pid").rename(files / "pid")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    (files / ".code").write_text(str(code))
    (files / ".code").rename(files / "code")


def run(order: dict[str, Any]) -> int:
    """Run the command in its folder, as `python -m trainer` would. Returns its exit code."""
    from trainer.__main__ import main

    os.setsid()
    os.chdir(order["cwd"])
    os.environ.update(order["environment"])
    for number, name in enumerate(("out", "err"), start=1):
        os.dup2(os.open(f"{order['files']}/{name}", os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["trainer", *order["arguments"]]
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


if __name__ == "__main__":
    serve()
