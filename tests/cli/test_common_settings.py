"""Options in `--config-dir` have the settings that all options of their group have."""

from pathlib import Path

import pytest
import yaml
from support import CONF, read_json

from trainer.config.overrides import common_settings, with_common_settings

OWN = """
from trainer.dataset.digits import Digits

class Mine(Digits):
    pass
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A config folder with a data set and a mixer that have nothing but a class."""
    for group, target in {"dataset": "my_data.Mine", "mixer": "my_data.Mixer"}.items():
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / "mine.yaml").write_text(f"_target_: {target}\n")
    (tmp_path / "my_data.py").write_text(OWN)
    return tmp_path / "conf"


def test_the_settings_of_all_options_are_found() -> None:
    assert {"subset", "classes", "val_fraction", "label_noise"} <= common_settings(CONF / "dataset")
    assert common_settings(CONF / "mixer") == {"probability", "until"}
    assert common_settings(CONF / "loss") == set()


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        ("dataset.subset=100", "++dataset.subset=100"),
        ("dataset.subset=10,20", "++dataset.subset=10,20"),
        ("mixer.until=5ep", "++mixer.until=5ep"),
        ("dataset.root=x", "dataset.root=x"),  # not of all data sets
        ("+dataset.subset=100", "+dataset.subset=100"),
        ("optimizer.lr=0.1", "optimizer.lr=0.1"),
    ],
)
def test_a_common_setting_is_added_to_ones_own_option(conf: Path, typed: str, passed: str) -> None:
    line = [f"--config-dir={conf}", "dataset=mine", "mixer=mine", typed]
    assert with_common_settings(line, CONF) == [*line[:-1], passed]
    assert with_common_settings([typed], CONF) == [typed]
    (conf / "dataset" / "mine.yaml").write_text("_target_: my_data.Mine\nsubset: 5\n")
    if typed.startswith("dataset.subset"):
        assert with_common_settings(line, CONF) == line


def test_ones_own_data_set_is_trained_on_in_part(cli, conf: Path, tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    line = [f"--config-dir={conf}", "dataset=mine", "dataset.subset=100", "model=mlp", "epochs=1"]
    folder = tmp_path / "run"
    code, _, error = cli(*line, "quiet=true", "device=cpu", f"hydra.run.dir={folder}")
    assert (code, error) == (0, "")
    assert sum(read_json(folder / "data.json")["class_counts"]) == 100
    assert yaml.safe_load((folder / "config.yaml").read_text())["dataset"]["subset"] == 100
    code, _, error = cli(*line, "dataset.subsett=3", f"hydra.run.dir={tmp_path / 'other'}")
    assert code == 2
    assert error.startswith("dataset.subsett=3: ")
