"""How long the program takes to answer, against a bare Hydra program with the same config tree.

    python scripts/bench_startup.py [repeats]

Every repeat runs each command once, ours and the other in turn, each in a fresh process. Three
ratios of medians: `--help` and `--cfg job` against the bare program (goal: at most 1.5), and the
time from the command to the end of the first training step against importing torch and
torchvision alone (goal: at most 1.3). On a busy machine processor seconds say more than the clock.
"""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 7

BARE = """
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    pass

main()
"""

# The first step is over when it returns; the process ends there, as nothing later is measured.
FIRST_STEP = """
import os, sys
from trainer import launch
from trainer.__main__ import main

import_torch = launch.import_torch

def import_and_hook():
    import_torch()
    from trainer.step import Step
    call = Step.__call__

    def first(self, *arguments, **options):
        call(self, *arguments, **options)
        os._exit(0)

    Step.__call__ = first

launch.import_torch = import_and_hook
sys.argv = ["trainer", "threads=1", "quiet=true"]
main()
sys.exit("there was no step")
"""


def bare_program(folder: Path) -> Path:
    """A program with all groups and options, and nothing else."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    path = folder / "conf" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    del config["hydra"]
    quiet = [{f"override hydra/{name}": "none"} for name in ("job_logging", "hydra_logging")]
    ours = ["schema", *quiet, {"override hydra/launcher": "subprocess"}]
    config["defaults"] = [entry for entry in config["defaults"] if entry not in ours]
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    program = folder / "bare.py"
    program.write_text(BARE)
    return program


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """The wall and the processor time of one process."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, os.times()
    used = (
        after.children_user - before.children_user,
        after.children_system - before.children_system,
    )
    return wall, sum(used)


def compare(
    title: str, ours: list[str], other: list[str], goal: float, folder: Path, repeats: int
) -> None:
    """Run both in turn and print a line for each, with the ratio."""
    for command in (ours, other):
        seconds(command, folder)  # the first run compiles and fills the disk cache
    pairs = [(seconds(ours, folder), seconds(other, folder)) for _ in range(repeats)]
    for unit, what in enumerate(("clock", "processor")):
        columns = [[pair[which][unit] for pair in pairs] for which in (0, 1)]
        report(f"{title:<10} {what:<9}", columns[0], columns[1], goal)


def report(title: str, ours: list[float], other: list[float], goal: float) -> None:
    """A line with medians, ranges and the ratio."""
    said = [
        f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"
        for times in (ours, other)
    ]
    ratio = statistics.median(ours) / statistics.median(other)
    each = [a / b for a, b in zip(ours, other, strict=True)]
    print(
        f"{title} ours {said[0]}, other {said[1]}: {ratio:.2f} times, by pairs {min(each):.2f} to "
        f"{max(each):.2f}; goal {goal}, {'ok' if ratio <= goal else 'missed'}"
    )


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")


def main() -> None:
    """Measure and print."""
    repeats = int(sys.argv[1]) if sys.argv[1:] else REPEATS
    packages = ", ".join(f"{name} {version(name)}" for name in ("hydra-core", "torch"))
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"python {platform.python_version()}, {packages}; {repeats} runs of each, in turn")
    python = sys.executable
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = bare_program(folder)
        options = len(list((folder / "conf").glob("*/*.yaml")))
        print(f"{options} options in {len(list((folder / 'conf').glob('*/')))} groups")
        for arguments in (["--help"], ["--cfg", "job"]):
            ours, other = [python, "-m", "trainer", *arguments], [python, str(bare), *arguments]
            compare(" ".join(arguments), ours, other, 1.5, folder, repeats)
        torch = [python, "-c", "import os, torch, torchvision; os._exit(0)"]
        compare("first step", [python, "-c", FIRST_STEP], torch, 1.3, folder, repeats)


if __name__ == "__main__":
    main()
