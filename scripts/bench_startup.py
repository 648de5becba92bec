"""The program's start-up time, against a bare Hydra program with the same config tree.

    python scripts/bench_startup.py --repeats 7

Each repeat runs ours and the other once, in turn, each in a fresh process. Three ratios of medians:
`--help` and `--cfg job` against the bare program (goal: at most 1.5), and the time from the command
to the end of the first training step against importing torch and torchvision alone (goal: at most
1.3). On a busy machine, processor seconds say more than the clock.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import yaml
from race import machine, parser, ratios, row, spread, table, turns

ROOT = Path(__file__).resolve().parents[1]

BARE = """
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    pass

main()
"""


def bare_program(folder: Path) -> Path:
    """Write a Hydra program that composes all groups and options and does nothing else."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    path = folder / "conf" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    del config["hydra"]
    quiet = [{f"override hydra/{name}": "none"} for name in ("job_logging", "hydra_logging")]
    own = ["schema", *quiet, {"override hydra/launcher": "subprocess"}]
    config["defaults"] = [entry for entry in config["defaults"] if entry not in own]
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    program = folder / "bare.py"
    program.write_text(BARE)
    return program


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a process; return its wall and processor time in seconds."""
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
    """Run both in turn and print a row for each clock; the first round fills the disk cache."""
    taken = turns(
        {"ours": partial(seconds, ours, folder), "other": partial(seconds, other, folder)}, repeats
    )
    for unit, clock in enumerate(("wall", "processor")):
        own, others = ([times[unit] for times in taken[which]] for which in ("ours", "other"))
        ratio = statistics.median(own) / statistics.median(others)
        verdict = f"{goal}, {'ok' if ratio <= goal else 'missed'}"
        pairs = spread(ratios(own, others), ".2f")
        row(title, clock, spread(own, ".2f"), spread(others, ".2f"), f"{ratio:.2f}", pairs, verdict)


def main() -> None:
    """Measure and print every comparison."""
    repeats = parser(__doc__, repeats=7).parse_args().repeats
    print(
        f"{machine('hydra-core', 'torch')}; {repeats} repeats, seconds: median (lowest to highest)"
    )
    python = sys.executable
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = bare_program(folder)
        options = len(list((folder / "conf").glob("*/*.yaml")))
        print(f"{options} options in {len(list((folder / 'conf').glob('*/')))} groups")
        table(["", "clock", "ours", "other", "ratio of medians", "ratio, pair by pair", "goal"])
        for arguments in (["--help"], ["--cfg", "job"]):
            ours, other = [python, "-m", "trainer", *arguments], [python, str(bare), *arguments]
            compare(f"`{' '.join(arguments)}`", ours, other, 1.5, folder, repeats)
        torch = [python, "-c", "import os, torch, torchvision; os._exit(0)"]
        first_step = [python, str(ROOT / "scripts" / "first_step.py")]
        compare("first step", first_step, torch, 1.3, folder, repeats)


if __name__ == "__main__":
    main()
