"""A config-driven experiment runner for image models, built around the hard example."""

import os
import sys

if (
    sys.argv[:1] == ["-m"]
    and sys.orig_argv[-len(sys.argv)].endswith("trainer")
    and not sys.flags.safe_path
):
    # `python -m trainer`: Python looks for modules in the current folder before all others, but a
    # folder from anywhere must not replace yaml or torch. `config/import_path.py` adds it again at
    # the end where a setting names code in it; a checkout that is not installed needs it there.
    here = sys.path.pop(0)
    if os.path.dirname(os.path.dirname(__file__)) == here:  # noqa: PTH120  (pathlib is not needed)
        sys.path.append(here)

from typing import TYPE_CHECKING

from trainer.core.lazy import exports

if TYPE_CHECKING:
    from trainer import history
    from trainer.trained.load import load

__version__ = "0.1.0"

__getattr__, __dir__ = exports(__name__, {"history": "history", "load": "trained.load"})
