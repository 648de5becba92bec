"""The command line: composes the config, runs it, turns an error into one line and an exit code.

Nothing here imports torch, so that `--help`, `--cfg job` and completion answer at once. Signals are
handled before Hydra is imported.
"""

import atexit
import os
import signal
import sys
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import trainer
from trainer.core.errors import ConfigError, Interrupted, complain
from trainer.core.signals import Signals, cause_of, ignore, immediate
from trainer.core.text import replace_unencodable
from trainer.report.streams import make_lenient

if TYPE_CHECKING:
    from trainer.config.compose import CONF

__all__ = ["CONF", "main", "register"]


def __getattr__(name: str) -> Any:
    if name != "CONF":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trainer.config.compose import CONF

    return CONF


@cache
def register() -> None:
    """Register with Hydra the schema, the launcher and the callback that the config names."""
    from hydra.conf import HydraConf
    from hydra.core.config_store import ConfigStore

    from trainer.config import faster_hydra, schema
    from trainer.sweep import launcher
    from trainer.sweep.answer import sweeper

    faster_hydra.install()
    schema.register()
    launcher.register()
    sweeper.register()
    folders = HydraConf(callbacks={"folders": {"_target_": "trainer.cli.folders.Folders"}})
    store = ConfigStore.instance()
    store.store(group="hydra", name="config", node=folders, provider="hydra")
    # Hydra copies the whole store for each group that it lists: without this, --help takes 2.9
    # times as long (processor time of 7 alternating runs: 3.5 to 3.8 s against 1.1 to 1.3 s).
    ConfigStore.__deepcopy__ = lambda self, _: self  # pyright: ignore


def check_flags(arguments: list[str]) -> None:
    """Raise ConfigError for a flag that Hydra does not know, instead of argparse's usage page."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()

    def fail(message: str) -> NoReturn:
        raise ConfigError(message)

    parser.error = fail  # pyright: ignore
    flags = parser.parse_args(arguments)
    if flags.config_dir:
        from trainer.core.yaml_limits import check_folder

        check_folder(Path(flags.config_dir))


def main() -> None:
    """The entry point of `python -m trainer` and of the console script."""
    try:
        # Before its run begins, a process of torchrun's may end without a word: rank 0 has one.
        alone = os.environ.get("RANK", "0") == "0"
        with Signals() if alone else nullcontext(), immediate():
            make_lenient()
            run()
    except KeyboardInterrupt as error:
        stopped = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
        complain(f"stopped by signal {stopped.signal_number} before the run began")
        sys.exit(stopped.exit_code)
    finally:
        atexit.register(ignore)  # what is done is done: the exit code is to say so


def run() -> None:
    """Run the command line, and exit with its exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors are raised here, not printed by Hydra
    os.environ["PYTHONSAFEPATH"] = "1"  # of the processes that are started: see trainer/__init__
    if Path(sys.argv[0]).name == "__main__.py":
        sys.argv[0] = "trainer"  # the command that completion is installed for
    arguments = multirun_first(sys.argv[1:])
    replace_unencodable()
    if "--version" in arguments:
        sys.stdout.write(f"trainer {trainer.__version__}\n")
        return
    from trainer.cli import launch

    launch.exit_codes.clear()
    try:
        start_hydra(arguments)
    except Exception as error:
        error = cause_of(error)
        if isinstance(error, Interrupted):
            raise error from None
        code = launch.report_error(error, arguments, debug="debug=true" in arguments)
        sys.exit(2 if code == 1 and isinstance(error, OSError) else code)  # hydra.run.dir
    codes = launch.exit_codes
    sys.exit(codes[0] if len(codes) == 1 else int(any(codes)))


def multirun_first(arguments: list[str]) -> list[str]:
    """Move `-m` in front of the overrides, of which argparse takes only one block."""
    return sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))


def start_hydra(arguments: list[str]) -> None:
    """Check the arguments, and have Hydra compose the config and call `launch.task`."""
    import hydra

    from trainer.cli import launch
    from trainer.config.compose import CONF, typed_at_home
    from trainer.config.overrides import with_common_settings
    from trainer.config.run_names import with_paths
    from trainer.distributed import torchrun

    check_flags(arguments)
    torchrun.check_sweep(arguments)
    own = map(typed_at_home, with_common_settings(torchrun.own_arguments(arguments), CONF))
    sys.argv[1:] = map(with_paths, own)
    register()
    from trainer.sweep import launcher, sweeper
    from trainer.sweep.answer import sweeper as answer

    sweeper.install()
    answer.install()
    launcher.install()
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(launch.task)()


if __name__ == "__main__":
    main()
