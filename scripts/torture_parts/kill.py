"""kill -9 at random moments and inside saves, then resume to the end."""

import random
import signal
import time
from argparse import Namespace
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from torture_parts.child import (
    Child,
    CommandLine,
    digest,
    logged_steps,
    steps,
    uninterrupted,
    wait_for_save,
    writing,
)
from torture_parts.outcome import Outcome
from trainer.core.errors import CheckpointError
from trainer.storage import checkpoint

MINERS = ["none", "random", "hard_example", "misclassified", "ohem", "ohem_two_pass"]
MINERS += ["hard_negative", "selective_backprop", "importance", "infobatch", "self_paced"]
MINERS += ["reweight", "rs2", "small_loss mining.tau=0.5"]
MINERS += ["selective_backprop mining.mode=two_pass"]
MIXERS = ["none", "mixup"]
VARIANTS = {"plain": [], "ema": ["ema=0.9"], "accumulate": ["accumulate=3"]}
KILLS_A_RUN = 4
IN_SAVE = 0.45  # share of kills inside a save below which the next one waits for a save
INSIDE = 0.3  # share that there must be
SAVE_SECONDS = 0.005
FROM_COMMAND_LINE = 20  # every 20th run starts there
IMPORT_SECONDS = 8.0


def kills(folder: Path, options: Namespace) -> Iterator[Outcome]:
    """Yield one row for all kills."""
    yield Killing(folder, options).all()


class Killing:
    """Runs that are killed, resumed, and killed again."""

    def __init__(self, folder: Path, options: Namespace) -> None:
        self.folder = folder
        self.wanted = options.kills
        self.unsafe = options.unsafe
        self.rng = random.Random(options.seed)
        self.outcome = Outcome("kill -9, then resumed to the end")
        self.inside = self.runs = self.commands = 0
        self.caught = False  # an unsafe writer
        cases = list(product(MINERS, MIXERS, VARIANTS, (0, 2)))
        self.rng.shuffle(cases)
        self.cases = sorted(cases, key=lambda case: cases.index(case) // len(MINERS))

    def all(self) -> Outcome:
        """Kill runs until there were enough kills, or an unsafe writer is caught."""
        while not (self.caught or self.enough()):
            miner, mixer, variant, workers = self.cases[self.runs % len(self.cases)]
            loader = ["loader=stream", f"loader.workers={workers}"]
            case = [*f"mining={miner}".split(), f"mixer={mixer}", *VARIANTS[variant], *loader]
            self.run(self.folder / f"{self.runs}", case)
            self.runs += 1
        share = self.inside / self.outcome.tried
        enough = self.caught or share >= INSIDE
        self.outcome.expect(enough, f"only {share:.0%} of the kills were inside a save")
        self.outcome.found = (
            f"{self.inside} inside a save, {self.runs} runs, "
            f"{self.commands} from the command line; {len(self.outcome.failures)} failures"
        )
        return self.outcome

    def enough(self) -> bool:
        """Whether there were enough kills, inside saves too; it gives up at ten times as many."""
        tried = self.outcome.tried
        return tried >= self.wanted and (self.inside >= INSIDE * tried or tried >= 10 * self.wanted)

    def run(self, folder: Path, case: list[str]) -> None:
        """Kill one run several times and compare its end with that of an undisturbed run."""
        expected, seconds = uninterrupted(folder.with_suffix(".whole"), *case)
        name = " ".join(case)
        for number in range(KILLS_A_RUN):
            command = number == 0 and (self.runs + 1) % FROM_COMMAND_LINE == 0 and not self.unsafe
            left = seconds / (number + 1)  # about, of a run that goes on
            killed = self.kill(folder, case, left, command=command)
            if not killed:
                break
            reason = unreadable(folder)
            self.outcome.expect(not reason, f"{name}: the latest checkpoint: {reason}")
            self.caught = self.unsafe and bool(reason)
            if self.caught:
                return
        child = Child(folder, *case)
        code = child.wait()
        self.outcome.expect(code == 0, f"{name}: exit {code}: {child.errors.read_text()}")
        if code == 0:
            self.outcome.expect(digest(folder) == expected, f"{name}: the end differs")
            taken = logged_steps(folder)
            once = taken == sorted(set(taken))
            self.outcome.expect(once, f"{name}: steps logged twice: {taken}")

    def kill(self, folder: Path, case: list[str], seconds: float, *, command: bool) -> bool:
        """Start or resume a run and kill it; return whether the kill is what ended it."""
        before = write_in_place if self.unsafe else None
        child = CommandLine(folder, *case) if command else Child(folder, *case, before=before)
        if self.inside <= IN_SAVE * self.outcome.tried:
            wait_for_save(child, self.rng.randint(1, 4))
            time.sleep(self.rng.random() * SAVE_SECONDS)
        else:
            time.sleep(self.rng.random() * seconds + IMPORT_SECONDS * command)
        child.send(signal.SIGKILL)
        killed = child.wait() == -signal.SIGKILL
        self.outcome.tried += killed
        self.commands += killed and command
        self.inside += killed and writing(folder)
        return killed


def unreadable(folder: Path) -> str:
    """Say why the latest checkpoint cannot be read; empty if it can, or if there is none."""
    if not steps(folder):
        return ""
    try:
        checkpoint.load(checkpoint.step_folder(folder / "checkpoints", steps(folder)[0]))
    except CheckpointError as error:
        return str(error)
    return ""


def write_in_place() -> None:
    """Make saving unsafe: write file by file into the final folder."""

    def save(folder, step, *rest):
        """Write without a temporary folder."""
        mkdtemp, rename = checkpoint.tempfile.mkdtemp, Path.rename
        target = folder / f"step-{step}"
        target.mkdir(parents=True, exist_ok=True)
        checkpoint.tempfile.mkdtemp = lambda **_: str(target)
        Path.rename = lambda self, _: self  # pyright: ignore
        try:
            return safe(folder, step, *rest)
        finally:
            checkpoint.tempfile.mkdtemp, Path.rename = mkdtemp, rename

    safe, checkpoint.save = checkpoint.save, save
