"""The results by strategy and seed, what they say, and which run is wanted next."""

from collections.abc import Iterable, Sequence

from trainer.sweep.answer.decide import Differences, Finding, Rules, judge

Place = tuple[str, int]  # a strategy's label and the number of a seed, from 0


class Evidence:
    """Results of strategies against a baseline, up to `most` seeds."""

    def __init__(self, baseline: str, others: Sequence[str], rules: Rules, most: int) -> None:
        self.baseline, self.others = baseline, list(others)
        self.rules, self.most = rules, most
        self.values: dict[str, dict[int, float | None]] = {k: {} for k in (baseline, *others)}
        self.asked: set[Place] = set()
        self.given_up: set[str] = set()  # strategies without any chance of a result
        self.findings: dict[str, Finding] = {}
        self.look()

    def record(self, label: str, number: int, value: float | None) -> None:
        """Take the result of a run, None for one that failed or has no finite value."""
        self.values[label][number] = value
        self.look()

    def give_up(self, label: str) -> None:
        """Want no more runs of a strategy; without the baseline, of none."""
        self.given_up |= set(self.others) if label == self.baseline else {label}
        self.look()

    def look(self) -> None:
        """Judge by the results so far."""
        judged = judge({k: self.differences(k) for k in self.others}, self.rules)
        failed = {k: Finding("failed", judged[k].looked) for k in self.given_up}
        self.findings = judged | failed

    def settled(self, label: str) -> int:
        """The number of leading seeds whose runs have ended."""
        own, number = self.values[label], 0
        while number in own:
            number += 1
        return number

    def differences(self, label: str) -> Differences:
        """The differences by seed, as far as both runs have ended; None where one failed."""
        ours, theirs = self.values[label], self.values[self.baseline]
        pairs = [
            (ours[i], theirs[i])
            for i in range(min(self.settled(label), self.settled(self.baseline)))
        ]
        return [None if a is None or b is None else a - b for a, b in pairs]

    @property
    def undecided(self) -> list[str]:
        """The strategies that want more seeds, even if there are none left."""
        return [label for label in self.others if not self.findings[label].decided]

    @property
    def finished(self) -> bool:
        """Whether all is decided, or all seeds are spent."""
        return all(self.settled(k) >= self.most for k in self.wanted())

    def wanted(self) -> list[str]:
        """The strategies whose runs are wanted: the baseline and all that are undecided."""
        return [self.baseline, *self.undecided] if self.undecided else []

    def next(self, ready: Iterable[str]) -> Place | None:
        """The next run, and mark it as asked for: the lowest seed first, the baseline first."""
        able = set(ready)
        for number in range(self.most):
            for label in self.wanted():
                place = label, number
                if label in able and place not in self.asked:
                    self.asked.add(place)
                    return place
        return None

    def round(self, ready: Iterable[str]) -> list[Place]:
        """The runs up to the next look: the first seeds, later one of each strategy wanted."""
        wanted = self.wanted()
        seen = min((self.settled(label) for label in wanted), default=0)
        last = min(self.most, max(self.rules.first, seen + 1))
        able = set(ready)
        places = [(label, i) for i in range(last) for label in wanted if label in able]
        found = [place for place in places if place not in self.asked]
        self.asked |= set(found)
        return found

    def counted(self, label: str) -> range:
        """The numbers of the seeds whose runs the findings are based on."""
        if label == self.baseline:
            return range(max((one.looked for one in self.findings.values()), default=0))
        return range(self.findings[label].looked)
