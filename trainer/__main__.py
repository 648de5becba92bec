"""The command line: compose the config, run, turn an error into one line and an exit code.

Nothing here imports torch: `--help`, `--cfg job` and completion answer at once.
"""

import hashlib
import os
import re
import secrets
import sys
import traceback
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from trainer import schema
from trainer.explain import explain

PACKAGE = Path(__file__).parent
CONF = next(p for p in (PACKAGE / "conf", PACKAGE.parent / "conf") if (p / "config.yaml").is_file())
LONGEST_NAME = 120

exit_codes: list[int] = []  # of the jobs of this process


def file_name(text: str) -> str:
    """A text as part of a folder's name."""
    plain = re.sub(r"[^\w.,=+-]+", "_", text.replace("/", "_"))
    if len(plain) <= LONGEST_NAME:
        return plain
    return f"{plain[:LONGEST_NAME]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def sweep_hash() -> str:
    """The same for the same overrides in any order, so that a sweep finds itself again."""
    overrides = sorted(argument for argument in sys.argv[1:] if "=" in argument)
    return hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:10]


def register() -> None:
    """What the config files refer to."""
    schema.register()
    OmegaConf.register_new_resolver(
        "run_suffix", lambda: secrets.token_hex(2), use_cache=True, replace=True
    )
    OmegaConf.register_new_resolver("sweep_hash", sweep_hash, replace=True)
    OmegaConf.register_new_resolver("file_name", file_name, replace=True)


def task(config: DictConfig) -> None:
    """One job: check what needs no torch, then run it."""
    from hydra.core.hydra_config import HydraConfig

    from trainer.launch import launch

    about = HydraConfig.get()
    sources = [source.path for source in about.runtime.config_sources if source.schema == "file"]
    exit_codes.append(
        launch(config, Path(about.runtime.output_dir), list(about.overrides.task), sources)
    )


def main() -> None:
    """The entry point of `python -m trainer` and of the console script."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, not to Hydra's printer
    register()
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
    except Exception as error:
        if "debug=true" in sys.argv:
            traceback.print_exc()
        sys.stderr.write(explain(error, sys.argv[1:], CONF) + "\n")
        sys.exit(2)
    sys.exit(exit_codes[0] if len(exit_codes) == 1 else int(any(exit_codes)))


if __name__ == "__main__":
    main()
