"""Tables of synonyms."""

from pathlib import Path

import pytest

from trainer.augmentation.shared.synonyms import (
    FILE,
    SynonymIds,
    further_words,
    of_wordnet,
    synonyms_of,
)
from trainer.core.errors import DataError
from trainer.dataset.shared.words import words_of


def test_wordnets_are_single_words_without_stop_words() -> None:
    table = of_wordnet()
    assert "tree" in table["trees"] or table["trees"] == table["tree"]
    assert max(map(len, table.values())) == 4
    assert table["large"][0] == "big"
    assert not {"the", "of", "and", "is"} & set(table)
    for word, others in table.items():
        assert others
        assert word not in others
        assert all(words_of(other) == [other] for other in others)
    assert FILE.stat().st_size < 130_000


def test_a_file_has_a_word_and_its_synonyms_a_line(tmp_path: Path) -> None:
    file = tmp_path / "synonyms.txt"
    file.write_text("Big large, huge\n\nsmall\tlittle;big\nbig great large\n", "utf-8")
    found = synonyms_of(str(file), "augmentation.eda.synonyms")
    assert found == {"big": ["large", "huge", "great"], "small": ["little", "big"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("big large\nsmall\n", "line 2: a word without a synonym"),
        ("big pretty-large\n", "line 1: pretty-large is not a word"),
        ("\n", r"augmentation\.eda\.synonyms=.* has no synonyms"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "synonyms.txt"
    file.write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        synonyms_of(str(file), "augmentation.eda.synonyms")


def test_further_words_are_those_that_the_vocabulary_lacks() -> None:
    table = {"a": ["x", "b"], "b": ["w"], "q": ["v"]}
    assert further_words(table, ["a", "b"]) == ("w", "x")


def test_ids_are_those_of_the_vocabulary() -> None:
    table = SynonymIds({"a": ["x", "b", "unknown"], "b": ["x"]}, ["a", "b", "x"])
    assert table.counts.tolist() == [0, 0, 2, 1, 0]
    of_each = [
        table.ids[s : s + n].tolist() for s, n in zip(table.starts, table.counts, strict=True)
    ]
    assert of_each == [[], [], [4, 3], [4], []]
