"""How often a rule for stopping finds an effect that is not there, and what it takes to find one.

    python scripts/simulate_answers.py                     # 2 minutes on one core

A path is some strategies against a baseline, up to 30 seeds, whose paired differences are drawn
independently: standard normal, or rounded to whole deviations (a test set so small that most
differences are ties). The rule of `sweep=answer`, trainer.sweep.answer.decide, stands beside a t
test after each seed and beside one t test after 5 or 30 seeds, both with Holm's correction.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from trainer.compare.shared.student_t import two_sided
from trainer.sweep.answer.decide import Rules, holm, judge

MOST, FIRST, ALPHA = 30, 5, 0.05
EFFECTS = (0.5, 1.0, 2.0)  # in standard deviations

Seeds = list[int | None]  # after which each strategy is decided
Rule = Callable[[np.ndarray], Seeds]


def answer(paths: np.ndarray) -> Seeds:
    """The rule of sweep=answer on differences [strategies, seeds]."""
    found = judge({str(i): path for i, path in enumerate(paths.tolist())}, Rules(first=FIRST))
    return [one.looked if one.verdict in ("better", "worse") else None for one in found.values()]


def p_values(paths: np.ndarray, n: int) -> dict[str, float]:
    """The p values of t tests of the first n differences."""
    means, deviations = paths[:, :n].mean(1), paths[:, :n].std(1, ddof=1)
    t = [m / s * n**0.5 if s > 0 else 0.0 for m, s in zip(means, deviations, strict=True)]
    return {str(i): two_sided(value, n - 1) for i, value in enumerate(t)}


def peeking(paths: np.ndarray) -> Seeds:
    """A t test after each seed from the fifth on; a strategy ends at the first p < 0.05."""
    found: Seeds = [None] * len(paths)
    for n in range(FIRST, MOST + 1):
        p = holm(p_values(paths, n))
        for i, decided in enumerate(found):
            if decided is None and p[str(i)] < ALPHA:
                found[i] = n
    return found


def fixed(n: int) -> Rule:
    """One t test after n seeds."""

    def rule(paths: np.ndarray) -> Seeds:
        p = holm(p_values(paths, n))
        return [n if p[str(i)] < ALPHA else None for i in range(len(paths))]

    return rule


RULES: dict[str, tuple[Rule, int]] = {  # with the seeds that it takes without a decision
    "`sweep=answer`": (answer, MOST),
    "a t test after each seed": (peeking, MOST),
    "one t test after 5 seeds": (fixed(5), 5),
    "one t test after 30 seeds": (fixed(30), 30),
}


def cells(rule: Rule, most: int, paths: np.ndarray) -> list[str]:
    """False alarms without effects, then power and mean seeds of one strategy with each effect."""
    alarms = np.mean([any(rule(path)) for path in paths])
    rounded = np.mean([any(rule(np.round(path))) for path in paths])
    row = [f"{100 * alarms:.1f} %", f"{100 * rounded:.1f} %"]
    for effect in EFFECTS:
        shifted = paths.copy()
        shifted[:, 0] += effect
        seeds = [rule(path)[0] for path in shifted]
        power = np.mean([n is not None for n in seeds])
        taken = np.mean([most if n is None else n for n in seeds])
        row.append(f"{100 * power:.0f} %, {taken:.1f}")
    return row


def table(paths: np.ndarray) -> list[str]:
    """The rows of the table in Markdown."""
    effects = [f"effect of {effect:g}" for effect in EFFECTS]
    head = ["rule", "false alarms", "of rounded differences", *effects]
    rows = [[name, *cells(rule, most, paths)] for name, (rule, most) in RULES.items()]
    return [markdown(row) for row in (head, ["---"] * len(head), *rows)]


def markdown(row: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(row)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog=f"python scripts/{Path(__file__).name}")
    parser.add_argument("--paths", type=int, default=2000)
    parser.add_argument("--strategies", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    paths = rng.normal(size=(given.paths, given.strategies, MOST))
    lines = [f"{given.paths} paths of {given.strategies} strategies: found, mean number of seeds"]
    sys.stdout.write("\n".join([*lines, *table(paths)]) + "\n")


if __name__ == "__main__":
    main()
