"""The wheel contains everything that a run needs, and runs from an empty folder."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from trainer.core.extra import missing

ROOT = Path(__file__).parents[1]
PROGRAM = """
import os
import sys
from pathlib import Path

import trainer

assert "torch" not in sys.modules, "importing the package must stay light"

import trainer.__main__ as command

print(command.CONF)
try:
    command.main()
except SystemExit as ended:
    assert not ended.code
(result,) = Path("outputs").rglob("result.json")
run = result.parent.absolute()
os.mkdir("elsewhere")
os.chdir("elsewhere")

from PIL import Image

model = trainer.load(run)
label, probability = model.predict(Image.new("L", (30, 20), 200))
assert label in model.classes and 0 < probability <= 1
print(trainer.__file__)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the checkout, built offline, in a folder that stands for site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    packages = tmp_path_factory.mktemp("site packages")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(packages)
    return packages


def test_the_wheel_contains_every_config_the_code_and_the_digits(unpacked: Path) -> None:
    configs = {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    packed = unpacked / "trainer" / "conf"
    assert Path("config.yaml") in configs
    assert {path.relative_to(packed) for path in packed.rglob("*.yaml")} == configs
    code = {path.relative_to(ROOT) for path in (ROOT / "trainer").rglob("*.py")}
    assert code <= {path.relative_to(unpacked) for path in unpacked.rglob("*.py")}
    digits = Path("trainer", "dataset", "digits.npz")
    assert (unpacked / digits).read_bytes() == (ROOT / digits).read_bytes()


def test_the_wheel_has_the_console_script_and_the_licence(unpacked: Path) -> None:
    (about,) = unpacked.glob("hard_example_trainer-*.dist-info")
    assert "trainer = trainer.__main__:main" in (about / "entry_points.txt").read_text()
    assert (about / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_wheel_trains_with_its_own_configs_and_loads_the_run_elsewhere(
    unpacked: Path, tmp_path: Path
) -> None:
    """In an empty folder; and the run from another one."""
    overrides = ["epochs=1", "model=mlp", "dataset.subset=100", "quiet=true"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *overrides],
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    conf, code = done.stdout.splitlines()
    assert conf == str(unpacked / "trainer" / "conf")
    assert code.startswith(str(unpacked / "trainer"))
    (result,) = (tmp_path / "outputs").rglob("result.json")
    assert 0 < json.loads(result.read_text())["test"]["accuracy"] <= 1


def test_every_extra_that_a_message_names_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    code = "".join(path.read_text() for path in (ROOT / "trainer").rglob("*.py"))
    named = set(re.findall(r"missing\(\"[^\"]*\", \"(\w+)\"\)", code))
    assert {"timm", "tune"} <= named <= project["optional-dependencies"].keys()
    assert str(missing("job=tune", "tune")).endswith("pip install -e '.[tune]'")
