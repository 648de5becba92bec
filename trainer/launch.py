"""From a composed config to a run: what can be refused without torch is refused here.

A process of a parallel launcher imports this module and nothing else, so that what the config files
refer to is registered on import.
"""

import atexit
import errno
import gc
import hashlib
import importlib
import re
import secrets
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from trainer import schema
from trainer.distributed import processes
from trainer.errors import ConfigError, TrainerError

PACKAGE = Path(__file__).parent
CONF = next(p for p in (PACKAGE / "conf", PACKAGE.parent / "conf") if (p / "config.yaml").is_file())
LONGEST_NAME = 120
NOT_HASHED = ("hydra.", "hydra/", "resume", "quiet=", "debug=")

WRONG_CONFIG = (ValueError, OmegaConfBaseException, HydraException, YAMLError, RecursionError)

exit_codes: list[int] = []  # of the jobs of this process
made: list[Path] = []  # the folders that Hydra makes for this run


def task(config: DictConfig) -> int:
    """One job. Returns its exit code; a signal ends the whole sweep."""
    about = HydraConfig.get()
    overrides = OmegaConf.to_container(about.overrides.task, resolve=False)
    sources = [source.path for source in about.runtime.config_sources if source.schema == "file"]
    folder = Path(about.runtime.output_dir)
    code = launch(config, folder, [str(override) for override in overrides or ()], sources)
    exit_codes.append(code)
    if code > 128:
        sys.exit(code)
    return code


def launch(config: DictConfig, folder: Path, overrides: list[str], sources: list[str]) -> int:
    """Run one job and return its exit code; an error is one line on stderr."""
    try:
        check_choices(overrides)
        settings = checked(config)
        processes.check(settings)
        import_torch()
        from trainer.run import execute

        return execute(settings, folder, overrides, sources)
    except Exception as error:
        code = refuse(error, overrides, debug=config.get("debug") is True)
        remove_if_empty(folder)
        if world := joined_world():
            world.leave(code, agreed=False)
        return code
    finally:
        remove_if_empty(folder)


def joined_world() -> Any:
    """The module of the processes that have joined, None for one alone; no torch for its sake."""
    world = sys.modules.get("trainer.distributed.world")
    return world if world is not None and world.joined else None


def import_torch() -> None:
    """Import torch and the parts in four fifths of the time.

    What an import makes lives to the end of the process, so looking for garbage among it is in
    vain: the collector is off meanwhile, and leaves it alone afterwards.
    """
    if "trainer.run" in sys.modules:
        return  # what the jobs before this one left is garbage
    gc.disable()
    try:
        importlib.import_module("trainer.run")
        gc.freeze()
        atexit.register(gc.unfreeze)  # or libraries report leaks at the end
    finally:
        gc.enable()


def refuse(error: Exception, overrides: Sequence[str], *, debug: bool) -> int:
    """Say in one line on stderr why there is no run. Returns the exit code."""
    from trainer.explain import explain

    if debug:
        traceback.print_exception(error)
    code, text = exit_code_of(error), explain(error, overrides, CONF)
    if world := joined_world():
        code, text, speaks = world.current().verdict(error, code, text)
        sys.stderr.write(f"{text}\n" * speaks)
    else:
        sys.stderr.write(f"{processes.let_the_first_speak()}{text}\n")
    return code


def exit_code_of(error: Exception) -> int:
    """2 for whatever the config is to blame for, 6 for a full disk, 1 for what nobody foresaw."""
    if isinstance(error, TrainerError):
        return error.exit_code
    if isinstance(error, WRONG_CONFIG):
        return 2
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return 6 if full else 1


def check_choices(overrides: Sequence[str]) -> None:
    """Raise ConfigError for several options of a group that takes one: Hydra would merge them."""
    for override in overrides:
        group, _, value = override.lstrip("+").partition("=")
        if group in schema.GROUPS and group != "augmentation" and re.match(r"\[.*,", value):
            raise ConfigError(f"{override}: {group} takes one option")


def checked(config: DictConfig) -> dict[str, Any]:
    """The settings as plain containers, every reference resolved, each in its range."""
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    settings = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    if not isinstance(settings, dict):
        raise ConfigError("the config is not a mapping")
    plain = {str(key): value for key, value in settings.items()}
    schema.check(plain)
    return plain


class Folders(Callback):
    """Notes which folders Hydra is about to make: a run that never began leaves none of them."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before a single run's folder is made."""
        remember(config, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before a sweep's folder is made."""
        remember(config, "hydra.sweep.dir")


def remember(config: DictConfig, setting: str) -> None:
    """Note the folders of a path that are not there yet."""
    try:
        path = Path(OmegaConf.select(config, setting)).absolute()
    except OmegaConfBaseException:
        return  # Hydra says so when it makes the folder
    made.extend(folder for folder in (path, *path.parents) if not folder.exists())


def remove_if_empty(folder: Path) -> None:
    """Take away the folders that Hydra made for a run that did not begin, as far as empty."""
    for path in (folder.absolute(), *folder.absolute().parents):
        if not (path in made or in_sweep(path)):
            return
        try:
            path.rmdir()
        except OSError:
            return


def in_sweep(path: Path) -> bool:
    """Whether a folder is that of a job in a sweep."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return False
    return Path(HydraConfig.get().sweep.dir).absolute() in path.parents


def file_name(text: str) -> str:
    """A text as part of a folder's name."""
    plain = re.sub(r"[^\w.,=+-]+", "_", text.replace("/", "_"))
    if len(plain) <= LONGEST_NAME:
        return plain
    return f"{plain[:LONGEST_NAME]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def sweep_hash() -> str:
    """The same for the same overrides in any order, so that a sweep finds itself again."""
    overrides = [argument for argument in sys.argv[1:] if "=" in argument]
    named = sorted(o for o in overrides if not o.lstrip("+~").startswith(NOT_HASHED))
    return hashlib.sha256("\n".join(named).encode()).hexdigest()[:10]


def register() -> None:
    """What the config files refer to."""
    from trainer.usage import choices

    def resolver(name: str, function: Any, **options: bool) -> None:
        OmegaConf.register_new_resolver(name, function, replace=True, **options)

    resolver("run_suffix", lambda: secrets.token_hex(2), use_cache=True)
    resolver("sweep_hash", sweep_hash)
    resolver("file_name", file_name)
    resolver("choices", choices)


register()
