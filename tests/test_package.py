"""The wheel carries all that a run needs, and runs from an empty folder."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout, built with the installed hatchling: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stands for site-packages."""
    folder = tmp_path_factory.mktemp("site packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(unpacked: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python on the unpacked wheel, before anything that is installed, in an empty folder."""
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, check=False, cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_wheel_holds_every_config_the_code_and_the_digits(unpacked: Path) -> None:
    configs = {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    packed = unpacked / "trainer" / "conf"
    assert Path("config.yaml") in configs
    assert {path.relative_to(packed) for path in packed.rglob("*.yaml")} == configs
    code = {path.relative_to(ROOT) for path in (ROOT / "trainer").rglob("*.py")}
    assert code <= {path.relative_to(unpacked) for path in unpacked.rglob("*.py")}
    digits = Path("trainer", "dataset", "digits.npz")
    assert (unpacked / digits).read_bytes() == (ROOT / digits).read_bytes()


def test_the_wheel_has_the_console_script_and_the_licence(unpacked: Path) -> None:
    (about,) = unpacked.glob("trainer-*.dist-info")
    assert "trainer = trainer.__main__:main" in (about / "entry_points.txt").read_text()
    assert (about / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_unpacked_wheel_reads_its_own_configs(unpacked: Path, tmp_path: Path) -> None:
    done = run(unpacked, tmp_path, "-c", "import trainer.__main__ as m; print(m.CONF)")
    assert done.stdout.strip() == str(unpacked / "trainer" / "conf"), done.stderr


def test_the_unpacked_wheel_trains_in_an_empty_folder(unpacked: Path, tmp_path: Path) -> None:
    done = run(unpacked, tmp_path, "-m", "trainer", "epochs=1", "quiet=true")
    assert done.returncode == 0, done.stderr
    (result,) = (tmp_path / "outputs").rglob("result.json")
    assert 0 < json.loads(result.read_text())["test"]["accuracy"] <= 1
