"""Examples on which two groups disagree, as HTML."""

from collections.abc import Mapping, Sequence

from trainer.core.text import count, escape_html
from trainer.job.compare.disagreements import Disagreement, Example
from trainer.job.compare.numbers import format_amount

ABOUT = (
    "<p>Training examples on which a group and the baseline disagree with at least half of the "
    "seeds, judged by the latest record of each example in the difficulty store. Those on which "
    "the largest share of seeds disagrees come first, and among equals those with the highest "
    "mean loss. They show what a strategy has learned of its training set, not how it "
    "generalises.</p>"
)


def example_lists(
    baseline: str,
    disagreements: Sequence[Disagreement],
    classes: Sequence[str],
    images: Mapping[int, str],
    missing: str,
) -> str:
    """List the examples of each disagreement, in each direction; empty if there are none."""
    parts = []
    for pair in disagreements:
        for right, wrong, examples, total in (
            (pair.label, baseline, pair.gained, pair.gains),
            (baseline, pair.label, pair.lost, pair.losses),
        ):
            items = "".join(entry(e, right == pair.label, classes, images) for e in examples)
            title = f"{right} right, {wrong} wrong: {format_amount(total)}"
            if items:
                parts.append(f'<h3>{escape_html(title)}</h3><ul class="examples">{items}</ul>')
    note = f'<p class="note">{escape_html(missing)}</p>' if missing else ""
    return ABOUT + note + "".join(parts) if parts else ""


def entry(example: Example, ours: bool, classes: Sequence[str], images: Mapping[int, str]) -> str:
    """Return an example as a list item, with its image if there is one.

    It states the label, the wrong prediction, and with how many seeds each group is right.
    """
    label, predicted = (class_name(classes, c) for c in (example.label, example.prediction))
    counts = (example.right, example.base_right)
    right, other = counts if ours else reversed(counts)
    about = escape_html(f"label {label}, predicted {predicted}")
    uri = images.get(example.id)
    picture = "" if uri is None else f'<img src="{uri}" alt="{about}">'
    return (
        f"<li>{picture}<span>{about}</span>"
        f"<span>right with {right} of {count(example.seeds, 'seed')}, the other with {other}</span>"
        f"<span>loss {example.loss:.2f}, id {example.id}</span></li>"
    )


def class_name(classes: Sequence[str], index: int) -> str:
    """Return the name of a class, or its index if the name is not known."""
    return classes[index] if 0 <= index < len(classes) else str(index)
