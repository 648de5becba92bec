"""The known names that a mistyped one comes closest to."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

CLOSE = 0.6  # similarity above which a name is suggested
CHOICE = 0.5  # the same among the few choices of one setting
FARTHER = 0.1  # by how much more similar a name with other parents has to be
SAME = 0.85  # similarity to another program's name that is put down to a typo

# What other programs call a setting of ours, where the spelling alone does not lead to it.
ALIASES = {
    "accumulate": "grad_accum gradient_accumulation_steps",
    "augmentation": "aug transforms",
    "batch_size": "bs",
    "clip": "grad_clip max_norm",
    "dataset": "data",
    "device": "gpu",
    "loss": "criterion",
    "lr": "learning_rate",
    "model": "arch net network",
    "precision": "amp",
    "seed": "random_state",
    "steps": "iterations max_iter",
    "weight_decay": "l2 wd",
}
OURS = {alias: name for name, aliases in ALIASES.items() for alias in aliases.split()}


def suggest(
    word: str, known: Iterable[str], least: float = CLOSE, *, siblings: bool = False
) -> list[str]:
    """The most similar names, at most three: those below the same parent, else any.

    Dotted names are compared by their last parts. `least` is the similarity, from 0 to 1, that
    counts as close; several names are returned only if they are equally similar. `siblings` leaves
    out those below other parents.
    """
    names = sorted(known, key=lambda name: name.count("."))
    parent, dot, _ = word.rpartition(".")
    close = closest(word, [name for name in names if dot and name.startswith(f"{parent}.")], least)
    if close or siblings:
        return close
    names = [name for name in names if word.startswith("hydra") or not name.startswith("hydra")]
    return closest(word, names, least + FARTHER * bool(dot))


def did_you_mean(word: str, known: Iterable[str], *, prefix: str = "", start: str = " ") -> str:
    """` Did you mean x?` for the closest choice, with a prefix to it; empty if none is close."""
    close = suggest(word, known, CHOICE)
    return f"{start}Did you mean {prefix}{close[0]}?" if close else ""


def closest(word: str, names: list[str], least: float) -> list[str]:
    """The names whose last part is most similar to the word's, or to what it is called here."""
    parts, part = {name: last_part(name) for name in names}, last_part(word)
    alias = max(OURS, key=lambda other: similarity(part, other))
    if similarity(part, alias) >= SAME and OURS[alias] in parts.values():
        part = OURS[alias]
    scores = {name: similarity(part, own) for name, own in parts.items()}
    best = max(scores.values(), default=0.0)
    return [name for name in names if scores[name] == best >= least][:3]


def similarity(word: str, other: str) -> float:
    """1 for equal words, 0 for words without a letter in common."""
    return SequenceMatcher(None, word, other).ratio()


def last_part(name: str) -> str:
    """The last part of a dotted name, in lower case and with underscores for dashes."""
    sentence = re.search(r"[\s=]", name)  # such as a list of overrides
    return (name if sentence else name.rpartition(".")[2]).lower().replace("-", "_")
