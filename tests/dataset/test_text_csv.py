"""Tables of texts and labels, as people have them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.core.errors import ConfigError, DataError
from trainer.dataset import Data
from trainer.dataset.shared.texts import Texts
from trainer.dataset.text_csv import TextCsv

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(text: str, name: str = "texts.csv", encoding: str = "utf-8") -> Path:
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return make


def opened(file: Path, **settings: Any) -> Data:
    return TextCsv(file=str(file), **settings).open(0)


def rows(number: int, classes: str = "ab", word: str = "word") -> str:
    return "".join(f"{word}{i} text,{classes[i % len(classes)]}\n" for i in range(number))


def texts_of(data: Data) -> Texts:
    assert isinstance(data.train.images, Texts)
    return data.train.images


def test_a_row_is_a_text(write: Write) -> None:
    data = opened(write("text,label\n" + rows(20)))
    assert data.classes == ("a", "b")
    assert (len(data.train), len(data.val), len(data.test)) == (14, 2, 4)
    assert data.shape == (64,)
    assert data.kind == "text"
    assert texts_of(data).texts[7] == "word7 text"
    assert set(data.vocabulary) == {"text", *(f"word{i}" for i in data.train.ids.tolist())}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_quotes_line_breaks_and_marks_inside_a_field(write: Write, mark: str, encoding: str):
    table = f'label{mark}text\na{mark}"He said ""no"",\nand; left"\nb{mark}Straße café\n' + "".join(
        f"{c}{mark}text\n" for c in "abab"
    )
    data = opened(write(table, encoding=encoding), test_fraction=0.0, val_fraction=0.0)
    assert texts_of(data).words[:2] == [["he", "said", "no", "and", "left"], ["straße", "café"]]
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_a_column_split_and_files_of_their_own(write: Write) -> None:
    table = write("text,label,split\none,a,train\ntwo,b,train\nthree,a,dev\nfour,b,test\n")
    data = opened(table)
    assert [s.ids.tolist() for s in (data.train, data.val, data.test)] == [[0, 1], [2], [3]]
    assert set(data.vocabulary) == {"one", "two"}
    train = write("text,label\none,a\ntwo,b\n", "train.csv")
    test = write("text,label\ntwo,b\nthree,a\n", "test.csv")
    data = opened(train, test_file=str(test), val_file=str(test))
    assert data.test.images.read([0, 1])[:, 0].tolist() == [3, 1]
    assert data.test.labels.tolist() == [1, 0]
    assert data.train.images is not data.test.images


def test_capitals_in_the_names_of_columns_do_not_matter(write: Write) -> None:
    """An exact name goes before another; by `Split`, no test text would be trained on."""
    data = opened(write("Text;text;LABEL;Split\nno;one;a;train\nno;two;b;train\nno;x;a;test\n"))
    assert [s.ids.tolist() for s in (data.train, data.val, data.test)] == [[0, 1], [], [2]]
    assert set(data.vocabulary) == {"one", "two"}


def test_groups_stay_whole_and_true_labels_are_kept(write: Write) -> None:
    lines = "".join(f"text {i},{'ab'[i % 2]},b,{i // 4}\n" for i in range(40))
    data = opened(write("text,label,true_label,group\n" + lines))
    assert data.groups == tuple(sorted(map(str, range(10))))
    assert data.true_labels is not None
    assert data.true_labels.tolist() == [1] * 40
    assert data.train.groups is not None
    kept, held = ({s.groups[i].item() for i in s.ids} for s in (data.train, data.test))
    assert not kept & held


def test_folds_join_a_validation_file(write: Write) -> None:
    train = write("text,label\n" + rows(6), "train.csv")
    val = write("text,label\n" + rows(2, word="new"), "val.csv")
    data = opened(train, val_file=str(val), test_fraction=0.0, folds=4, fold=0)
    assert len(texts_of(data)) == 8
    assert len(data.val) == 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("text,label\nfine,a\n,b\n", "line 3: column text is empty"),
        ("text,label\nfine,a\nfine,\n", "line 3: column label is empty"),
        ('text,label\n"two\nlines",a\nx,b,c\n', "line 4: 3 cells"),
        ('text,label\nfine,a\n"open,b\n', "line 3"),
        ("text,label,split\nx,a,train\ny,b,train\nz,c,test\n", "line 4: label is 'c'"),
        ("text,label,split\nx,a,train\ny,b,nowhere\n", "line 3: split must be"),
        ("txt,label\nx,a\ny,b\n", "no column text .*Did you mean txt"),
        ("text,label\nx,a\ny,a\n", "every training row has the label a"),
        ("text,label\n", "a header and no rows"),
        ("\n\n", "is empty; its first line names the columns"),
        ("text,label\nx,a\nb\0c,b\n", "line 3: byte 0x00 is not text; save the file as CSV"),
        (
            f"text,label\nx,a\n{'w ' * 70_000},b\n",
            "line 3: a cell has more than 131,072",
        ),
        ('"text,label\nx,a\n', "line 1: unexpected end of data"),
        ("text,text,label\nx,y,a\nx,y,b\n", "line 1: two columns are called text"),
        ("Text,TEXT,label\nx,y,a\nx,y,b\n", "line 1: two columns are called TEXT, Text"),
        ("text,lab\nx,a\ny,b\n", "no column label .*Did you mean lab"),
        ("text,label\n!!,a\n??,b\n", r"no word stands dataset\.min_count=1 times"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(write: Write, table: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(write(table), test_fraction=0.0, val_fraction=0.0)


def test_other_mistakes(write: Write, tmp_path: Path) -> None:
    table = write("text,label,split\nx,a,train\ny,b,test\n")
    with pytest.raises(DataError, match=r"line 3: split is test, but there is dataset\.test_file"):
        opened(table, test_file=str(table))
    with pytest.raises(DataError, match=r"dataset\.test_file=.* cannot be read"):
        opened(write("text,label\nx,a\ny,b\n"), test_file=str(tmp_path / "absent.csv"))
    with pytest.raises(DataError, match="line 2: byte 0xe9 is not UTF-8"):
        opened(write("text,label\ncafé,a\n", encoding="latin-1"))
    with pytest.raises(DataError, match="is UTF-16; save it as CSV in UTF-8"):
        opened(write("text,label\ncafé,a\n", encoding="utf-16"))
    with pytest.raises(DataError, match="line 1: byte 0x00 is not text"):
        opened(write("text,label\nfine,a\n", encoding="utf-16-le"))
    os.truncate(write("text,label\nfine,a\n"), 2**36)  # of zeros that take no room
    with pytest.raises(DataError, match="line 3: byte 0x00 is not text"):
        opened(tmp_path / "texts.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"dataset\.file=.* cannot be read: not a regular file"):
        opened(tmp_path / "pipe.csv")


@pytest.mark.parametrize("setting", ["max_length", "min_count", "max_words"])
def test_bad_settings_are_named(setting: str) -> None:
    with pytest.raises(ValueError, match=rf"dataset\.{setting} must be in \[1, .*, got 0"):
        TextCsv(**{setting: 0})
    with pytest.raises(ValueError, match=r"dataset\.max_length must be in \[1, 1048576\], got 2"):
        TextCsv(max_length=2**21)
    with pytest.raises(ValueError, match=r"dataset\.noise_type=instance is for images"):
        TextCsv(noise_type="instance")


def test_class_noise_subsets_and_classes_work_as_for_images(write: Write) -> None:
    data = opened(write("text,label\n" + rows(60, "abc")), subset=12, label_noise=0.5)
    assert len(data.train) == 12
    assert data.true_labels is not None
    two = opened(write("text,label\n" + rows(60, "abc")), classes=["c", "a"])
    assert two.classes == ("c", "a")
    with pytest.raises(ConfigError):
        opened(write("text,label\n" + rows(60, "abc")), classes=["zebra", "a"])


def test_a_single_word_will_do(write: Write) -> None:
    data = opened(write("text,label\n" + rows(20)), max_words=1, max_length=1)
    assert data.shape == (1,)
    assert len(data.vocabulary) == 1
    assert data.train.images.read(range(20)).shape == (20, 1)
