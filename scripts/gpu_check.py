"""Everything that only a GPU can tell, in order of worth, within the minutes that there are.

    python scripts/gpu_check.py --minutes 12 --out outputs/gpu_check
    python scripts/gpu_check.py --minutes 20 --device stand-in    # small, to try this script

Each part runs in a process of its own, with a share of the time that is left and a timeout; one
that fails says so, and the next goes on. After each, and when it is stopped, `gpu_check.json` and
`gpu_check.md`, a table for the README, hold whatever is known until then. The parts are in
gpu_parts.py. CIFAR-10 is read from one archive of JPEG files (under 60 MB), or from a folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from race import machine, parser
from stand_in import gpus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
LEAST = 15.0  # seconds: with fewer left, a part is not started
GRACE = 5.0  # seconds from SIGTERM to SIGKILL
RESERVE = 5.0  # seconds of the whole kept for the end
Outcome = dict[str, Any]  # ok, verdict, figures


@dataclass(frozen=True)
class Part:
    """A part: its name, its title in the table, and its share of the time."""

    name: str
    title: str
    share: float


PARTS = (  # in order of worth
    Part("tests", "tests of a GPU", 0.2),
    Part("equal", "losses equal those on the CPU", 0.06),
    Part("kernels", "kernels and waits of a step", 0.06),
    Part("loop", "speed of the loop", 0.1),
    Part("cifar10", "`experiment=cifar10_speed`", 0.26),
    Part("resnet20", "`experiment=replicate/resnet20`, shortened", 0.1),
    Part("cutout", "`experiment=replicate/cutout`, shortened", 0.1),
    Part("nccl", "one process under torchrun", 0.07),
    Part("resume", "resumed to the bit, deterministic", 0.05),
)


@dataclass
class Report:
    """What is known, in two files that are replaced whole."""

    folder: Path
    about: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Outcome] = field(default_factory=dict)

    def add(self, part: Part, outcome: Outcome, seconds: float) -> None:
        """Add what a part has found, print its verdict and write the files."""
        about = outcome.pop("about", {})
        self.about |= {key: value for key, value in about.items() if key not in self.about}
        self.parts[part.name] = {"title": part.title, "seconds": round(seconds, 1), **outcome}
        mark = "ok" if outcome["ok"] else "NOT OK"
        print(f"{part.name:9s} {mark:6s} {seconds:5.0f} s  {outcome['verdict']}", flush=True)
        self.write()

    def write(self) -> None:
        """Write both files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace(self.folder / "gpu_check.json", json.dumps(self.as_json(), indent=2) + "\n")
        replace(self.folder / "gpu_check.md", self.as_markdown())

    def as_json(self) -> dict[str, Any]:
        """Everything that is known."""
        return {**self.about, "parts": self.parts}

    def as_markdown(self) -> str:
        """The table, with card, versions and date above it."""
        about = ", ".join(str(self.about[key]) for key in ("card", "machine") if key in self.about)
        command = f"`python scripts/gpu_check.py --minutes {self.about.get('minutes')}`"
        lines = [f"{command}, {self.about.get('date')}, {about}:", ""]
        lines += ["| | found | s |", "| --- | --- | --- |"]
        for outcome in self.parts.values():
            verdict = outcome["verdict"].replace("|", "\\|")
            text = verdict if outcome["ok"] else f"**not ok**: {verdict}"
            lines.append(f"| {outcome['title']} | {text} | {outcome['seconds']:.0f} |")
        return "\n".join(lines) + "\n"


def replace(path: Path, text: str) -> None:
    """Write a file whole, or not at all."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def budget(left: float, rest: Sequence[Part]) -> float:
    """Return the seconds for the first of the parts that remain: its share of what is left."""
    return left * rest[0].share / sum(part.share for part in rest)


def check(
    parts: Sequence[Part],
    seconds: float,
    report: Report,
    start: Callable[[Part, float], Outcome],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run the parts in order within the seconds; time that one leaves is for those after it."""
    report.write()
    end = clock() + seconds - RESERVE
    for i, part in enumerate(parts):
        began = clock()
        limit = budget(end - began, parts[i:])
        if end - began < LEAST:
            outcome = {"ok": False, "verdict": f"not started, {max(end - began, 0):.0f} s left"}
        else:
            try:
                outcome = start(part, max(limit, LEAST))
            except Stopped as stopped:
                report.add(part, stopped.outcome, clock() - began)
                raise
        report.add(part, outcome, clock() - began)


class Stopped(SystemExit):
    """The check was stopped in a part that had found something."""

    def __init__(self, code: Any, outcome: Outcome) -> None:
        super().__init__(code)
        self.outcome = outcome


@dataclass
class Processes:
    """Starts parts in processes of their own."""

    options: Any
    folder: Path
    running: subprocess.Popen[bytes] | None = None

    def start(self, part: Part, seconds: float) -> Outcome:
        """Run a part for at most so many seconds; return what it has found until then."""
        found, log = (self.folder / f"{part.name}.{ending}" for ending in ("json", "log"))
        found.unlink(missing_ok=True)
        command = [sys.executable, str(HERE / "gpu_parts.py"), part.name, str(found)]
        command += ["--device", self.options.device, "--cifar10", str(self.options.cifar10)]
        command += ["--mnist", str(self.options.mnist), "--seconds", f"{seconds:.0f}"]
        with log.open("wb") as output:
            self.running = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                code = self.running.wait(seconds)
                ended = "" if code == 0 else f"exit code {code}, see {log.name}"
            except subprocess.TimeoutExpired:
                ended = f"stopped after {seconds:.0f} s"
            except SystemExit as stopped:
                self.stop()
                raise Stopped(stopped.code, outcome_of(found, "the check was stopped")) from None
            finally:
                self.stop()
        return outcome_of(found, ended)

    def stop(self) -> None:
        """End the part that is running, and whatever it has started."""
        if self.running is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.running.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.running.wait(GRACE)
        self.running = None


def outcome_of(found: Path, ended: str) -> Outcome:
    """Read what a part has written; `ended` says how it ended if not by itself."""
    try:
        outcome = json.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        outcome = {"ok": False, "verdict": "nothing was found"}
    if ended:
        outcome["verdict"] += f" ({ended})"
        outcome["ok"] = outcome["ok"] and outcome.get("partial", False)
    return outcome


def stop(number: int, _: object) -> None:
    """Leave by an exception, so that what is known is written."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run the parts."""
    arguments = parser(__doc__)
    arguments.add_argument("--minutes", type=float, default=12.0)
    arguments.add_argument("--device", choices=["cuda", "stand-in"], default="cuda")
    arguments.add_argument("--out", type=Path, default=Path("outputs/gpu_check"))
    arguments.add_argument("--parts", nargs="*", default=[part.name for part in PARTS])
    data = Path("../shared/data")
    arguments.add_argument("--cifar10", type=Path, default=data / "cifar10-jpeg.tar.gz")
    arguments.add_argument("--mnist", type=Path, default=data, help="folder of MNIST/raw")
    options = arguments.parse_args()
    if not options.minutes > 0:
        arguments.error(f"--minutes {options.minutes:g}: must be above 0")
    if options.device == "cuda" and not gpus():
        arguments.error(
            "--device cuda: the driver sees no GPU; --device stand-in tries this without one"
        )
    unknown = set(options.parts) - {part.name for part in PARTS}
    if unknown:
        known = ", ".join(part.name for part in PARTS)
        arguments.error(f"--parts {' '.join(sorted(unknown))}: unknown; there are {known}")
    about = {"date": datetime.now(UTC).date().isoformat(), "minutes": options.minutes}
    about |= {"device": options.device, "machine": machine("torch", "torchvision")}
    report = Report(options.out, about)
    options.out.mkdir(parents=True, exist_ok=True)
    processes = Processes(options, options.out)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    chosen = [part for part in PARTS if part.name in options.parts]
    try:
        check(chosen, 60 * options.minutes, report, processes.start)
    finally:
        processes.stop()
        report.write()
    sys.exit(not all(outcome["ok"] for outcome in report.parts.values()))


if __name__ == "__main__":
    main()
