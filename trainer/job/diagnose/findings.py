"""What is wrong with a model before its first step, from how a signal passes through it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trainer.job.diagnose.probe import HeadStats, LayerStats, Probe
from trainer.model.shared.head import inside


@dataclass(frozen=True)
class Finding:
    """One fault, of a layer or of all of them."""

    kind: str
    layer: str
    text: str


@dataclass(frozen=True)
class Limits:
    """Where a fault begins."""

    ratio: float  # of the first layer's outputs to what enters the head, in either direction
    dead: float  # part of a layer's units


def findings(
    probe: Probe, same: dict[str, tuple[int, int]], head: str, limits: Limits
) -> list[Finding]:
    """All faults, those of the symmetry first."""
    hidden = [row for row in probe.rows if not row.active and not inside(row.layer, head)]
    ways = SignalPath(hidden, probe.end, head, limits.ratio)
    learns = any(row.weight_gradient_norm > 0 for row in probe.rows if inside(row.layer, head))
    return [
        *alike(same),
        *infinite(probe.rows),
        *ways.forward(),
        *ways.backward(head_learns=learns),
        *silent([row for row in probe.rows if row.layer not in same], limits.dead),
    ]


def alike(same: dict[str, tuple[int, int]]) -> Iterator[Finding]:
    """Units that every update moves alike."""
    for layer, (number, units) in same.items():
        if number == units:
            what = f"all {units} units of {layer} are the same"
        else:
            what = f"{number} of the {units} units of {layer} are the same as another"
        yield Finding("identical units", layer, f"{what}; the symmetry is never broken")


def infinite(rows: Sequence[LayerStats]) -> Iterator[Finding]:
    """The first output and the first gradient that overflowed."""
    for row in rows:
        if not math.isfinite(row.deviation):
            text = f"the outputs of {row.layer} ({row.kind}) are not finite"
            yield Finding("exploding activations", row.layer, text)
            return
    for row in reversed(rows):
        if math.isinf(row.gradient_norm):
            text = f"the gradient at {row.layer} ({row.kind}) is not finite"
            yield Finding("exploding gradients", row.layer, text)
            return


@dataclass(frozen=True)
class SignalPath:
    """The way from the first layer to the head, and back.

    What is in between is not looked at: a branch may be scaled down on purpose.
    """

    hidden: Sequence[LayerStats]
    end: HeadStats
    head: str
    ratio: float

    def forward(self) -> Iterator[Finding]:
        """Activations whose deviation shrinks or grows with the depth."""
        if not self.hidden:
            return
        first, begin = self.hidden[0].layer, self.hidden[0].deviation
        if begin == 0:
            text = f"the outputs of {first} are the same for all images"
            yield Finding("vanishing activations", first, text)
            return
        where = f"deviation {begin:.2g} after {first}, {self.end.deviation:.2g} before {self.head}"
        yield from self.compared("activations", self.head, begin, self.end.deviation, where)

    def backward(self, *, head_learns: bool) -> Iterator[Finding]:
        """Gradients whose norm shrinks or grows on the way back.

        Where nothing comes back, a head that learns will bring it.
        """
        if not self.hidden:
            return
        first, end = self.hidden[0].layer, self.hidden[0].gradient_norm
        begin = self.end.gradient_norm
        if begin == 0:
            if not head_learns:
                text = f"no gradient comes back through {self.head}"
                yield Finding("vanishing gradients", self.head, text)
            return
        where = f"norm {begin:.2g} before {self.head}, {end:.2g} back after {first}"
        yield from self.compared("gradients", first, begin, end, where)

    def compared(
        self, what: str, layer: str, begin: float, end: float, where: str
    ) -> Iterator[Finding]:
        """A finding where the end is too small or too large beside the beginning."""
        change = end / begin
        if not math.isfinite(change) or 1 / self.ratio <= change <= self.ratio:
            return
        each = change ** (1 / max(1, len(self.hidden) - 1))
        word, kind = ("vanish", "vanishing") if change < 1 else ("explode", "exploding")
        text = f"the {what} {word}: {where}, a factor of {each:.2g} a layer"
        yield Finding(f"{kind} {what}", layer, text)


def silent(rows: Sequence[LayerStats], most: float) -> Iterator[Finding]:
    """Activation functions with hardly a unit that is not 0 for all examples."""
    for row in rows:
        if row.active and row.dead > most:
            text = f"{row.dead:.0%} of the units after {row.layer} are dead: 0 for all examples"
            yield Finding("dead units", row.layer, text)
