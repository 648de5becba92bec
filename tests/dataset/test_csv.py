"""Tables of images and labels, as people have them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from trainer.core.errors import ConfigError, DataError
from trainer.dataset import Data
from trainer.dataset.csv import Csv

Write = Callable[..., Path]


def image(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (6, 4), value).save(path)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a table, with an image for each path `*.png` in it."""

    def make(text: str, *, encoding: str = "utf-8", images: bool = True) -> Path:
        file = tmp_path / "labels.csv"
        file.write_bytes(text.encode(encoding))
        for i, line in enumerate(text.splitlines() if images else ()):
            for cell in line.replace('"', "").replace(";", ",").replace("\t", ",").split(","):
                if cell.endswith(".png"):
                    image(tmp_path / cell.strip(), i)
        return file

    return make


def opened(file: Path, seed: int = 0, **settings: Any) -> Data:
    return Csv(file=str(file), **settings).open(seed)


def rows(number: int, classes: str = "ab") -> str:
    return "".join(f"{i:03}.png,{classes[i % len(classes)]}\n" for i in range(number))


def test_a_row_is_an_image(write: Write) -> None:
    """Ids are rows from 0, whatever split they are in; pixels are those of the file."""
    data = opened(write("path,label\n" + rows(20)))
    assert data.classes == ("a", "b")
    assert (len(data.train), len(data.val), len(data.test)) == (14, 2, 4)
    assert data.train.labels.tolist() == [0, 1] * 10
    assert data.shape == (3, 4, 4)  # auto: the short side, square
    assert data.train.images is data.val.images is data.test.images
    assert data.train.images.read([7]).unique().tolist() == [8]  # on line 9 of the table
    ids = torch.cat([data.train.ids, data.val.ids, data.test.ids])
    assert sorted(ids.tolist()) == list(range(20))


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_and_encodings(write: Write, mark: str, encoding: str, end: str) -> None:
    lines = ["path,label,note", *(f"{i}.png,{'ja' if i % 2 else 'nö'}," for i in range(8))]
    file = write(end.join(lines).replace(",", mark), encoding=encoding)
    assert opened(file).classes == ("ja", "nö")


def test_as_excel_writes_it(write: Write) -> None:
    """The line `sep=;`, quotes, a comma in a name, blank lines and a last line without an end."""
    file = write('sep=;\n"path";"label"\n', images=False)
    for name in ("a, b.png", "c.png", "d.png"):
        image(file.parent / name)
    file.write_text('sep=;\n"path";"label"\n\n"a, b.png";cat\n;\nc.png;"dog"\nd.png;cat')
    data = opened(file, val_fraction=0, test_fraction=0)
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 1, 0]


def test_names_of_columns_root_and_windows_paths(write: Write, tmp_path: Path) -> None:
    file = write("id,Datei,Art\n" + "".join(f"{i},x\\{i}.jpg,{'ab'[i % 2]}\n" for i in range(8)))
    for i in range(8):
        image(tmp_path / "bilder" / "x" / f"{i}.jpg", i)
    settings = {"root": str(tmp_path / "bilder"), "path_column": "Datei", "label_column": "Art"}
    data = opened(file, **settings)
    assert data.classes == ("a", "b")
    assert data.train.images.paths[3] == str(tmp_path / "bilder" / "x/3.jpg")  # pyright: ignore


def test_numbers_are_ordered_by_value_and_accents_composed(write: Write) -> None:
    text = "path,label\n" + "".join(f"{i}.png,{i % 12}\n" for i in range(48))
    assert opened(write(text)).classes == tuple(map(str, range(12)))
    mixed = "path,label\n" + "".join(f"{i}.png,{['é', 'é', 'o'][i % 3]}\n" for i in range(9))
    assert opened(write(mixed)).classes == ("o", "é")


def test_a_column_split(write: Write) -> None:
    names = ["train", "Training", "valid", "dev", "test", "TESTING", "train", "train"]
    text = "path,label,split\n"
    text += "".join(f"{i}.png,{'ab'[i % 2]},{name}\n" for i, name in enumerate(names))
    data = opened(write(text))
    assert [s.ids.tolist() for s in (data.train, data.val, data.test)] == [
        [0, 1, 6, 7],
        [2, 3],
        [4, 5],
    ]


def test_without_rows_for_val_it_is_cut_from_train(write: Write) -> None:
    text = "path,label,split\n"
    text += "".join(f"{i}.png,{'ab'[i % 2]},{'test' if i > 9 else 'train'}\n" for i in range(12))
    data = opened(write(text), val_fraction=0.2)
    assert data.test.ids.tolist() == [10, 11]
    assert len(data.val) == 2


def test_true_labels_are_for_reports_alone(write: Write) -> None:
    text = "path,label,true_label\n"
    text += "".join(f"{i}.png,{'ab'[i % 2]},{'a' if i == 3 else 'ab'[i % 2]}\n" for i in range(8))
    data = opened(write(text))
    assert data.train.labels.tolist() == [0, 1] * 4
    assert data.true_labels is not None
    assert data.true_labels.tolist() == [0, 1, 0, 0, 0, 1, 0, 1]
    kept = opened(write(text), classes=["b", "a"]).true_labels
    assert kept is not None
    assert kept.tolist() == [1, 0, 1, 1, 1, 0, 1, 0]


def test_classes_leave_the_other_files_unread(write: Write, tmp_path: Path) -> None:
    file = write("path,label\n" + rows(12, "abc"))
    (tmp_path / "001.png").write_bytes(b"damaged")  # of class b
    data = opened(file, classes=["c", "a"], corrupt="skip")
    assert data.classes == ("c", "a")
    assert len(data.train.images) == 8
    assert data.train.labels.tolist() == [1, 0] * 4


def test_unreadable_files_are_left_out_with_all_that_is_theirs(
    write: Write, tmp_path: Path
) -> None:
    text = "path,label,group,true_label\n"
    text += "".join(f"{i:03}.png,{'ab'[i % 2]},g{i % 20},a\n" for i in range(200))
    file = write(text)
    (tmp_path / "007.png").write_bytes(b"damaged")
    data = opened(file, corrupt="skip", val_fraction=0.2)
    assert len(data.train.images) == len(data.train.labels) == 199
    assert data.train.groups is not None
    assert data.true_labels is not None
    assert data.groups[int(data.train.groups[7])] == "g8"
    assert len(data.train.groups) == len(data.true_labels) == 199
    assert data.train.images.skipped == [str(tmp_path / "007.png")]  # pyright: ignore


# Several labels for an image


def test_labels_with_a_separator(write: Write) -> None:
    """An image may have no label at all."""
    text = 'path,label\n0.png,"dog; car"\n1.png,car\n2.png,\n3.png,dog;\n'
    data = opened(write(text), label_separator=";", val_fraction=0, test_fraction=0)
    assert data.classes == ("car", "dog")
    assert data.target == "multilabel"
    assert data.train.labels.dtype == torch.bool
    assert data.train.labels.int().tolist() == [[1, 1], [1, 0], [0, 0], [0, 1]]
    assert data.class_counts().tolist() == [2, 2]


def test_labels_in_several_columns(write: Write) -> None:
    """Classes are in the order of the columns listed."""
    text = "path,dog,sun,car\n" + "".join(
        f"{i}.png,{i % 2},0,{'True' if i % 3 else '0.0'}\n" for i in range(12)
    )
    data = opened(write(text), label_column=["dog", "car"])
    assert data.classes == ("dog", "car")
    assert data.train.labels.int().tolist() == [[i % 2, int(i % 3 > 0)] for i in range(12)]
    sets = [tuple(data.test.labels[i].tolist()) for i in data.test.ids]
    assert len(set(sets)) == 2  # of 12, a test split of 2: stratified by the set of classes
    chosen = opened(write(text), label_column=["dog", "car"], classes=["car"] * 1 + ["dog"])
    assert chosen.classes == ("car", "dog")
    assert torch.equal(chosen.train.labels, data.train.labels.flip(1))


# Errors


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("path,label\n0.png,a\n1.png\n", {}, "line 3: 1 cell, but the header has 2 columns"),
        ("path,label\n0.png,a\n,b\n", {}, "line 3: column path is empty"),
        ("path,label\n0.png,a\n\n1.png,\n", {}, "line 4: column label is empty"),
        ('path,label\n"0.png",a\n"1.png,b\n', {}, "line 3: unexpected end of data"),
        ("path,label\n0.png,a\n1.png,b\n0.png,b\n", {}, "line 4: 0.png is in line 2, too"),
        ("path,label\n0.png,a\n1.png,a\n", {}, "every training row has the label a"),
        ("path,lable\n0.png,a\n", {}, "no column label .dataset.label_column.. Did you mean lable"),
        (
            "file,label\n0.png,a\n",
            {},
            "no column path .dataset.path_column...*Columns: file, label",
        ),
        ("path,path,label\n0.png,0.png,a\n", {}, "line 1: two columns are called path"),
        (
            "path,label,split\n0.png,a,trian\n",
            {},
            "line 2: split must be train, val or test.*trian",
        ),
        ("path,label,split\n0.png,a,test\n", {}, "no row has train in the column split"),
        (
            "path,label,split\n0.png,cat,train\n1.png,dog,train\n2.png,cta,val\n",
            {},
            "line 4: label is 'cta', which no training row has.* Did you mean cat",
        ),
        ("path,label,true_label\n0.png,a,a\n1.png,b,x\n", {}, "line 3: true_label is 'x'"),
        ("path,label,group\n0.png,a,g\n1.png,b,\n", {}, "line 3: column group is empty"),
        (
            "path,label\n0.png,a\n1.png,b\n",
            {"group": "patient"},
            "no column patient .dataset.group",
        ),
        (
            "path,dog,car\n0.png,0,1\n1.png,1,2\n",
            {"label_column": ["dog", "car"]},
            "line 3: column car must be 0 or 1, got '2'",
        ),
        ("path,label\n", {}, "has a header and no rows"),
        ("", {}, "dataset.file=.*labels.csv is empty"),
        ("\ufeff\n\n", {}, "dataset.file=.*labels.csv is empty"),
    ],
)
def test_wrong_rows_are_named_by_line(
    write: Write, text: str, settings: dict[str, Any], expected: str
) -> None:
    with pytest.raises(DataError, match=expected) as error:
        opened(write(text), **settings)
    assert "\n" not in str(error.value)


def test_other_encodings_are_named(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: byte 0xe9 is not UTF-8"):
        opened(write("path,label\n0.png,a\n1.png,é\n", encoding="latin-1"))
    with pytest.raises(DataError, match="is UTF-16; save it as CSV in UTF-8"):
        opened(write("path,label\n0.png,a\n", encoding="utf-16"))
    with pytest.raises(DataError, match=r"dataset.file=.* cannot be read: No such file"):
        opened(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"dataset.file=.* cannot be read: .*a folder, not a file"):
        opened(tmp_path)


def test_missing_files_are_listed_the_first_ten(write: Write, tmp_path: Path) -> None:
    file = write("path,label\n" + rows(20))
    for i in range(2, 15):
        (tmp_path / f"{i:03}.png").unlink()
    with pytest.raises(DataError) as error:
        opened(file)
    text = str(error.value)
    assert text.startswith("13 of 20 files that ")
    assert "002.png (line 4), 003.png (line 5)" in text
    assert "011.png (line 13) and 3 more; set dataset.root" in text
    assert "012.png" not in text
    assert error.value.exit_code == 3


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"label_column": []}, "dataset.label_column must name a column"),
        ({"label_separator": ""}, "dataset.label_separator must have a character"),
        (
            {"label_separator": ";", "label_column": ["a", "b"]},
            "dataset.label_separator=; is for labels in one column, but .* lists 2",
        ),
        ({"channels": 2}, "dataset.channels must be 1 or 3"),
        ({"size": 0}, "dataset.size must be"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Csv(**settings)


def test_true_labels_of_several_labels_are_refused(write: Write) -> None:
    with pytest.raises(DataError, match="line 1: true_label needs one label for each image"):
        opened(write("path,label,true_label\n0.png,a;b,a\n1.png,b,b\n"), label_separator=";")


def test_degradations_of_several_labels_are_refused(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"dataset.label_noise=.* needs a class label per image"):
        opened(write("path,label\n" + rows(20)), label_separator=";", label_noise=0.1)
