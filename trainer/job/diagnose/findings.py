"""Faults of a model before its first step, derived from the statistics of a probe."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trainer.job.diagnose.probe import HeadStats, LayerStats, Probe
from trainer.model.shared.head import inside


@dataclass(frozen=True)
class Finding:
    """A fault and the layer at which it shows."""

    kind: str
    layer: str
    text: str


@dataclass(frozen=True)
class Limits:
    """Thresholds beyond which a statistic is a fault."""

    ratio: float  # between the first layer and the input of the head, in either direction
    dead: float  # fraction of a layer's units


def findings(
    probe: Probe, identical: dict[str, tuple[int, int]], head: str, limits: Limits
) -> list[Finding]:
    """List all faults, identical units first.

    `identical` is what `probe.identical_units` returns: by layer, how many and of how many.
    """
    hidden = [row for row in probe.rows if not row.active and not inside(row.layer, head)]
    path = SignalPath(hidden, probe.end, head, limits.ratio)
    learns = any(row.weight_gradient_norm > 0 for row in probe.rows if inside(row.layer, head))
    return [
        *symmetric_layers(identical),
        *overflows(probe.rows),
        *path.forward(),
        *path.backward(head_learns=learns),
        *dead_layers([row for row in probe.rows if row.layer not in identical], limits.dead),
    ]


def symmetric_layers(identical: dict[str, tuple[int, int]]) -> Iterator[Finding]:
    """Report layers with identical units, which every update changes in the same way."""
    for layer, (number, units) in identical.items():
        if number == units:
            text = f"all {units} units of {layer} are identical"
        else:
            text = f"{number} of the {units} units of {layer} have an identical twin"
        yield Finding("identical units", layer, f"{text}; training cannot break the symmetry")


def overflows(rows: Sequence[LayerStats]) -> Iterator[Finding]:
    """Report the first layer whose output overflows or, failing that, whose gradient does."""
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
    """Compares the signal at the first layer with that at the head, forward and backward.

    Layers in between are not examined: a branch may be scaled down on purpose.
    """

    hidden: Sequence[LayerStats]
    end: HeadStats
    head: str
    ratio: float

    def forward(self) -> Iterator[Finding]:
        """Report activations whose standard deviation shrinks or grows with depth."""
        if not self.hidden:
            return
        first, begin = self.hidden[0].layer, self.hidden[0].deviation
        if begin == 0:
            text = f"the outputs of {first} are the same for all images"
            yield Finding("vanishing activations", first, text)
            return
        end = self.end.deviation
        where = f"standard deviation {begin:.2g} after {first}, {end:.2g} before {self.head}"
        yield from self.compare("activations", self.head, begin, end, where)

    def backward(self, *, head_learns: bool) -> Iterator[Finding]:
        """Report gradients whose norm shrinks or grows on the way back.

        No gradient at all is a fault only if the head does not learn either: a head of zeros
        passes none back at first, but does after its first update.
        """
        if not self.hidden:
            return
        first, end = self.hidden[0].layer, self.hidden[0].gradient_norm
        begin = self.end.gradient_norm
        if begin == 0:
            if not head_learns:
                text = f"no gradient flows back through {self.head}"
                yield Finding("vanishing gradients", self.head, text)
            return
        where = f"norm {begin:.2g} before {self.head}, {end:.2g} after {first}"
        yield from self.compare("gradients", first, begin, end, where)

    def compare(
        self, quantity: str, layer: str, begin: float, end: float, where: str
    ) -> Iterator[Finding]:
        """Report a quantity whose ratio end / begin is outside the limits."""
        change = end / begin
        if not math.isfinite(change) or 1 / self.ratio <= change <= self.ratio:
            return
        per_layer = change ** (1 / max(1, len(self.hidden) - 1))
        verb, kind = ("vanish", "vanishing") if change < 1 else ("explode", "exploding")
        text = f"the {quantity} {verb}: {where}, a factor of {per_layer:.2g} per layer"
        yield Finding(f"{kind} {quantity}", layer, text)


def dead_layers(rows: Sequence[LayerStats], limit: float) -> Iterator[Finding]:
    """Report activation functions with more than a fraction `limit` of dead units."""
    for row in rows:
        if row.active and row.dead > limit:
            text = f"{row.dead:.0%} of the units after {row.layer} are dead: 0 for every example"
            yield Finding("dead units", row.layer, text)
