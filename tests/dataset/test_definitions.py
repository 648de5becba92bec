"""The embedded definitions."""

import hashlib
from pathlib import Path

import pytest
import torch

from trainer.dataset import Data, definitions
from trainer.dataset.definitions import Definitions
from trainer.dataset.shared.texts import Texts
from trainer.dataset.shared.words import words_of
from trainer.storage.trained_on import TrainedOn


@pytest.fixture(scope="module")
def data() -> Data:
    return Definitions().open(0)


def words_in(data: Data, name: str) -> set[str]:
    split = getattr(data, name)
    return {word for i in split.ids.tolist() for word in split.images.words[i]}


def test_there_are_600_of_each_class(data: Data) -> None:
    assert len(data.classes) == 8
    assert data.classes[:2] == ("animal", "artifact")
    assert data.train.labels.bincount().tolist() == [600] * 8
    assert (len(data.train), len(data.val), len(data.test)) == (3600, 400, 800)
    assert data.test.labels[data.test.ids].bincount().tolist() == [100] * 8


def test_the_files_are_those_that_the_script_has_made() -> None:
    """Training on other texts must be noticed."""
    digest = hashlib.sha256(definitions.FILE.read_bytes()).hexdigest()
    assert digest.startswith("c9eaf6460a66")
    licence = Path(definitions.__file__).with_name("definitions.LICENSE").read_text()
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in licence
    assert "appear on ALL copies" in licence


def test_the_vocabulary_is_that_of_the_training_rows(data: Data) -> None:
    assert set(data.vocabulary) == words_in(data, "train")
    assert words_in(data, "test") - set(data.vocabulary)
    assert "of" in data.vocabulary[:3]  # the most frequent first


def test_it_is_smaller_where_fewer_rows_are_trained_on() -> None:
    few = Definitions(subset=100, min_count=2).open(0)
    texts = few.train.images
    assert isinstance(texts, Texts)
    assert few.vocabulary
    for word in few.vocabulary:
        assert sum(texts.words[i].count(word) for i in few.train.ids.tolist()) >= 2


def test_a_word_never_seen_in_training_is_1(data: Data) -> None:
    texts = data.test.images
    assert isinstance(texts, Texts)
    assert texts is data.train.images
    known = set(data.vocabulary)
    unseen = next(i for i in data.test.ids.tolist() if set(texts.words[i]) - known)
    ids = texts.read([unseen])[0].tolist()
    expected = [word in known for word in words_of(texts.texts[unseen])]
    assert [i > 1 for i in ids[: len(expected)]] == expected
    assert ids[len(expected) :] == [0] * (64 - len(expected))
    assert 1 not in texts.read(data.train.ids.tolist())


def test_a_finished_runs_vocabulary_is_used(data: Data, tmp_path: Path) -> None:
    """As in data.json: with its order of words, its length and its order of classes."""
    about = TrainedOn.of(data, tmp_path, data.class_counts(), task="classification", outputs=8)
    about.write(tmp_path)
    read = TrainedOn.read(tmp_path)
    assert read == about
    other = read.applied(Definitions(subset=200, max_length=9).open(1))
    assert other.vocabulary == data.vocabulary
    assert other.shape == (64,)
    row = int(other.train.ids[0])
    assert torch.equal(other.train.images.read([row]), data.train.images.read([row]))


def test_rarer_words_and_long_texts_are_cut() -> None:
    data = Definitions(max_words=50, max_length=4).open(0)
    assert len(data.vocabulary) == 50
    assert data.shape == (4,)
    assert data.train.images.read([0]).shape == (1, 4)
