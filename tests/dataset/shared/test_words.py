"""Words, vocabularies, and texts as word ids."""

import pytest
import torch

from trainer.dataset.shared.texts import Texts
from trainer.dataset.shared.words import read_back, vocabulary_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A small, RED fish!", ["a", "small", "red", "fish"]),
        ("don’t 'quote' o'clock's", ["don't", "quote", "o'clock's"]),
        ("heart-shaped\nfruit_tree\t3.5", ["heart", "shaped", "fruit", "tree", "3", "5"]),
        ("Cafe\u0301 Ünïcode 日本", ["café", "ünïcode", "日本"]),
        (" ?! ", []),
    ],
)
def test_a_word_is_a_run_of_letters_and_digits(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_a_vocabulary_has_the_most_frequent_words_first_then_by_name() -> None:
    texts = [["b", "a", "c"], ["c", "b"], ["c", "d"]]
    assert vocabulary_of(texts, min_count=1, max_words=9) == ("c", "b", "a", "d")
    assert vocabulary_of(texts, min_count=2, max_words=9) == ("c", "b")
    assert vocabulary_of(texts, min_count=1, max_words=3) == ("c", "b", "a")


def test_word_ids_are_padded_cut_and_1_for_an_unknown_word() -> None:
    texts = Texts(["a b", "b zebra a", ""], 2, ("a", "b"))
    assert texts.word_ids.tolist() == [[2, 3], [3, 1], [0, 0]]
    assert texts.word_ids.dtype == torch.int32
    assert texts.read([2, 0]).tolist() == [[0, 0], [2, 3]]
    assert read_back(texts.word_ids.tolist(), texts.vocabulary) == ["a b", "b ?", ""]


def test_another_vocabulary_leaves_the_first_as_it_was() -> None:
    texts = Texts(["a b"], 2, ("a", "b"))
    before = texts.word_ids.clone()
    other = texts.encoded(("b",), 3)
    assert other.word_ids.tolist() == [[1, 2, 0]]
    assert texts.word_ids.equal(before)
    assert texts.shape == (2,)
    assert other.shape == (3,)
