"""Which class folders a tree has, and which image files are in them.

Hidden files and folders are left out, and so are files of other suffixes; both are counted.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from operator import attrgetter
from pathlib import Path

from trainer.core.errors import DataError
from trainer.core.text import count
from trainer.dataset.shared.decode import SUFFIXES, printable

SYSTEMS = {"__MACOSX", "@eaDir"}  # folders of archivers and file servers: hidden in all but name
ENDINGS = tuple(SUFFIXES)
NAME = attrgetter("name")
KINDS = 5  # of files left out, listed in a message


class ImageList:
    """The image files below a folder, sorted, and how many others there are of each kind.

    A linked folder is followed unless it leads back to a folder it lies in, or its files are
    listed already. Raises DataError for a folder that cannot be listed.
    """

    def __init__(self, folder: Path) -> None:
        self.stretches: list[list[str]] = []
        self.left_out: Counter[str] = Counter()
        self.seen: set[tuple[int, int]] = set()
        self.links: list[str] = []
        self.top = os.path.realpath(folder)
        self.visit(str(folder))
        while self.links:  # after all real folders: a link to one of them adds nothing
            self.visit(self.links.pop(0))
        # No folder stands between the files of a stretch, so its first file places all of it.
        self.stretches.sort(key=lambda stretch: stretch[0].split(os.sep))  # noqa: PTH206
        self.paths = list(chain.from_iterable(self.stretches))

    def visit(self, folder: str) -> None:
        """Add the files of a folder and of those in it; note its links to folders."""
        pending = [folder]
        while pending:
            stretch: list[str] = []
            for entry in self.entries(pending.pop()):
                name = entry.name
                # The usual case first, without a call in Python; nothing in SYSTEMS has a suffix.
                usual = name.lower().endswith(ENDINGS) and entry.is_file(follow_symlinks=False)
                if usual and name[0] != ".":
                    stretch.append(entry.path)
                elif is_hidden(name):
                    self.left_out["hidden"] += 1
                elif is_folder(entry):
                    self.close(stretch)
                    stretch = []
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        self.note_link(entry.path)
                else:
                    self.add_file(entry, stretch)
            self.close(stretch)

    def close(self, stretch: list[str]) -> None:
        """Keep the files of a folder between two of its folders, by name."""
        if stretch:
            self.stretches.append(stretch)

    def entries(self, folder: str) -> Iterable[os.DirEntry[str]]:
        """What a folder holds, by name; nothing if it was listed before."""
        try:
            stat = os.stat(folder)  # noqa: PTH116  (a Path for each of many would be slow)
            if (stat.st_dev, stat.st_ino) in self.seen:
                self.left_out["linked twice"] += 1
                return ()
            self.seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(folder) as entries:
                return sorted(entries, key=NAME)
        except OSError as error:
            raise cannot_list(folder, error) from error

    def note_link(self, path: str) -> None:
        """Follow a link to a folder later, unless that folder contains the link."""
        target = os.path.realpath(path)
        inside = self.top, os.path.realpath(os.path.dirname(path))  # noqa: PTH120
        if any(place == target or place.startswith(target.rstrip("/") + "/") for place in inside):
            self.left_out["linked in a circle"] += 1
        else:
            self.links.append(path)

    def add_file(self, entry: os.DirEntry[str], stretch: list[str]) -> None:
        """Add an image by its suffix; it is looked at when it is opened."""
        suffix = os.path.splitext(entry.name)[1]  # noqa: PTH122
        if suffix.lower() in SUFFIXES:
            stretch.append(entry.path)
        else:
            self.left_out[printable(suffix.lower()) or "without suffix"] += 1


def describe_left_out(left_out: Counter[str]) -> str:
    """How many files were left out and why: `12 files (10 .jp2, 2 hidden)`."""
    kinds = left_out.most_common()
    parts = [f"{number} {kind}" for kind, number in kinds[:KINDS]]
    if others := sum(number for _, number in kinds[KINDS:]):
        parts.append(count(others, "other"))
    return f"{count(left_out.total(), 'file')} ({', '.join(parts)})"


def class_folders(folder: Path) -> dict[str, Path]:
    """The class folders by name, sorted; names are composed (NFC), however a Mac has stored them.

    Raises DataError if there are none, or for a name that is not UTF-8 or occurs twice.
    """
    found: dict[str, Path] = {}
    for path in sub_folders(folder):
        try:
            path.name.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"the name of the class folder {printable(path)} is not UTF-8; rename it"
            ) from error
        name = unicodedata.normalize("NFC", path.name)
        if name in found:
            raise DataError(
                f"two class folders in {printable(folder)} have the name {printable(name)}, one "
                "composed and one decomposed (Unicode NFC and NFD); merge them"
            )
        found[name] = path
    if not found:
        raise DataError(
            f"dataset.root: {printable(folder)} has no class folders; "
            f"expected {printable(folder)}/<class>/*, found {contents(folder)}"
        )
    return {name: found[name] for name in sorted(found)}


def check_several(root: Path, folders: dict[str, Path]) -> None:
    """Raise DataError for a single class, and show what was found."""
    if len(folders) > 1:
        return
    ((name, folder),) = folders.items()
    raise DataError(
        f"dataset.root: {printable(root)} has a single class folder, {printable(name)}, which "
        f"holds {contents(folder)}; classification needs two classes or more: "
        "give the folder that contains the class folders"
    )


def sub_folders(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden. Raises DataError if it cannot be listed."""
    try:
        if not folder.is_dir():
            raise DataError(
                f"dataset.root: no folder {printable(folder)}; "
                "give the folder that contains the class folders"
            )
        with os.scandir(folder) as entries:
            return sorted(Path(e.path) for e in entries if not is_hidden(e.name) and is_folder(e))
    except OSError as error:
        raise cannot_list(folder, error) from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one; a link that goes in a circle is none."""
    return entry.is_dir(follow_symlinks=False) or (
        entry.is_symlink() and os.path.isdir(entry.path)  # noqa: PTH112
    )


def contents(folder: Path) -> str:
    """What a folder holds, for a message: `2 folders (a, b) and 3 images`."""
    folders, names = sub_folders(folder), os.listdir(folder)  # noqa: PTH208
    images = sum(not is_hidden(n) and Path(n).suffix.lower() in SUFFIXES for n in names)
    shown = ", ".join(printable(path.name) for path in folders[:KINDS])
    more = ", ..." if len(folders) > KINDS else ""
    listed = f"{count(len(folders), 'folder')} ({shown}{more})" if folders else "no folders"
    return f"{listed} and {count(images, 'image')}"


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or an archiver's or file server's own."""
    return name.startswith(".") or name in SYSTEMS


def cannot_list(folder: str | Path, error: OSError) -> DataError:
    """The error for a folder that cannot be listed."""
    return DataError(f"cannot list the folder {printable(folder)}: {error.strerror or error}")
