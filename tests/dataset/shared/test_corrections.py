"""Corrected labels: by id or path, to a class or out; found, corrected, trained on again."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from support import train

from trainer.core.errors import ConfigError, DataError
from trainer.dataset import Data
from trainer.dataset.csv import Csv
from trainer.dataset.digits import Digits
from trainer.dataset.digits_canvas import DigitsCanvas
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.corrections import Corrections
from trainer.report.csv_file import write_csv
from trainer.training.data_check import DataCheck

File = Callable[[str], str]


@pytest.fixture
def file(tmp_path: Path) -> File:
    """A function that writes a file of corrections."""

    def write(text: str) -> str:
        path = tmp_path / "corrections.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three classes with ten images each, and a published test split with two."""
    for split, number in {"train": 10, "test": 2}.items():
        for name in ("cat", "dog", "owl"):
            for i in range(number):
                path = tmp_path / "data" / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (4, 4), i).save(path)
    return tmp_path / "data"


def folder(tree: Path, **settings: Any) -> Data:
    return ImageFolder(root=str(tree), **settings).open(0)


def of_path(data: Data, name: str) -> int:
    paths = data.train.images.paths.tolist()  # pyright: ignore
    return next(i for i, path in enumerate(paths) if path.endswith(name))


def test_images_in_memory_are_named_by_id(file: File) -> None:
    """Splits, other labels and test labels stay; what was given remains known."""
    plain = Digits().open(0)
    first, second, third = plain.train.ids[:3].tolist()
    held, tested = plain.val.ids[0].item(), plain.test.ids[0].item()
    rows = f"id,label,drop\n{first},7,\n{second},,1\n{third},,\n{held},0,0\n{tested},1,\n"
    data = Digits(corrections=file(rows)).open(0)
    assert data.train.labels[first] == 7
    assert data.val.labels[held] == 0
    assert torch.equal(data.test.labels, plain.test.labels)
    assert torch.equal(data.test.ids, plain.test.ids)
    assert torch.equal(data.val.ids, plain.val.ids)
    assert sorted({*plain.train.ids.tolist()} - {*data.train.ids.tolist()}) == [second]
    changed = (data.train.labels != plain.train.labels).nonzero()[:, 0].tolist()
    assert changed == [first]
    assert data.given_labels is not None
    assert torch.equal(data.given_labels, plain.train.labels)
    assert data.true_labels is None  # a correction is somebody's opinion
    assert "given_labels" in data.described()
    (note,) = data.notes
    assert note.startswith("dataset.corrections: 2 labels changed, 1 example dropped by ")
    assert note.endswith("; 1 row names test examples, which stay as they are")


def test_files_are_named_by_path(tree: Path, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """From where we are, below the root, or absolute; the id beside it does not count."""
    monkeypatch.chdir(tree.parent)
    rows = "id,path,label\n"
    rows += f"999,data/train/cat/3.png,dog\n998,train/cat/4.png,2\n997,{tree}/train/owl/5.png,cat\n"
    data = folder(tree, corrections=file(rows), val_fraction=0)
    labels = data.train.labels
    assert labels[of_path(data, "train/cat/3.png")] == 1
    assert labels[of_path(data, "train/cat/4.png")] == 2
    assert labels[of_path(data, "train/owl/5.png")] == 0
    assert labels.bincount().tolist() == [9, 11, 10]


def test_a_table_of_our_own_can_be_read(tmp_path: Path) -> None:
    """With the apostrophe before a formula, and escapes of what cannot be shown."""
    for name in ("=a.png", "b\u202ec.png", "d.png"):
        for split in ("cat", "dog"):
            path = tmp_path / "data" / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4)).save(path)
    path = tmp_path / "corrections.csv"
    write_csv(path, [["path", "label"], ["=a.png", "dog"], ["b\\u202ec.png", "dog"]])
    settings = {"val_fraction": 0, "test_fraction": 0, "corrections": str(path)}
    with pytest.raises(DataError, match=r"line 2: the data set has no image '=a.png"):
        folder(tmp_path / "data", **settings)
    write_csv(path, [["path", "label"], ["cat/=a.png", "dog"], ["cat/b\\u202ec.png", "dog"]])
    found = folder(tmp_path / "data", **settings).train.labels
    assert found.bincount().tolist() == [1, 5]


def test_actions_of_a_reviewer(file: File) -> None:
    ids = Digits().open(0).train.ids[:5].tolist()
    actions = ["keep", "relabel", "drop", "Unsure", ""]
    rows = "id,path,label,action,when\n"
    rows += "".join(f"{i},,3,{action},noon\n" for i, action in zip(ids, actions, strict=True))
    plain, data = Digits().open(0), Digits(corrections=file(rows)).open(0)
    now = [data.train.labels[i].item() for i in ids]
    before = [plain.train.labels[i].item() for i in ids]
    assert now == [before[0], 3, before[2], before[3], 3]
    assert len(data.train) == len(plain.train) - 1


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("id,label\n1,3\nx,3\n", "line 3: id must be a number, got x"),
        ("id,label\n,3\n", "line 2: id must be a number, got none"),
        ("id,label\n1,3\n\n1797,3\n", "line 4: no id 1797: the training examples are 0 to 1796"),
        ("id,label\n1,eleven\n", "line 2: no class eleven among the 10"),
        ("id,label\n1,10\n", "line 2: no class 10 among the 10"),
        ("id,label\n1,3\n2,3\n1,4\n", "line 4: the same example as in line 2"),
        ("id,drop\n1,maybe\n", "line 2: drop must be one of 1, true, yes, .* got maybe"),
        ("id,action\n1,delete\n", "line 2: action must be one of keep, .* got delete"),
        ("id,action,label\n1,relabel,\n", "line 2: action is relabel, but there is no label"),
        ("id,action,drop\n1,keep,1\n", "line 2: action is keep, but drop is 1"),
        (f"id,label\n{'9' * 5000},3\n", "line 2: id must be a number, got 9{79}…"),
        (f"id,label\n1,{'9' * 5000}\n", "line 2: no class 9{79}… among the 10.$"),
        ("id,note\n1,x\n", "line 1: a column label, drop or action must say what to correct"),
        ("path,label\na.png,3\n", "line 1: examples must be named in a column id .those of"),
        ("id,label\n", "has a header and no rows"),
        ("", "dataset.corrections=.* is empty"),
    ],
)
def test_wrong_rows_are_named_by_line(file: File, rows: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        Digits(corrections=file(rows)).open(0)


def test_wrong_paths_are_named_by_line(tree: Path, file: File) -> None:
    with pytest.raises(DataError, match=r"line 3: the data set has no image train/cat/33.png"):
        folder(tree, corrections=file("path,label\ntrain/cat/3.png,dog\ntrain/cat/33.png,dog\n"))
    first = folder(tree).train.images.paths[0]  # pyright: ignore
    rows = f"id,path,label\n,{first},dog\n0,,cat\n"
    with pytest.raises(DataError, match=r"line 3: the same example as in line 2"):
        folder(tree, corrections=file(rows))
    with pytest.raises(DataError, match=r"line 2: no class dgo among the 3. Did you mean dog"):
        folder(tree, corrections=file("path,label\ntrain/cat/3.png,dgo\n"))
    with pytest.raises(DataError, match="line 1: examples must be named in a column path or id"):
        folder(tree, corrections=file("file,label\ntrain/cat/3.png,dog\n"))
    with pytest.raises(DataError, match=r"dataset.corrections=none.csv cannot be read: No such"):
        Digits(corrections="none.csv").open(0)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_bytes(b"0,1\n" * 17_000_000)
    with pytest.raises(DataError, match=r"corrections=.*\.csv is larger than 67 MB"):
        Digits(corrections=str(path)).open(0)


@pytest.mark.parametrize("name", ["=a", "'=a", "＝a", " a ", "a\nb", 'a,"b'])
def test_a_class_of_any_name_is_read_as_our_tables_write_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    write_csv(path, [["id", "label"], [0, name]])
    split = Digits().load().train
    corrections = Corrections(str(path), None, ("other", name), [split])
    assert [item.classes for item in corrections.items] == [(name,)]


def test_a_validation_split_that_is_dropped_whole_is_named(file: File) -> None:
    """Without one, a run would quietly keep the last weights instead of the best."""
    ids = Digits().open(0).val.ids.tolist()
    rows = "id,drop\n" + "".join(f"{i},1\n" for i in ids)
    with pytest.raises(DataError, match="drops all 144 examples of the validation split"):
        Digits(corrections=file(rows)).open(0)


def test_a_class_that_is_dropped_whole_is_named(tree: Path, file: File) -> None:
    rows = "path,drop\n" + "".join(f"train/owl/{i}.png,x\n" for i in range(10))
    with pytest.raises(DataError, match="leaves no training examples of class owl"):
        folder(tree, corrections=file(rows), val_fraction=0)


# With other settings


def test_label_noise_is_corrected(file: File) -> None:
    """The loop of a study: noise, found, corrected, trained on again."""
    noisy = Digits(label_noise=0.2).open(0)
    assert noisy.true_labels is not None
    wrong = (noisy.train.labels != noisy.true_labels).nonzero()[:, 0].tolist()
    rows = "id,label\n" + "".join(f"{i},{noisy.true_labels[i]}\n" for i in wrong[:100])
    data = Digits(label_noise=0.2, corrections=file(rows)).open(0)
    assert data.true_labels is not None
    left = (data.train.labels != data.true_labels).nonzero()[:, 0].tolist()
    assert left == wrong[100:]
    assert torch.equal(data.true_labels, noisy.true_labels)
    assert data.given_labels is not None
    assert torch.equal(data.given_labels, noisy.train.labels)


def test_a_subset_is_the_same_with_corrections(file: File) -> None:
    subset = Digits(subset=200).open(0)
    outside = next(i for i in range(1797) if i not in set(subset.train.ids.tolist()))
    first = subset.train.ids[0].item()
    data = Digits(subset=200, corrections=file(f"id,drop\n{first},1\n{outside},1\n")).open(0)
    assert torch.equal(data.train.ids, subset.train.ids[1:])


def test_classes_select_by_the_given_label(tree: Path, file: File) -> None:
    """A corrected label that is no longer among the classes drops the example."""
    rows = "path,label\ntrain/cat/1.png,owl\ntrain/cat/2.png,dog\ntrain/owl/3.png,cat\n"
    data = folder(tree, classes=["dog", "cat"], corrections=file(rows), val_fraction=0)
    assert data.classes == ("dog", "cat")
    assert data.train.labels[data.train.ids].bincount().tolist() == [11, 8]
    assert of_path(data, "cat/1.png") not in data.train.ids.tolist()


def test_a_threshold_class_is_drawn_from_what_is_left(file: File) -> None:
    first = Digits().open(0).train.ids[0].item()
    data = Digits(threshold_class=True, corrections=file(f"id,drop\n{first},1\n")).open(0)
    assert data.threshold == 10
    assert first not in data.train.ids.tolist()


def test_folds_are_the_same_with_corrections(file: File) -> None:
    every = [Digits(folds=3, fold=i).open(0) for i in range(3)]
    first = every[0].val.ids[0].item()
    rows = file(f"id,label\n{first},9\n")
    again = [Digits(folds=3, fold=i, corrections=rows).open(0) for i in range(3)]
    for old, new in zip(every, again, strict=True):
        assert torch.equal(old.val.ids, new.val.ids)
    assert again[0].val.labels[first] == again[1].train.labels[first] == 9


def test_an_image_with_several_labels(tmp_path: Path, file: File) -> None:
    for i in range(4):
        Image.new("L", (4, 4)).save(tmp_path / f"{i}.png")
    table = tmp_path / "labels.csv"
    table.write_text("path,label\n0.png,a\n1.png,a|b\n2.png,b\n3.png,c\n")
    settings = {"val_fraction": 0, "test_fraction": 0}
    rows = file("path,label,drop\n0.png,b;c,\n2.png,,yes\n")
    dataset = Csv(file=str(table), label_separator="|", corrections=rows, **settings)  # pyright: ignore
    data = dataset.open(0)
    assert data.train.ids.tolist() == [0, 1, 3]
    assert data.train.labels[[0, 1, 3]].int().tolist() == [[0, 1, 1], [1, 1, 0], [0, 0, 1]]


def test_masks_can_only_be_dropped(file: File) -> None:
    plain = DigitsCanvas(examples=20).open(0)
    first = plain.train.ids[0].item()
    data = DigitsCanvas(examples=20, corrections=file(f"id,drop\n{first},1\n")).open(0)
    assert len(data.train) == len(plain.train) - 1
    with pytest.raises(DataError, match="line 2: labels of type mask cannot be replaced"):
        DigitsCanvas(examples=20, corrections=file("id,label\n1,3\n")).open(0)


def test_resume_refuses_other_corrections(file: File) -> None:
    ids = Digits().open(0).train.ids[:2].tolist()
    before = DataCheck(Digits(corrections=file(f"id,label\n{ids[0]},9\n")).open(0), [])
    after = DataCheck(Digits(corrections=file(f"id,label\n{ids[0]},8\n")).open(0), [])
    dropped = DataCheck(Digits(corrections=file(f"id,drop\n{ids[0]},1\n")).open(0), [])
    with pytest.raises(ConfigError, match="changed since the checkpoint: labels;"):
        after.load_state_dict(before.state_dict())
    with pytest.raises(ConfigError, match="changed since the checkpoint: labels, splits;"):
        dropped.load_state_dict(before.state_dict())


def test_the_run_records_which_content_the_file_had(tmp_path: Path, file: File) -> None:
    path = file("id,label\n1,9\n")
    run = tmp_path / "run"
    settings = ("dataset.subset=60", "epochs=1", "model=mlp", f"dataset.corrections={path}")
    assert train(run, *settings) == 0
    recorded = yaml.safe_load((run / "config.yaml").read_text())["dataset"]
    content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert (recorded["corrections"], recorded["corrections_sha256"]) == (path, content)
    Path(path).write_text("id,label\n1,8\n")
    with pytest.raises(ConfigError, match="corrections_sha256"):
        train(run, *settings, "epochs=2", "resume=auto")
