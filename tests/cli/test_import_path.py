"""The current folder is no place for modules, unless a setting names one that lies only there."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from forks import Fork

MODULE = [sys.executable, "-m", "trainer"]
LOSS = """
from trainer.loss.cross_entropy import CrossEntropy

class Mine(CrossEntropy):
    open(__file__ + ".imported", "w").close()
"""
TRAP = "open(__file__ + '.imported', 'w').close()\n"
NOWHERE = ("dataset=image_folder", "dataset.root=/nowhere", "quiet=true")  # ends after all imports


def program(
    folder: Path, *arguments: str, command: Sequence[str] = MODULE
) -> subprocess.CompletedProcess[str]:
    """`python -m trainer` in a folder that has its own yaml, torch, hydra and antlr4."""
    for name in ("yaml", "torch", "hydra", "omegaconf", "numpy", "rich", "optuna"):
        (folder / f"{name}.py").write_text(TRAP)
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
    )


def assert_no_data(error: str) -> None:
    """What the line names was found, and then the data were not."""
    assert error.count("\n") == 1
    assert error.startswith("dataset.root=/nowhere: no folder /nowhere"), error


def test_nothing_is_imported_from_the_current_folder(tmp_path: Path) -> None:
    done = program(tmp_path, *NOWHERE)
    assert done.returncode == 3
    assert_no_data(done.stderr)
    assert not list(tmp_path.glob("*.imported"))


def test_what_a_setting_names_is_found_here_after_all_else(tmp_path: Path) -> None:
    """By the console script too, and by the processes of a sweep."""
    (tmp_path / "my_loss.py").write_text(LOSS)
    script = [str(Path(sys.executable).with_name("trainer"))]
    sweep = ("-m", *NOWHERE, "hydra.launcher.warm=false", "hydra.sweep.dir=sweep", "seed=1")
    done = program(tmp_path, "loss._target_=my_loss.Mine", *sweep, command=script)
    assert done.returncode == 1
    assert "failed: dataset.root=/nowhere: no folder /nowhere" in done.stderr
    assert (tmp_path / "my_loss.py.imported").exists()
    assert not {path.stem for path in tmp_path.glob("*.imported")} - {"optuna.py", "my_loss.py"}


def test_so_is_what_a_config_folder_names(tmp_path: Path) -> None:
    (tmp_path / "my_loss.py").write_text(LOSS)
    (tmp_path / "my_conf" / "loss").mkdir(parents=True)
    (tmp_path / "my_conf" / "loss" / "mine.yaml").write_text("_target_: my_loss.Mine\n")
    code, _, error = Fork(tmp_path, "--config-dir", "my_conf", "loss=mine", *NOWHERE).done()
    assert_no_data(error.decode())
    assert code == 3
    assert (tmp_path / "my_loss.py.imported").exists()


def test_a_module_that_does_not_exist_is_still_named(tmp_path: Path) -> None:
    code, _, error = Fork(tmp_path, "loss._target_=not_there.Mine").done()
    assert code == 2
    assert error.startswith(b"loss._target_=not_there.Mine cannot be imported")
