"""Opens the data that a finished run was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.storage.saved_run import SavedRun

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.dataset import Data
    from trainer.run.components import Components


def saved_data(outer: Components, reference: str | None, setting: str) -> tuple[Path, Data]:
    """Return the folder and data of the run that `setting` names.

    Dataset settings on the command line override the run's. Raises ConfigError if there is no such
    run, CheckpointError if its config is rejected.
    """
    saved = SavedRun.at(reference, setting)
    config = saved.config(outer.known_code)
    components = outer.of_saved(config, asked=True, trained_on=saved.trained_on())
    return saved.folder, components.data
