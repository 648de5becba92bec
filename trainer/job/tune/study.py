"""Optuna's study of a search, in a journal that may come from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trainer.core.errors import CheckpointError, ConfigError
from trainer.core.number import finite
from trainer.core.text import count
from trainer.job.tune.space import Space
from trainer.storage.untrusted import check_file

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

Direction = Literal["minimize", "maximize"]

JOURNAL = "study.journal"
NAME = "tune"  # of the study; seeds Hyperband's choice of brackets
LARGEST = 2**26  # bytes of the journal
PATIENCE = 60.0  # seconds for which SQLite waits
UNREADABLE = (  # what Optuna raises when it replays a damaged or hostile journal
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def open_study(
    folder: Path,
    about: dict[str, Any],
    pruner: BasePruner,
    mode: Direction,
    *,
    shared: bool = False,
    url: str | None = None,
) -> Study:
    """Create or resume the study of a search that `about` describes.

    It is in a folder's journal, which other processes may write if it is `shared`, or in the
    database at `url`. Raises ConfigError if it is of another search, CheckpointError if it cannot
    be read.
    """
    import optuna

    path = folder / JOURNAL
    with database(url) if url else journal(path, shared=shared) as storage:
        study = optuna.create_study(
            storage=storage,
            study_name=NAME,
            direction=mode,
            pruner=pruner,
            load_if_exists=True,
        )
        trials = study.get_trials(deepcopy=False)
        before = study.user_attrs.get("about", None if trials else about)
        modes = [one.name.lower() for one in study.directions]
    if not isinstance(before, dict):
        raise CheckpointError(f"{path} cannot be read: it does not describe its search")
    check_same_search(before, about)
    if modes != [mode]:
        raise CheckpointError(f"{path}: the study is to {' and '.join(modes)}, not to {mode}")
    study.set_user_attr("about", about)
    return study


def saved_line(folder: Path, url: str | None) -> list[str]:
    """The overrides that the search in a folder's journal or in a database was started with.

    Raises CheckpointError if there is none, or they cannot be read. They are untrusted.
    """
    import optuna

    path, names, about = folder / JOURNAL, [], None
    where = "job.storage" if url else path
    if url or path.exists():
        with database(url) if url else journal(path) as storage:
            names = optuna.get_all_study_names(storage)
            study = optuna.load_study(study_name=NAME, storage=storage) if names else None
            about = study.user_attrs.get("about") if study else None
    if not names:
        raise CheckpointError(
            f"{where} holds no search yet: give its whole command line again, with resume=auto and "
            f"hydra.run.dir={folder}"
        )
    line = about.get("line", []) if isinstance(about, dict) else []
    if not (isinstance(line, list) and all(isinstance(one, str) for one in line)):
        raise CheckpointError(f"{where} cannot be read: it does not say its command line")
    return line


@contextmanager
def journal(path: Path, *, shared: bool = False) -> Iterator[JournalStorage]:
    """Open a journal for reading and writing. Raises CheckpointError if it cannot be read."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if shared and path.exists():
        check_file(path, LARGEST)
    elif not shared:
        repair_journal(path)
    lock = JournalFileOpenLock(str(path))  # the default leaves a link where a process is killed
    try:
        yield optuna.storages.JournalStorage(JournalFileBackend(str(path), lock))
    except (*UNREADABLE, optuna.exceptions.OptunaError) as error:
        raise CheckpointError(f"{path} cannot be read: {type(error).__name__}") from error


@contextmanager
def database(url: str) -> Iterator[RDBStorage]:
    """Open a database. Raises ConfigError if that fails, CheckpointError for damaged rows."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with database_errors(url):
        try:
            yield optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": connected(url)})
        except UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"job.storage cannot be read: {type(error).__name__}: {reason:.200}"
            ) from error


@contextmanager
def database_errors(url: str | None) -> Iterator[None]:
    """Turn errors of a database into ConfigErrors without its address: it may hold a password."""
    if url is None:
        yield
        return
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, ImportError, OptunaError) as error:
        reason = (str(error).splitlines() or [""])[0]
        kind = url.partition(":")[0]
        raise ConfigError(f"job.storage={kind}://...: the database fails: {reason}") from error


def connected(url: str) -> dict[str, float]:
    """How to connect: SQLite waits for other processes that write, by default for 5 seconds."""
    return {"timeout": PATIENCE} if url.startswith("sqlite") else {}


def check_same_search(before: dict[str, Any], about: dict[str, Any]) -> None:
    """Raise ConfigError if a study is of another search, naming the setting."""
    for key in {**before, **about}:
        if before.get(key) != about.get(key):
            change = f"{before.get(key)!s:.200} → {about.get(key)!s:.200}"
            raise ConfigError(f"resume: the search has changed, {key}: {change}; start a new one")


def check_trials(path: Path, trials: list[FrozenTrial], space: Space) -> None:
    """Raise CheckpointError for a trial whose settings or values this search cannot have made."""
    for number, trial in enumerate(trials):
        if problem := problem_of(trial, space):
            raise CheckpointError(f"{path}: trial {number} {problem}")
        if trial.number != number:
            raise CheckpointError(f"{path}: trial {number} has the number {trial.number}")


def problem_of(trial: FrozenTrial, space: Space) -> str:
    """What is wrong with a trial, empty where nothing is."""
    about, state = trial.user_attrs, trial.state.name
    settings = about.get("settings", [] if state == "RUNNING" else None)
    if not (isinstance(settings, list) and all(isinstance(one, str) for one in settings)):
        return "has no settings"
    for name, _, value in (one.partition("=") for one in settings):
        if name not in space or not space[name].has(value):
            return f"has {name}={value!r:.200}, which job.space does not allow"
    values = trial.values or []
    numbers = [*values, *trial.intermediate_values.values(), about.get("repeats", 0)]
    if len(values) != (state == "COMPLETE") and state in ("COMPLETE", "FAIL", "RUNNING"):
        return f"is {state} with {count(len(values), 'value')}"
    if any(finite(value) is None for value in numbers):
        return "has a value that is not a number"
    return "" if isinstance(about.get("error", ""), str) else "has an error that is not text"


def repair_journal(path: Path) -> None:
    """Remove the incomplete last line and the lock left by a process killed while writing.

    The lock is stale: only the process that owns the run folder writes the journal.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        check_file(path, LARGEST)
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            path.write_bytes(whole)
