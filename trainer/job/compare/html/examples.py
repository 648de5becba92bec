"""Examples that two groups disagree on, as HTML."""

from collections.abc import Mapping, Sequence
from html import escape

from trainer.job.compare.comparison import Comparison
from trainer.job.compare.disagreements import Disagreement, Example
from trainer.job.compare.numbers import amount


def examples(
    of: Comparison,
    found: Sequence[Disagreement],
    names: Sequence[str],
    images: Mapping[int, str],
    missing: str,
) -> str:
    """Where each group and the baseline disagree."""
    if not found and not missing:
        return ""
    about = (
        "<p>Training examples, by the last record of the difficulty store in each seed that both "
        "groups have trained on: those where half of the seeds or more differ. The clearest come "
        "first, the hardest (mean loss) of them before the others. They show what a strategy "
        "learns, not what it generalises to.</p>"
    )
    parts = [about, f'<p class="note">{escape(missing)}</p>' if missing else ""]
    for one in found:
        for right, wrong, held, total in (
            (one.label, of.baseline.label, one.gained, one.gains),
            (of.baseline.label, one.label, one.lost, one.losses),
        ):
            parts.append(f"<h3>{escape(right)} right, {escape(wrong)} wrong: {amount(total)}</h3>")
            cards = "".join(card(e, right == one.label, names, images) for e in held)
            parts.append(f'<ul class="cards">{cards}</ul>')
    return "".join(parts)


def card(one: Example, ours: bool, names: Sequence[str], images: Mapping[int, str]) -> str:
    """An example: image, label, what it was taken for, and in how many seeds."""
    label, taken = (named(names, c) for c in (one.label, one.prediction))
    right, other = (one.right, one.base_right) if ours else (one.base_right, one.right)
    text = f"label {label}, taken for {taken}"
    picture = f'<img src="{images[one.id]}" alt="{escape(text)}">' if one.id in images else ""
    counts = f"right in {right} of {one.seeds} seeds, other {other}"
    lines = (text, counts, f"loss {one.loss:.2f}, id {one.id}")
    return f"<li>{picture}{''.join(f'<span>{escape(line)}</span>' for line in lines)}</li>"


def named(names: Sequence[str], number: int) -> str:
    """A class by its name where it is known."""
    return names[number] if 0 <= number < len(names) else str(number)
