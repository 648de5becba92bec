"""Base of the data sets of texts."""

from dataclasses import dataclass, replace

from trainer.core.errors import DataError
from trainer.core.ranges import within
from trainer.dataset.base import Data, Dataset, Split
from trainer.dataset.shared.texts import Texts
from trainer.dataset.shared.words import vocabulary_of

LONGEST = 2**20  # words of a text: each text takes 4 bytes a word


@dataclass(kw_only=True)
class TextDataset(Dataset):
    """Texts of at most `max_length` words, numbered by a vocabulary of the training rows alone.

    The vocabulary is made when the splits are cut and degraded: the `max_words` most frequent of
    the words that stand at least `min_count` times in the training split.
    """

    max_length: int = 64
    min_count: int = 1
    max_words: int = 20000

    def __post_init__(self) -> None:
        super().__post_init__()
        within("dataset.max_length", self.max_length, f"[1, {LONGEST}]")
        within("dataset.min_count", self.min_count, "[1, inf)")
        within("dataset.max_words", self.max_words, "[1, inf)")
        if self.noise_type == "instance":
            raise ValueError(
                "dataset.noise_type=instance is for images; of texts, take symmetric or pairwise"
            )

    def finished(self, train: Split, val: Split, test: Split) -> tuple[Split, Split, Split]:
        """The splits, their texts numbered by the words of the training split.

        Raises DataError where it has none.
        """
        source = train.images
        assert isinstance(source, Texts)  # noqa: S101  (load)
        vocabulary = vocabulary_of(
            (source.words[row][: self.max_length] for row in train.ids.tolist()),
            min_count=self.min_count,
            max_words=self.max_words,
        )
        if not vocabulary:
            raise DataError(
                f"no word stands dataset.min_count={self.min_count} times or more in the training "
                "texts; a word is a run of letters and digits"
            )
        return encoded((train, val, test), vocabulary, self.max_length)


def encoded(
    splits: tuple[Split, Split, Split], vocabulary: tuple[str, ...], length: int
) -> tuple[Split, Split, Split]:
    """Splits of texts by a vocabulary; those of one source still share one."""
    made: dict[int, Texts] = {}

    def of(split: Split) -> Split:
        images = split.images
        if isinstance(images, Texts) and id(images) not in made:
            made[id(images)] = images.encoded(vocabulary, length)
        return replace(split, images=made.get(id(images), images))

    train, val, test = map(of, splits)
    return train, val, test


def with_vocabulary(data: Data, vocabulary: tuple[str, ...], length: int) -> Data:
    """Texts by another vocabulary, such as that of a finished run."""
    source = data.train.images
    if isinstance(source, Texts) and (source.vocabulary, source.shape) == (vocabulary, (length,)):
        return data
    train, val, test = encoded((data.train, data.val, data.test), vocabulary, length)
    return replace(data, train=train, val=val, test=test)
