"""Suggests the known names closest to a mistyped one."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

CLOSE = 0.6  # similarity above which a name is suggested
CHOICE = 0.5  # the same, among the few choices of one setting
FARTHER = 0.1  # additional similarity required of a name under another parent
ABBREVIATION = 3  # letters of a word that may abbreviate a name
SAME = 0.85  # similarity above which a word counts as a misspelt alias
LONGEST = 100  # characters of a word that may be mistyped; of longer text nothing is suggested

# Names that other programs give to these settings, too different to be found by similarity.
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
    """Return the most similar names, at most three: those under the same parent, otherwise any.

    Dotted names are compared by their last parts. `least` is the similarity, from 0 to 1, that
    counts as close; several names are returned only if they are equally similar. With `siblings`,
    names under other parents are left out.
    """
    if len(word) > LONGEST:
        return []
    names = sorted(known, key=lambda name: name.count("."))
    parent, dot, _ = word.rpartition(".")
    close = closest(word, [name for name in names if dot and name.startswith(f"{parent}.")], least)
    if close or siblings:
        return close
    names = [name for name in names if word.startswith("hydra") or not name.startswith("hydra")]
    return closest(word, names, least + FARTHER * bool(dot))


def did_you_mean(word: str, known: Iterable[str], *, prefix: str = "", start: str = " ") -> str:
    """Return ` Did you mean x?` with the closest name, after `prefix`; empty if none is close."""
    close = suggest(word, known, CHOICE)
    return f"{start}Did you mean {prefix}{close[0]}?" if close else ""


def closest(word: str, names: list[str], least: float) -> list[str]:
    """Return the names whose last part is most similar to the word's, aliases translated.

    Those that the word abbreviates come before others.
    """
    parts, part = {name: last_part(name) for name in names}, last_part(word)
    alias = max(OURS, key=lambda other: similarity(part, other))
    if similarity(part, alias) >= SAME and OURS[alias] in parts.values():
        part = OURS[alias]
    scores = {name: similarity(part, own) for name, own in parts.items()}
    close = {name for name in names if scores[name] >= least}
    longer = {name for name in close if len(part) >= ABBREVIATION and parts[name].startswith(part)}
    scores = {name: score for name, score in scores.items() if not longer or name in longer}
    best = max(scores.values(), default=0.0)
    return [name for name, score in scores.items() if score == best >= least][:3]


def similarity(word: str, other: str) -> float:
    """Return the similarity of two words: 1 if equal, 0 without a letter in common."""
    return SequenceMatcher(None, word, other).ratio()


def last_part(name: str) -> str:
    """Return the last part of a dotted name, in lower case, with underscores for dashes."""
    dotted = not re.search(r"[\s=]", name)  # not so a line of overrides
    return (name.rpartition(".")[2] if dotted else name).lower().replace("-", "_")
