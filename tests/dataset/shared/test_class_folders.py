"""Which folders are classes and splits, and which files are images."""

import os
import unicodedata
from pathlib import Path

import pytest
import torch
from PIL import Image
from support import train

from trainer.core.errors import ConfigError, DataError
from trainer.dataset import Data
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.class_folders import ImageList

CAFE = "café"
DECOMPOSED = unicodedata.normalize("NFD", CAFE)


def image(path: Path, value: int = 0, size: tuple[int, int] = (4, 4), name: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path, name)
    return path


def classes(root: Path, *names: str, number: int = 10) -> Path:
    for name in names:
        for i in range(number):
            image(root / name / f"{i}.png", i)
    return root


def opened(root: Path, **settings: object) -> Data:
    return ImageFolder(root=str(root), **settings).open(0)  # pyright: ignore


# One class


def test_a_root_one_level_too_high_is_refused_with_what_was_found(tmp_path: Path) -> None:
    classes(tmp_path / "photos", "a", "b")
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    assert str(caught.value) == (
        f"dataset.root: {tmp_path} has a single class folder, photos, which holds 2 folders (a, b) "
        "and 0 images; classification needs two classes or more: give the folder that contains "
        "the class folders"
    )


def test_a_root_one_level_too_low_is_refused_with_what_was_found(tmp_path: Path) -> None:
    classes(tmp_path, "a", "b")
    with pytest.raises(DataError, match=r"a has no class folders; .* found no folders and 10 "):
        opened(tmp_path / "a")


def test_a_single_class_is_refused_whatever_chose_it(tmp_path: Path) -> None:
    classes(tmp_path / "one", "a")
    with pytest.raises(DataError, match="single class folder, a, which holds no folders and 10"):
        opened(tmp_path / "one")
    classes(tmp_path / "train", "a")
    classes(tmp_path / "test", "a")
    (tmp_path / "one").rename(tmp_path / "train" / ".one")
    with pytest.raises(DataError, match="train has a single class folder, a"):
        opened(tmp_path)
    classes(tmp_path / "two", "a", "b")
    with pytest.raises(DataError, match=r"dataset\.classes=\[a\] leaves one class"):
        opened(tmp_path / "two", classes=["a"])


# Splits


def test_a_class_named_train_is_a_class(tmp_path: Path) -> None:
    classes(tmp_path, "bus", "plane", "train")
    assert opened(tmp_path).classes == ("bus", "plane", "train")
    classes(tmp_path / "train", "steam", "electric")  # its photographs in folders
    data = opened(tmp_path)
    assert data.classes == ("bus", "plane", "train")
    assert len(data.train.labels) == 50
    classes(tmp_path, "val")  # a class as well: it holds no folders
    assert opened(tmp_path).classes == ("bus", "plane", "train", "val")


@pytest.mark.parametrize("other", ["val", "test"])
def test_train_and_another_that_hold_class_folders_are_splits(tmp_path: Path, other: str) -> None:
    classes(tmp_path / "train", "a", "b")
    classes(tmp_path / other, "a", "b", number=3)
    classes(tmp_path, "annotations")
    data = opened(tmp_path)
    assert data.classes == ("a", "b")
    assert len(data.val if other == "val" else data.test) == 6


def test_a_test_folder_without_classes_does_not_make_splits_classes(tmp_path: Path) -> None:
    classes(tmp_path / "train", "a", "b")
    classes(tmp_path, "test")
    with pytest.raises(DataError, match=r"test has no class folders; .* and 10 images"):
        opened(tmp_path)


@pytest.mark.parametrize("names", [("training", "holdout"), ("train", "fold2")])
def test_splits_by_other_names_are_not_taken_for_classes(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    for name in names:
        classes(tmp_path / name, "a", "b")
    with pytest.raises(DataError, match=r"with the same class folders; call .* train, val and"):
        opened(tmp_path)


@pytest.mark.parametrize("train", ["train", "training", "Train"])
@pytest.mark.parametrize(
    ("other", "split"),
    [("valid", "val"), ("validation", "val"), ("dev", "val"), ("Val", "val"), ("testing", "test")],
)
def test_usual_names_of_splits_are_known(
    tmp_path: Path, train: str, other: str, split: str
) -> None:
    classes(tmp_path / train, "a", "b")
    classes(tmp_path / other, "a", "b", number=3)
    data = opened(tmp_path)
    assert data.classes == ("a", "b")
    assert len(getattr(data, split)) == 6


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train", "val", "dev"), "has 2 folders for val: dev and val; merge them"),
        (("train", "test", "testing"), "has 2 folders for test: test and testing; merge them"),
    ],
)
def test_two_folders_of_one_split_are_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    for name in names:
        classes(tmp_path / name, "a", "b")
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_siblings_that_look_like_a_split_and_are_not_used_are_named(tmp_path: Path) -> None:
    for name in ("train", "val", "holdout", "fold2"):
        classes(tmp_path / name, "a", "b")
    classes(tmp_path, "annotations")
    assert opened(tmp_path).notes == (
        "dataset.root: not used, though they look like splits: fold2, holdout; the splits are "
        "called train, val and test",
    )


# Links


def test_a_linked_folder_is_followed_once(tmp_path: Path) -> None:
    root = classes(tmp_path / "photos", "a", "b")
    classes(tmp_path, "elsewhere", number=3)
    (root / "a" / "deep").mkdir()
    for name in ("a/link", "a/deep/again"):
        (root / name).symlink_to(tmp_path / "elsewhere")
    data = opened(root)
    assert len(data.train.labels) == 23
    assert data.train.images.paths[10] == str(root / "a" / "link" / "0.png")  # pyright: ignore
    assert data.notes == (f"dataset.root: 1 file (1 linked twice) of {root} left out",)


def test_a_link_to_a_folder_of_the_class_adds_nothing(tmp_path: Path) -> None:
    root = classes(tmp_path, "a", "b")
    image(root / "a" / "z" / "x.png")
    (root / "a" / "alias").symlink_to("z")
    listed = ImageList(root / "a")
    assert len(listed.paths) == 11
    assert listed.paths[-1] == str(root / "a" / "z" / "x.png")


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_that_leads_back_is_not_followed(tmp_path: Path, target: str) -> None:
    """Or the images of class b would also be class a's."""
    root = classes(tmp_path / "photos", "a", "b")
    (root / "a" / "deep").mkdir()
    (root / "a" / "deep" / "loop").symlink_to(target)
    (root / "a" / "loop").symlink_to(target)
    data = opened(root)
    assert len(data.train.labels) == 20
    assert data.notes == (f"dataset.root: 2 files (2 linked in a circle) of {root} left out",)


def test_links_between_outer_folders_end(tmp_path: Path) -> None:
    root = classes(tmp_path / "photos", "a", "b")
    for name, other in (("x", "y"), ("y", "x")):
        image(tmp_path / name / "0.png")
        (tmp_path / name / "other").symlink_to(tmp_path / other)
    (root / "a" / "x").symlink_to(tmp_path / "x")
    (root / "a" / "self").symlink_to("self")
    assert len(opened(root).train.labels) == 22


def test_a_linked_class_folder_is_a_class(tmp_path: Path) -> None:
    root = classes(tmp_path / "photos", "a")
    classes(tmp_path, "elsewhere")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    assert opened(root).classes == ("a", "b")


def test_files_and_folders_are_listed_in_the_order_of_their_names(tmp_path: Path) -> None:
    """That of each part of the path: a folder stands between the files of the one it lies in."""
    names = ("b.png", "b/z.png", "b/a.PNG", "b-c.png", "b.a/x.png", "B/x.png", "a/d/e.jpg", "é.png")
    outside = tmp_path / "outside"
    for path in (*(tmp_path / "all" / name for name in names), outside / "x.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "all" / "b.link").symlink_to(outside)
    (tmp_path / "all" / "b.o.png").symlink_to(outside / "x.png")
    os.mkfifo(tmp_path / "all" / "b" / "m.png")
    (tmp_path / "all" / "c.png").mkdir()
    (tmp_path / "all" / "c.png" / "SUBX.PNG").touch()
    added = ("b.link/x.png", "b.o.png", "b/m.png", "c.png/SUBX.PNG")
    wanted = sorted((*names, *added), key=lambda name: name.split("/"))
    assert ImageList(tmp_path / "all").paths == [str(tmp_path / "all" / name) for name in wanted]


# What is left out


def test_hidden_files_and_folders_are_left_out_at_any_depth(tmp_path: Path) -> None:
    root = classes(tmp_path, "a", "b")
    for name in ("._0.png", ".DS_Store", "deep/._1.png", ".thumbs/x.png", "@eaDir/x.png"):
        path = root / "a" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no image")
    for name in (".git", "__MACOSX"):
        (root / name).mkdir()
    data = opened(root)
    assert len(data.train.labels) == 20
    assert data.classes == ("a", "b")
    assert data.notes == (f"dataset.root: 5 files (5 hidden) of {root} left out",)


def test_what_is_left_out_is_counted_in_a_line(tmp_path: Path) -> None:
    root = classes(tmp_path, "a", "b")
    image(root / "a" / "x.jfif", name="JPEG")
    for i, name in enumerate(("jp2", "JP2", "jp2", "avif", "txt", "\x1b[31m")):
        (root / "b" / f"{i}.{name}").write_bytes(b"x")
    (root / "b" / "README").write_bytes(b"x")
    (root / "b" / ".x").write_bytes(b"x")
    data = opened(root)
    assert len(data.train.labels) == 21
    (note,) = data.notes
    assert note.isprintable()
    assert note.startswith("dataset.root: 8 files (3 .jp2, 1 ")
    assert note.endswith(f"1 other) of {root} left out")
    assert opened(classes(tmp_path / "tidy", "a", "b")).notes == ()


def test_a_class_without_images_says_what_it_has(tmp_path: Path) -> None:
    root = classes(tmp_path, "a", "b")
    (root / "c").mkdir()
    (root / "c" / "x.jp2").write_bytes(b"x")
    with pytest.raises(DataError, match=r"c has no images .*, but 1 file \(1 \.jp2\); remove"):
        opened(root)


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = classes(tmp_path, "a", "b")
    (root / "b" / "locked").mkdir()
    scan = os.scandir

    def locked(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr("os.scandir", locked)
    with pytest.raises(DataError, match=r"cannot list the folder .*b/locked: Permission denied"):
        opened(root)
    classes(root, "c")
    assert opened(root, classes=["a", "c"]).classes == ("a", "c")


# Names


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    classes(tmp_path / "train", CAFE, "b")
    classes(tmp_path / "test", DECOMPOSED, "b", number=2)
    data = opened(tmp_path)
    assert data.classes == ("b", CAFE)
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    for name in (CAFE, DECOMPOSED):
        assert opened(tmp_path, classes=[name, "b"]).classes == (CAFE, "b")


def test_both_in_one_folder_are_refused(tmp_path: Path) -> None:
    classes(tmp_path, CAFE, DECOMPOSED, "b")
    if len(os.listdir(tmp_path)) == 2:  # noqa: PTH208
        pytest.skip("this file system makes them one folder")
    with pytest.raises(DataError, match="have the name café, one composed and one decomposed"):
        opened(tmp_path)


def test_a_name_that_is_not_utf_8_is_refused_and_shown(tmp_path: Path) -> None:
    root = classes(tmp_path, "a", "b")
    (root / "b").rename(Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")))
    with pytest.raises(DataError, match=r"caf\\udce9 is not UTF-8; rename it"):
        opened(root)


def test_files_by_any_name_are_read(tmp_path: Path) -> None:
    root = classes(tmp_path, "a", "b")
    for name in (b"caf\xe9", b"\x1b[31m", b"[red]", b"a\nb"):
        path = os.fsencode(root / "b") + b"/x" + name + b".png"
        (root / "b" / "0.png").rename(os.fsdecode(path))
        image(root / "b" / "0.png", 0)
    images = opened(root).train.images
    assert len(images.read(range(24))) == 24


# Some of the classes


def test_a_class_left_out_sets_no_size_and_is_not_read(tmp_path: Path) -> None:
    root = classes(tmp_path, "a", "b", "c")
    image(root / "a" / "0.png", size=(9, 7))
    (root / "a" / "1.png").write_bytes(b"damaged")
    data = opened(root, classes=["c", "b"], val_fraction=0.2, test_fraction=0.2)
    assert data.shape == (3, 4, 4)
    assert len(data.train.images) == 20
    assert data.train.images.read(range(20)).shape == (20, 3, 4, 4)
    assert data.classes == ("c", "b")
    for split in (data.train, data.val, data.test):
        for i in split.ids.tolist():
            name = Path(str(split.images.paths[i])).parent.name  # pyright: ignore
            assert name == data.classes[split.labels[i]]
    assert data.train.images is data.val.images is data.test.images


def names(data: Data, which: str) -> set[str]:
    split = getattr(data, which)
    return {str(split.images.paths[i]) for i in split.ids.tolist()}


def test_the_files_of_a_split_are_those_of_the_split_of_all(tmp_path: Path) -> None:
    root = classes(tmp_path, "a", "b", "c")
    every, some = opened(root), opened(root, classes=["b", "c"])
    for which in ("train", "val", "test"):
        wanted = {path for path in names(every, which) if "/a/" not in path}
        assert names(some, which) == wanted != set()


@pytest.mark.parametrize("corrupt", ["raise", "skip"])
def test_damaged_files_of_other_classes_do_not_count(tmp_path: Path, corrupt: str) -> None:
    root = classes(tmp_path, "a", "b", "c", number=60)
    for i in range(20):
        (root / "a" / f"{i}.png").write_bytes(b"damaged")
    if corrupt == "skip":
        (root / "b" / "3.png").write_bytes(b"damaged")
    data = opened(root, corrupt=corrupt, classes=["b", "c"])
    skipped = [str(root / "b" / "3.png")] if corrupt == "skip" else []
    assert data.train.images.skipped == skipped  # pyright: ignore
    assert len(data.train.images) == 120 - len(skipped)
    assert len(data.train) + len(data.val) + len(data.test) == 120 - len(skipped)


def test_an_empty_or_unknown_folder_of_another_class_does_not_count(tmp_path: Path) -> None:
    classes(tmp_path / "train", "a", "b")
    classes(tmp_path / "test", "a", "b", "new")
    (tmp_path / "train" / "empty").mkdir()
    data = opened(tmp_path, classes=["a", "b"])
    assert (len(data.train), len(data.test)) == (18, 20)
    with pytest.raises(ConfigError, match="no class c among"):
        opened(tmp_path, classes=["a", "c"])


def test_a_fifo_among_the_images_is_named_or_skipped(tmp_path: Path) -> None:
    root = classes(tmp_path, "a", "b", number=60)
    os.mkfifo(root / "a" / "00.png")
    with pytest.raises(DataError, match=r"a/00\.png: not a regular file"):
        opened(root)
    data = opened(root, corrupt="skip")
    assert data.train.images.skipped == [str(root / "a" / "00.png")]  # pyright: ignore
    assert torch.equal(data.train.labels.bincount(), torch.tensor([60, 60]))


# Too few images


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "dataset.val_fraction=0.1 of 3 training examples rounds to none; raise it"),
        (["dataset.val_fraction=0"], "dataset.val_fraction=0 leaves no validation split"),
    ],
)
def test_no_validation_images_for_early_stopping(
    tmp_path: Path, settings: list[str], message: str
) -> None:
    """A message blames a setting only for the value that it has."""
    root = classes(tmp_path / "photos", "a", "b", number=2)
    arguments = ["dataset=image_folder", f"dataset.root={root}", "early_stopping=patience"]
    with pytest.raises(ConfigError) as caught:
        train(tmp_path / "run", *arguments, "epochs=1", "quiet=true", "device=cpu", *settings)
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(" for early_stopping")


def test_an_empty_validation_folder_is_not_blamed_on_a_setting(tmp_path: Path) -> None:
    classes(tmp_path / "photos" / "train", "a", "b", "c")
    classes(tmp_path / "photos" / "val", "c")
    arguments = ["dataset=image_folder", f"dataset.root={tmp_path}/photos", "dataset.classes=[a,b]"]
    arguments += ["early_stopping=patience", "epochs=1", "quiet=true", "device=cpu"]
    with pytest.raises(ConfigError, match="the validation split of the data set is empty"):
        train(tmp_path / "run", *arguments)


def test_no_image_left_for_training_names_what_took_them(tmp_path: Path) -> None:
    root = classes(tmp_path / "flat", "a", "b", number=2)
    message = r"empty: dataset\.test_fraction=0\.2 and dataset\.val_fraction=0\.9 leave none"
    with pytest.raises(DataError, match=message):
        opened(root, val_fraction=0.9)
    classes(tmp_path / "split" / "train", "a", "b", number=2)
    classes(tmp_path / "split" / "test", "a", "b", number=2)
    with pytest.raises(DataError, match=r"empty: dataset\.val_fraction=0\.9 leave none of 4"):
        opened(tmp_path / "split", val_fraction=0.9)
