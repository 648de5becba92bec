"""Words of a text, and a vocabulary that numbers them.

The rule: the text is composed (NFC) and lower-cased; a word is a run of letters and digits, with
single apostrophes inside it (`don't`). Everything else separates words.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

PADDING, UNKNOWN = 0, 1  # numbers that stand for no word, and for one without a number
FIRST = 2  # number of a vocabulary's first word

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    return WORD.findall(unicodedata.normalize("NFC", text).lower().replace("’", "'"))


def vocabulary_of(
    texts: Iterable[Sequence[str]], *, min_count: int, max_words: int
) -> tuple[str, ...]:
    """The words that stand at least `min_count` times in texts, the most frequent first.

    Words as frequent as each other are in alphabetical order; of more than `max_words`, the first
    are kept.
    """
    counts = Counter(word for words in texts for word in words)
    kept = [word for word, number in counts.items() if number >= min_count]
    return tuple(sorted(kept, key=lambda word: (-counts[word], word))[:max_words])


def word_ids(vocabulary: Sequence[str]) -> int:
    """How many word ids there are: those of a vocabulary, and the two that are no word."""
    return FIRST + len(vocabulary)


def read_back(ids: Sequence[Sequence[int]], vocabulary: Sequence[str]) -> list[str]:
    """The words of texts, given as word ids, with spaces between them; `?` has no number."""
    words = ["", "?", *vocabulary]
    return [" ".join(words[i] for i in row if i != PADDING) for row in ids]


def numbered(vocabulary: Sequence[str]) -> Mapping[str, int]:
    """The number of each word of a vocabulary."""
    return {word: number for number, word in enumerate(vocabulary, FIRST)}
