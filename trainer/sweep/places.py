"""Which folder of a sweep a job runs in: that of the run with its settings, whatever its number.

What lies in the sweep's folder may come from anywhere and is checked before it is read.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import read_write

from trainer.config.compose import resolve
from trainer.core.errors import CheckpointError
from trainer.storage.config_file import read_config
from trainer.storage.untrusted import check_tree
from trainer.sweep.manifest import Job

NOT_COMPARED = ("resume", "resume_allow", "quiet", "debug")
HASH = "_sha256"  # ends the name of a setting that records the content of a file
DECIDED = ("dataset.size",)  # of which `auto` is replaced by a number in a run's `config.yaml`
SHOWN = 3  # settings that a message names


class Places:
    """Assigns the folders below `sweep` to jobs, each to one job."""

    def __init__(self, sweep: Path) -> None:
        self.sweep = sweep
        self.taken: set[Path] = set()

    def assign(self, jobs: Sequence[Job]) -> None:
        """Give each job its folder; skip a job whose run is finished, refuse what cannot run."""
        depths = {len(job.folder.relative_to(self.sweep).parts) for job in jobs if job.folder}
        moved = [job for job in jobs if not self.keep(job)]
        runs = self.runs_by_settings(depths) if moved else {}
        for job in moved:
            found = [f for f in runs.get(identity(settings_of(job)), []) if f not in self.taken]
            if found:
                move(job, self.sweep, found[0])
                self.taken.add(found[0])
        for job in jobs:
            self.taken |= {job.folder} if job.folder else set()
            settle(job)

    def keep(self, job: Job) -> bool:
        """Whether a job's own folder is the one to run in: it has its run, or cannot be read."""
        assert job.folder is not None  # noqa: S101
        if job.folder in self.taken:
            return False
        try:
            check_path(self.sweep, job.folder)
        except CheckpointError as error:
            job.refuse(str(error))
        kept = bool(job.error) or (bool(job.status) and not changes(job.folder, settings_of(job)))
        self.taken |= {job.folder} if kept else set()
        return kept

    def runs_by_settings(self, depths: Iterable[int]) -> dict[str, list[Path]]:
        """The folders of runs that no job has, by the identity of their settings."""
        found: dict[str, list[Path]] = {}
        for depth in sorted(depths):
            for status in sorted(self.sweep.glob("/".join(["*"] * depth + ["status.json"]))):
                folder = status.parent
                if folder in self.taken:
                    continue
                try:
                    check_path(self.sweep, folder)
                    config = read_config(folder / "config.yaml")
                except CheckpointError:
                    continue  # a run that cannot be read is no job's
                for name in {identity(config), identity(as_auto(config))}:
                    found.setdefault(name, []).append(folder)
        return found


def move(job: Job, sweep: Path, folder: Path) -> None:
    """Let a job run in another folder than its own."""
    assert job.config is not None  # noqa: S101
    with read_write(job.config.hydra):
        job.config.hydra.sweep.subdir = str(folder.relative_to(sweep))
    job.folder = folder


def keep_or_refuse(job: Job) -> None:
    """Settle a job in its own folder: refused too where an unfinished run has other settings."""
    settings = settings_of(job)
    if job.error or job.folder is None:
        return
    if job.status and (other := changes(job.folder, settings)):
        job.refuse(
            f"{job.folder} holds a run with other settings ({other}); "
            "remove it, or choose another folder with hydra.sweep.dir=..."
        )
    settle(job)


def settle(job: Job) -> None:
    """Skip a job whose run is finished; refuse it if that run has other settings."""
    if job.error or job.folder is None or job.status.get("state") != "finished":
        return
    if other := changes(job.folder, settings_of(job)):
        job.refuse(
            f"{job.folder} holds a run with other settings ({other}); "
            "remove it, or choose another folder with hydra.sweep.dir=..."
        )
    else:
        job.state, job.exit_code = "skipped", 0


def check_path(sweep: Path, folder: Path) -> None:
    """Raise CheckpointError if a job's folder, one above it or anything below is a link."""
    between = [path for path in folder.parents if sweep in path.parents]
    for path in (folder, *between):
        if path.is_symlink():
            raise CheckpointError(f"{path} is a link; copy the folder itself")
    check_tree(folder)


def settings_of(job: Job) -> dict[str, Any]:
    """The resolved settings of a job, with the hashes that its run would record."""
    assert job.config is not None  # noqa: S101
    return with_hashes(resolve(job.config))


def with_hashes(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the hash of each file whose content they are to record, as far as known."""
    found = {}
    for key, value in settings.items():
        name = key.removesuffix(HASH)
        if isinstance(value, dict):
            found[key] = with_hashes(value)
        elif name != key and isinstance(settings.get(name), str):
            found[key] = hash_of(settings[name])
    return settings | found


def hash_of(path: str) -> str | None:
    """The hash of a file; None for one that cannot be read, which its job will say."""
    from trainer.dataset.shared.regular_file import sha256_of  # not before: it imports torch

    try:
        return sha256_of(path)
    except (OSError, ValueError):
        return None


def as_auto(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run as those of a job that leaves to the data what the data can decide."""
    for group, name in (setting.split(".") for setting in DECIDED):
        if name in config.get(group, {}):
            config = config | {group: config[group] | {name: "auto"}}
    return config


def identity(settings: dict[str, Any]) -> str:
    """A hash of settings, the same for those of a job and of the `config.yaml` of its run."""
    compared = {key: value for key, value in settings.items() if key not in NOT_COMPARED}
    lines = sorted(leaves(compared))
    return hashlib.sha256("\n".join(lines).encode(errors="replace")).hexdigest()


def leaves(node: object, name: str = "") -> Iterator[str]:
    """The settings in nested mappings as `name=value`."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, f"{name}.{key}")
    else:
        yield f"{name}={node!r}"


def changes(folder: Path, config: dict[str, Any]) -> str:
    """The first settings that differ from those of the run in a folder: `epochs: 3 → 5, ...`."""
    try:
        before = read_config(folder / "config.yaml")
    except CheckpointError:
        return "its config.yaml cannot be read"
    found = [text for key, text in differing(before, config) if key not in NOT_COMPARED]
    return ", ".join(found[:SHOWN])


def differing(
    before: dict[str, Any], after: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """The settings that differ, among those in both; one missing in a run had its default."""
    for key in before.keys() & after.keys():
        was, is_now, name = before[key], after[key], f"{prefix}{key}"
        if isinstance(was, dict) and isinstance(is_now, dict):
            yield from differing(was, is_now, f"{name}.")
        elif was != is_now and not (name in DECIDED and is_now == "auto"):
            yield name, difference(name, was, is_now)


def difference(name: str, was: object, is_now: object) -> str:
    """What to say of a setting that differs; hashes tell a person nothing."""
    if name.endswith(HASH):
        return f"{name.removesuffix(HASH)}: the file had another content"
    return f"{name}: {was!s:.80} → {is_now!s:.80}"
