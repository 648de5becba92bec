"""A trained run, a copy of it to tamper with, and the file that no payload may create."""

import shutil
import sys
from pathlib import Path

import pytest
from support import train


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "owned"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train(folder, "epochs=1", "model.hidden=[16]", "postprocess=temperature") == 0
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run folder, to tamper with."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture
def bait(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that leaves the marker when it is imported."""
    source = f"from pathlib import Path\n\nPath({str(marker)!r}).touch()\nfunction = print\n"
    (tmp_path / "owned_by_import.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "owned_by_import", raising=False)
