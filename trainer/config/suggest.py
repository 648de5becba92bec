"""The nearest spelling of a dotted name."""

from collections.abc import Sequence
from difflib import SequenceMatcher

CLOSE = 0.6  # similarity above which a spelling is suggested
CLOSER = 0.7  # the same for a name in another group
SAME = 0.85  # similarity to another program's name that is put down to a typo

# What other programs call a setting, where the spelling alone does not lead to ours.
OTHER_NAMES = {
    "amp": "precision",
    "arch": "model",
    "aug": "augmentation",
    "bs": "batch_size",
    "criterion": "loss",
    "data": "dataset",
    "gpu": "device",
    "grad_accum": "accumulate",
    "grad_clip": "clip",
    "gradient_accumulation_steps": "accumulate",
    "iterations": "steps",
    "l2": "weight_decay",
    "learning_rate": "lr",
    "max_iter": "steps",
    "max_norm": "clip",
    "net": "model",
    "network": "model",
    "random_state": "seed",
    "transforms": "augmentation",
    "wd": "weight_decay",
}


def suggest(word: str, known: Sequence[str]) -> list[str]:
    """The nearest names, at most three that are equally near: beside the word, else anywhere."""
    names = [name for name in known if word.startswith("hydra") or not name.startswith("hydra")]
    return beside(word, known) or closest(word, names, CLOSER if "." in word else CLOSE)


def beside(word: str, known: Sequence[str]) -> list[str]:
    """The nearest names that have the same parents."""
    head = word.rpartition(".")[0]
    return closest(word, [name for name in known if head and name.startswith(f"{head}.")], CLOSE)


def closest(word: str, names: Sequence[str], least: float) -> list[str]:
    """The names whose last part is most like the word's."""
    meant = ours(last_part(word))
    likeness = {name: SequenceMatcher(None, meant, last_part(name)).ratio() for name in names}
    best = max(likeness.values(), default=0.0)
    first = [name for name in names if likeness[name] == best >= least]
    return sorted(first, key=lambda name: name.count("."))[:3]


def ours(word: str) -> str:
    """Our name for what other programs call so, or nearly so; else the word."""
    likeness = {name: SequenceMatcher(None, word, name).ratio() for name in OTHER_NAMES}
    nearest = max(likeness, key=likeness.__getitem__)
    return OTHER_NAMES[nearest] if likeness[nearest] >= SAME else word


def last_part(name: str) -> str:
    """What stands after the last dot, in lower case with underscores for dashes."""
    return name.rpartition(".")[2].lower().replace("-", "_")
