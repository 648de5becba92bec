"""What the differences so far say about each strategy: a pure function of the results by seed.

All strategies are looked at after the same seeds: after `first`, then after each further one. Runs
that are ahead of that do not count yet, so that the answer does not depend on how many run at a
time. A decided strategy gets no more seeds.

At every look p is 1 / the highest e-value so far (`trainer.compare.shared.anytime`), corrected by
Holm for the number of strategies. A strategy is better or worse where p < α and its interval
excludes 0; level where the interval lies within ±margin at the level 1 − α/m, m strategies not
being better or worse. Of a strategy's two hypotheses (no difference; a difference of the margin or
more) one at most is true, and each is tested at no more than α / the number of those that may be
true: by the principle of sequential rejection (Goeman and Solari 2010, https://doi.org/10.1214/10-AOS829)
the chance of any wrong statement is at most α, whenever one stops.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from trainer.compare.shared import anytime
from trainer.compare.shared.deviation import stdev

Verdict = Literal["better", "worse", "level", "undecided", "failed"]
Differences = Sequence[float | None]  # by seed, in order; None where a run has no result

GIVEN_UP = 3  # failed runs after which a strategy with no more results than that is given up
CLAIMS = ("better", "worse")


@dataclass(frozen=True)
class Rules:
    """When a strategy is decided."""

    level: float = 0.95
    first: int = 5  # seeds before the first look
    margin: float | None = None  # a difference within it counts as none
    low_is_better: bool = False

    @property
    def alpha(self) -> float:
        """The chance of a wrong statement, at most."""
        return 1 - self.level


@dataclass(frozen=True)
class Finding:
    """What is known of a strategy's difference from the baseline, after `looked` seeds."""

    verdict: Verdict
    looked: int
    values: tuple[float, ...] = ()  # the differences
    p: float = 1.0
    adjusted_p: float = 1.0
    low: float = -math.inf
    high: float = math.inf
    alpha: float = 0.05  # to which p would have to fall next

    @property
    def mean(self) -> float:
        """The mean difference; 0 without any."""
        return fmean(self.values) if self.values else 0.0

    @property
    def needed(self) -> int | None:
        """The seeds that would decide about such a difference; None if more than 1,000."""
        if self.decided or not math.isfinite(self.low):
            return None
        return anytime.values_needed(self.mean / stdev(self.values), self.alpha)

    @property
    def decided(self) -> bool:
        """Whether no more seeds are wanted."""
        return self.verdict != "undecided"


@dataclass
class Walk:
    """The differences of a strategy up to some seed, and the highest e-value of any of them."""

    values: list[float] = field(default_factory=list)
    total: float = 0.0
    squares: float = 0.0
    mean: float = 0.0
    scatter: float = 0.0  # Σ (d − mean)², as Welford (1962) updates it: without cancellation
    failed: int = 0
    looked: int = 0
    varies: bool = False
    highest: float = 0.0  # log e
    verdict: Verdict = "undecided"

    def add(self, value: float | None) -> None:
        """Take the difference of the next seed."""
        self.looked += 1
        if value is None:
            self.failed += 1
            return
        self.values.append(value)
        step, n = value - self.mean, len(self.values)
        self.mean += step / n
        self.scatter += step * (value - self.mean)
        self.total += value
        self.squares += value * value
        first = self.values[0]
        self.varies |= abs(value - first) > anytime.SAME * max(abs(value), abs(first))
        if self.varies:
            self.highest = max(self.highest, anytime.log_e(n, self.total, self.squares))

    @property
    def p(self) -> float:
        """1 / the highest e-value."""
        return math.exp(-self.highest)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """The interval of the mean; infinite where the differences do not vary."""
        n = len(self.values)
        half = math.inf if not self.varies else anytime.reach(n, alpha) * self.deviation
        return self.mean - half, self.mean + half

    @property
    def deviation(self) -> float:
        """The standard deviation of two or more differences."""
        return math.sqrt(self.scatter / (len(self.values) - 1))


def judge(differences: Mapping[str, Differences], rules: Rules) -> dict[str, Finding]:
    """What is known of each strategy after the seeds that all undecided ones have."""
    walks = {label: Walk() for label in differences}
    seed = 0
    while True:
        going = [label for label, walk in walks.items() if walk.verdict == "undecided"]
        if not going or any(len(differences[label]) <= seed for label in going):
            return findings(walks, rules)
        for label in going:
            walks[label].add(differences[label][seed])
        seed += 1
        look(walks, rules)


def look(walks: Mapping[str, Walk], rules: Rules) -> None:
    """Decide what can be decided after a seed."""
    adjusted = holm({label: walk.p for label, walk in walks.items()})
    for label, walk in walks.items():
        if walk.verdict != "undecided":
            continue
        if walk.failed >= GIVEN_UP and walk.failed >= len(walk.values):
            walk.verdict = "failed"
        elif len(walk.values) >= rules.first and adjusted[label] < rules.alpha:
            low, high = walk.bounds(rules.alpha)
            if low > 0 or high < 0:
                walk.verdict = "worse" if (low > 0) == rules.low_is_better else "better"
    strict = rules.alpha / unclaimed(walks)
    for walk in walks.values():
        if walk.verdict == "undecided" and within_margin(walk, rules, strict):
            walk.verdict = "level"


def unclaimed(walks: Mapping[str, Walk]) -> int:
    """The number of strategies that are neither better nor worse, at least 1."""
    return max(1, sum(walk.verdict not in CLAIMS for walk in walks.values()))


def within_margin(walk: Walk, rules: Rules, alpha: float) -> bool:
    """Whether the interval lies within the margin."""
    if rules.margin is None or len(walk.values) < rules.first:
        return False
    low, high = walk.bounds(alpha)
    return -rules.margin < low and high < rules.margin


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """P values by strategy, corrected for their number (Holm 1979)."""
    adjusted, highest = {}, 0.0
    for rank, label in enumerate(sorted(p, key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[label]))
        adjusted[label] = highest
    return adjusted


def findings(walks: Mapping[str, Walk], rules: Rules) -> dict[str, Finding]:
    """The state of all strategies as it is to be shown."""
    adjusted, strict = holm({k: w.p for k, w in walks.items()}), rules.alpha / unclaimed(walks)
    return {
        label: Finding(
            walk.verdict,
            walk.looked,
            tuple(walk.values),
            walk.p,
            adjusted[label],
            *walk.bounds(rules.alpha),
            strict,
        )
        for label, walk in walks.items()
    }
