"""Loads the model of a finished run from its folder alone, without its data set."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from trainer.config.build import build
from trainer.config.compose import CONF
from trainer.config.run_names import find
from trainer.core.errors import CheckpointError
from trainer.core.option import option_name
from trainer.dataset.shared.words import word_ids
from trainer.postprocess import Postprocess
from trainer.postprocess.base import FILE as FITTED
from trainer.postprocess.none import NoPostprocess
from trainer.storage.saved_run import SavedRun, known_code
from trainer.storage.trained_on import FILE
from trainer.trained.loaded import LoadedModel
from trainer.trained.restore import load_weights
from trainer.trained.trained_run import UNFIT
from trainer.trained.tta import TestTimeAugmentation, View, check_views

if TYPE_CHECKING:
    from trainer.storage.trained_on import TrainedOn
    from trainer.trained.loaded import Finder

OLDER = {"segmentation": "mask", "regression": "vector"}  # task → kind of label, before it was kept


def load(
    run: str | Path, *, device: str | torch.device = "cpu", code: Collection[str] = ()
) -> LoadedModel:
    """Load a finished run, a folder or one of its checkpoints, in eval mode.

    As on the command line, `latest` and parts of a name stand for a run in ./outputs.
    `code` lists the import paths of your own classes that its model and its postprocessing may use.
    Nothing but the run is read. Raises ConfigError if there is no run, CheckpointError if it cannot
    be read or names other code.
    """
    path = Path(run)
    saved = SavedRun.at(str(path if path.exists() else find(str(run), "run") or path))
    known = known_code([str(CONF)], {}) | set(code)
    return restore_model(saved, known, lambda text: warnings.warn(text, stacklevel=3)).to(device)


def restore_model(
    saved: SavedRun,
    known: set[str],
    warn: Callable[[str], None],
    trained_on: TrainedOn | None = None,
    tta: Sequence[View] = (),
) -> LoadedModel:
    """The model of a run with the weights asked for, in eval mode on the CPU.

    `known` are the import paths that its config may name. `trained_on` is for a run that has no
    record of it. Probabilities are averaged over the `tta` views of an image. Raises
    CheckpointError where the record is missing or what is saved does not fit.
    """
    nodes = saved.nodes(known, "model", "postprocess", "task")
    about = complete(trained_on or saved.trained_on(), nodes["task"], saved)
    node = nodes["model"]
    if "pretrained" in node:
        node["pretrained"] = False  # nothing is to be fetched
    with torch.random.fork_rng(devices=[]):
        given = {"shape": about.shape, "words": word_ids(about.vocabulary)}
        network = build(node, "model", nn.Module, outputs=about.outputs, **given)
    checkpoint = saved.checkpoint(warn)
    load_weights(network, checkpoint)
    of = " ".join([checkpoint.path.name.removesuffix(".old"), *tta])
    postprocess = restore_postprocess(saved, nodes["postprocess"], about, of, warn)
    if tta:
        check_views(tta, about.kind, about.target)
        several = about.target == "multilabel"
        network = TestTimeAugmentation(network, list(tta), several=several)
    finder = finder_of(nodes["task"], network) if about.target == "boxes" else None
    return LoadedModel(network, about, postprocess, checkpoint.path, finder).eval()


def finder_of(node: dict[str, object], network: nn.Module) -> Finder:
    """What finds the boxes in the outputs of a model, with the run's settings."""
    from trainer.task.detection import Detection

    task = build(node, "task", Detection)
    task.bind(network)
    return task.found


def complete(about: TrainedOn | None, task: dict[str, object], saved: SavedRun) -> TrainedOn:
    """The record with what older versions left out. Raises CheckpointError without one."""
    outputs = 0 if about is None else about.outputs or len(about.classes)
    if about is None or not outputs:
        raise CheckpointError(
            f"{saved.folder} has no {FILE} with its classes: an older version wrote it; with its "
            f"data set, job=evaluate run={saved.folder} reads it"
        )
    target = about.target or OLDER.get(option_name(task.get("_target_")), "class")
    return replace(about, outputs=outputs, target=target)


def restore_postprocess(
    saved: SavedRun,
    node: dict[str, object],
    about: TrainedOn,
    of: str,
    warn: Callable[[str], None],
) -> Postprocess:
    """The run's postprocessing as it was fitted; none, said, where it was fitted to other outputs.

    `of` names the outputs: the checkpoint and its views. Raises CheckpointError where the fit does
    not fit them.
    """
    postprocess = build(node, "postprocess", Postprocess)
    if about.target == "class":
        postprocess.prepare(torch.tensor(about.class_counts, dtype=torch.int64))
    if not postprocess.load(saved.folder, node, of) and postprocess.needs_val:
        warn(f"{saved.folder}: without postprocessing, whose fit is not for the outputs of {of}")
        return NoPostprocess()
    try:
        postprocess(torch.zeros(1, about.outputs))
    except UNFIT as error:
        where = saved.folder / FITTED
        raise CheckpointError(f"{where} does not fit the model: {error!r}") from error
    return postprocess
