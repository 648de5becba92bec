"""What newcomers type: each mistake is one line that names the setting and what is expected."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from support import by_hydra

from trainer.__main__ import multirun_first
from trainer.config.compose import at_home, register_resolvers, resolve, typed_at_home
from trainer.config.schema import check_device
from trainer.job.base import Job

Cli = Callable[..., tuple[int, str, str]]
SMALL = ("dataset.subset=100", "epochs=1")


class Divides(Job):
    def __call__(self) -> dict[str, Any]:
        return {"x": 1 / 0}


class ReturnsNothing(Job):
    def __call__(self) -> dict[str, Any]:
        return None  # pyright: ignore


@pytest.mark.parametrize(
    ("setting", "code", "line"),
    [
        ("loss._target_=math.sqrt", 2, "loss._target_=math.sqrt is not a trainer.loss.Loss; "),
        ("loss._target_=", 2, "loss._target_ must be an import path, got nothing"),
        ("loss._target_=trainer.mining.ohem.Ohem", 2, "loss._target_=trainer.mining.ohem.Ohem is"),
        ("model._target_=trainer.loss.Focal", 2, "model._target_: Focal is no model of images: "),
        ("job._target_=test_newcomers.Divides", 1, "ZeroDivisionError: division by zero; debug="),
        (
            "job._target_=test_newcomers.ReturnsNothing",
            2,
            "job._target_=test_newcomers.ReturnsNothing must return a dict of results, got NoneT",
        ),
    ],
)
def test_a_target_of_the_wrong_kind(
    setting: str, code: int, line: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    got, _, error = cli(*SMALL, "model=mlp", "quiet=true", setting, f"hydra.run.dir={tmp_path}/r")
    assert (got, error.count("\n")) == (code, 1), error
    assert error.startswith(line)


def test_a_word_that_is_like_no_setting_is_not_suggested_itself(cli: Cli) -> None:
    assert "Did you mean" not in cli("foo")[2]


def test_another_kind_of_device_is_no_typo() -> None:
    with pytest.raises(ValueError, match=r"got tpu$"):
        check_device("tpu")
    with pytest.raises(ValueError, match=r"got cuba\. Did you mean cuda\?$"):
        check_device("cuba")


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        ("seed", "2", 2),
        ("optimizer.lr", "1e-3", 1e-3),
        ("run", "/a b/c", "/a b/c"),
        ("model.hidden", "[8,4]", [8, 4]),
        ("quiet", "true", True),
        ("steps", "null", None),
        ("run", "~/x", "HOME/x"),
        ("run", "2026", "2026"),
        ("resume", "007", "007"),
        ("runs", "2026", "2026"),
        ("finetune.source", "1e3", "1e3"),
        ("run", "null", None),
    ],
)
def test_text_from_the_environment_is_converted_as_typed_text_is(
    setting: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X", text)
    register_resolvers()
    config = deepcopy(by_hydra("model=mlp"))
    OmegaConf.update(config, setting, "${oc.env:X}")
    made = resolve(config)
    for part in setting.split("."):
        made = made[part]
    assert made == (value.replace("HOME", str(Path.home())) if isinstance(value, str) else value)
    assert type(made) is type(value)


def test_the_home_folder_is_written_as_a_tilde_anywhere(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    job = ("job=preview", "job.steps=2", "quiet=true")
    assert cli(*job, "hydra.run.dir=~/a/run") == (0, "", "")
    assert (tmp_path / "a" / "run" / "lr.csv").exists()
    assert cli("-m", "hydra/launcher=basic", *job, "hydra.sweep.dir=~/b", "seed=1,2")[0] == 0
    assert (tmp_path / "b" / "multirun.yaml").exists()
    code, _, error = cli("job=evaluate", "runs=[~/c,~]")
    assert code == 2
    assert error.startswith("run")
    assert typed_at_home("runs=[~/c,~]") == f"runs=[{tmp_path}/c,{tmp_path}]"
    assert typed_at_home("~optimizer.lr") == "~optimizer.lr"
    assert typed_at_home("a=b~/c") == "a=b~/c"


def test_a_class_may_be_named_with_a_tilde() -> None:
    config = {"classes": ["~", "a"], "root": "~"}
    assert at_home(config, "dataset") == {"classes": ["~", "a"], "root": str(Path.home())}
    assert typed_at_home("dataset.classes=['~','~/x']") == "dataset.classes=['~','~/x']"


NOT_UTF8 = {"dataset.root": 3, "run": 2, "runs": 2, "hydra.run.dir": 2}


@pytest.mark.parametrize("setting", NOT_UTF8)
def test_a_path_that_is_not_utf8_is_refused_by_name(setting: str, cli: Cli) -> None:
    """No YAML file could hold it: the run would train, and its config could not be read again."""
    code, _, error = cli("dataset=image_folder", f'{setting}="d\udce9"')
    place = f"{Path.cwd()}/" if setting == "hydra.run.dir" else ""
    assert (code, error) == (
        NOT_UTF8[setting],
        f"{setting}={place}d\\xe9 is not UTF-8; rename it, or link to it\n",
    )


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_flag_of_a_sweep_may_stand_anywhere(place: int) -> None:
    overrides = ["epochs=1", "seed=1,2"]
    typed = [*overrides[:place], "-m", *overrides[place:]]
    assert multirun_first(typed) == ["-m", *overrides]
