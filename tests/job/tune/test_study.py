"""A study's journal is untrusted: another search is refused by name, a damaged one by file."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from trainer.core.errors import CheckpointError, ConfigError
from trainer.job.tune.space import Choice, Numbers, Space
from trainer.job.tune.study import check_trials, open_study

optuna = pytest.importorskip("optuna")

SPACE: Space = {"mining": Choice(("none", "ohem")), "optimizer.lr": Numbers(1e-4, 0.1, log=True)}
ABOUT = {"job.metric": "val/accuracy", "job.space.mining": "none,ohem", "seed": 0}
NONSENSE = (None, -1, 1e400, 10**300, "x", [], {}, [[]], True)


def opened(folder: Path, about: dict[str, Any] | None = None) -> Any:
    study = open_study(folder, about or ABOUT, optuna.pruners.NopPruner(), "maximize")
    check_trials(folder, study.get_trials(deepcopy=False), SPACE)
    return study


def searched(folder: Path) -> Path:
    """A journal with a finished trial and an interrupted one."""
    folder.mkdir()
    study = opened(folder)
    for _ in range(2):
        trial = study.ask()
        settings = [f"{name}={values.suggest(trial, name)}" for name, values in SPACE.items()]
        trial.set_user_attr("settings", settings)
        trial.report(0.5, 0)
    study.tell(0, 0.5)
    return folder / "study.journal"


def test_a_study_is_resumed_and_leaves_no_lock(tmp_path: Path) -> None:
    searched(tmp_path / "a")
    assert [trial.state.name for trial in opened(tmp_path / "a").trials] == ["COMPLETE", "RUNNING"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["study.journal"]


def test_another_search_is_refused_by_the_setting(tmp_path: Path) -> None:
    searched(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"job\.metric: val/accuracy → val/loss"):
        opened(tmp_path / "a", ABOUT | {"job.metric": "val/loss"})


def test_settings_outside_the_space_are_refused(tmp_path: Path) -> None:
    """They would be trained with, or printed as the best command."""
    path = searched(tmp_path / "a")
    path.write_text(path.read_text().replace('"mining=', '"loss._target_=subprocess.Popen.'))
    with pytest.raises(CheckpointError, match=r"loss\._target_=.*job\.space does not allow"):
        opened(tmp_path / "a")


@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "\n", "5\n", "{}\n", "\xff\n", '{"op_code": 99}\n']
)
def test_what_is_no_journal_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.journal").write_text(text)
    with pytest.raises(CheckpointError, match=r"study\.journal cannot be read"):
        opened(tmp_path)


def test_no_link_and_no_huge_journal_is_read(tmp_path: Path, monkeypatch: Any) -> None:
    path = searched(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "study.journal").symlink_to(path)
    with pytest.raises(CheckpointError, match="is a link"):
        opened(tmp_path / "b")
    monkeypatch.setattr("trainer.job.tune.study.LARGEST", 100)
    with pytest.raises(CheckpointError, match="is larger than 100 bytes"):
        opened(tmp_path / "a")


def variants(value: Any) -> list[Any]:
    """A JSON value with each of its parts replaced by nonsense."""
    parts: list[Any] = list(NONSENSE)
    if isinstance(value, dict):
        parts += [value | {key: one} for key in value for one in variants(value[key])]
    return parts


def test_every_mutation_of_a_journal_is_read_or_refused(tmp_path: Path) -> None:
    lines = searched(tmp_path / "a").read_text().splitlines()
    folder = tmp_path / "b"
    folder.mkdir()
    refused = 0
    for i, line in enumerate(lines):
        for changed in variants(json.loads(line)):
            text = [*lines[:i], json.dumps(changed), *lines[i + 1 :]]
            (folder / "study.journal").write_text("\n".join([*text, ""]))
            try:
                opened(folder)
            except (CheckpointError, ConfigError):
                refused += 1
    assert refused > 100


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a finished trial."""
    path = tmp_path_factory.mktemp("database") / "study.db"
    study = of_database(path)
    trial = study.ask()
    settings = [f"{name}={values.suggest(trial, name)}" for name, values in SPACE.items()]
    trial.set_user_attr("settings", settings)
    trial.report(0.5, 0)
    study.tell(0, 0.5)
    return path


def of_database(path: Path) -> Any:
    pruner = optuna.pruners.NopPruner()
    study = open_study(path.parent, ABOUT, pruner, "maximize", shared=True, url=f"sqlite:///{path}")
    check_trials(Path("job.storage"), study.get_trials(deepcopy=False), SPACE)
    return study


ROWS = {
    "trials SET state = 'x'": "LookupError",
    "trial_intermediate_values SET intermediate_value_type = -1": "LookupError",
    "trial_params SET distribution_json = 0": "TypeError",
    "trial_params SET distribution_json = '['": "JSONDecodeError",
    "trial_user_attributes SET value_json = '{'": "JSONDecodeError",
    "trial_values SET value_type = 'INF_POS'": "AssertionError",
    "alembic_version SET version_num = 'x'": "RuntimeError",
}


@pytest.mark.parametrize(("change", "reason"), ROWS.items())
def test_a_damaged_row_of_a_database_is_refused(
    database: Path, tmp_path: Path, change: str, reason: str
) -> None:
    path = Path(shutil.copy(database, tmp_path))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        assert connection.execute(f"UPDATE {change}").rowcount > 0
        connection.commit()
    with pytest.raises(CheckpointError, match=rf"job\.storage.*{reason}") as raised:
        of_database(path)
    assert str(raised.value).isprintable()
