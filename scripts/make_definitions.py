"""Make the embedded definitions and synonyms from WordNet 3.0, as Debian packs it.

    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb wordnet
    python scripts/make_definitions.py wordnet/usr/share/wordnet

writes `definitions.tsv.gz` and its licence to trainer/dataset, and `synonyms.txt.gz` to
trainer/augmentation. The same input gives the same bytes.

A definition is the first clause of a noun's gloss, of four words or more, that no other noun has;
600 are taken from each of eight of WordNet's lexicographer files, evenly spaced in its order. A
word's synonyms are the first four single words that share a synset with it, of any part of speech,
those of its most frequent senses first. A form that WordNet does not list (`trees`) has those of
its base form. Stop words have none.
"""

import gzip
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trainer.dataset.shared.words import words_of

ROOT = Path(__file__).parents[1] / "trainer"
PARTS = ("noun", "verb", "adj", "adv")
CLASSES = {  # lexicographer file → class, lexnames(5WN)
    5: "animal",
    6: "artifact",
    8: "body",
    13: "food",
    15: "location",
    18: "person",
    20: "plant",
    27: "substance",
}
EACH = 600  # definitions of a class
SHORTEST = 4  # words of a definition
MOST = 4  # synonyms of a word
LICENCE = re.compile(r"  \d+ (.*)")  # the lines before the first synset
ENDINGS = (  # of morphy(7WN), and the doubled consonant of `stopped`
    ("ies", "y"), ("ves", "f"), ("men", "man"), ("es", "e"), ("es", ""), ("s", ""),
    ("ing", "e"), ("ing", ""), ("ed", "e"), ("ed", ""), ("er", "e"), ("er", ""),
    ("est", "e"), ("est", ""),
)  # fmt: skip
STOP_WORDS = """
    a about above after again against all am an and any are as at be because been before being
    below between both but by can could did do does doing down during each few for from further had
    has have having he her here hers herself him himself his how i if in into is it its itself just
    may me might more most must my myself no nor not now of off on once one only or other our ours
    ourselves out over own same shall she should so some such than that the their theirs them
    themselves then there these they this those through to too under until up upon very was we were
    what when where which while who whom whose why will with within without would you your yours
    yourself yourselves
"""


class Synset(NamedTuple):
    """A meaning: its place, the number of its lexicographer file, its words and its gloss."""

    offset: str
    file: int
    words: list[str]
    gloss: str


def lines_of(folder: Path, part: str) -> list[str]:
    """The lines of the data file of a part of speech."""
    return (folder / f"data.{part}").read_text(encoding="latin-1").splitlines()


def synsets(folder: Path, part: str) -> Iterator[Synset]:
    """The synsets of a part of speech, wndb(5WN)."""
    for line in lines_of(folder, part):
        if LICENCE.match(line):
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        plain = [re.sub(r"\((a|p|ip)\)$", "", word).lower() for word in words]
        yield Synset(fields[0], int(fields[1]), plain, gloss.strip())


def definitions(folder: Path) -> list[tuple[str, str]]:
    """Pairs of class and text, a class after the other."""
    found = [
        (CLASSES[synset.file], synset.gloss.partition(";")[0].strip())
        for synset in synsets(folder, "noun")
        if synset.file in CLASSES
    ]
    times = Counter(text for _, text in found)
    chosen = []
    for name in CLASSES.values():
        texts = [text for own, text in found if own == name and times[text] == 1]
        texts = [text for text in texts if len(words_of(text)) >= SHORTEST]
        chosen += [(name, texts[i * len(texts) // EACH]) for i in range(EACH)]
    return chosen


def synonyms(folder: Path) -> dict[str, list[str]]:
    """The synonyms of each word of WordNet, its first senses first; of several parts in turn."""
    at = {(part, s.offset): s.words for part in PARTS for s in synsets(folder, part)}
    ranked: dict[str, list[tuple[int, int, list[str]]]] = defaultdict(list)
    for order, part in enumerate(PARTS):
        for word, offsets in senses(folder, part):
            ranked[word] += [(rank, order, at[part, o]) for rank, o in enumerate(offsets)]
    found = {
        word: dict.fromkeys(other for *_, words in sorted(own) for other in words if other != word)
        for word, own in ranked.items()
    }
    return {w: [o for o in others if re.fullmatch("[a-z]+", o)] for w, others in found.items()}


def senses(folder: Path, part: str) -> Iterator[tuple[str, list[str]]]:
    """Each word of a part of speech with its synsets, the most frequent sense first."""
    for line in (folder / f"index.{part}").read_text(encoding="latin-1").splitlines():
        if not LICENCE.match(line):
            word, _, number, *fields = line.split()
            yield word, fields[-int(number) :]


def bases(word: str) -> Iterator[str]:
    """A word, then what it may be a form of."""
    yield word
    for ending, base in ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word.removesuffix(ending)
            yield stem + base
            if not base and stem[-1] == stem[-2]:
                yield stem[:-1]


def table(folder: Path, words: set[str]) -> list[str]:
    """A line for each of the words that has synonyms: the word, then its synonyms."""
    known, stop_words = synonyms(folder), set(STOP_WORDS.split())
    lines = []
    for word in sorted(words - stop_words):
        base = next((base for base in bases(word) if known.get(base)), None)
        others = [] if base is None else known[base]
        kept = [other for other in others if other not in stop_words | {word}]
        if kept:
            lines.append(" ".join([word, *kept[:MOST]]))
    return lines


def write(path: Path, lines: list[str]) -> None:
    """Write lines, compressed without the time of day."""
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{path.relative_to(ROOT.parent)}: {len(lines):,} lines, {path.stat().st_size:,} bytes")


def main() -> None:
    """Write the three files."""
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/make_definitions.py FOLDER_OF_DATA.NOUN")
    folder = Path(sys.argv[1])
    texts = definitions(folder)
    write(ROOT / "dataset" / "definitions.tsv.gz", ["\t".join(pair) for pair in texts])
    vocabulary = {word for _, text in texts for word in words_of(text)}
    write(ROOT / "augmentation" / "synonyms.txt.gz", table(folder, vocabulary))
    matches = (LICENCE.match(line) for line in lines_of(folder, "noun"))
    licence = [match[1].rstrip() for match in matches if match]
    (ROOT / "dataset" / "definitions.LICENSE").write_text("\n".join([*licence, ""]), "utf-8")


if __name__ == "__main__":
    main()
