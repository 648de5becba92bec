"""Predictions of finished runs on image files, or texts, without labels; opens no data set."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from trainer.core.errors import ConfigError, DataError
from trainer.core.forward import Forward
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.parallel import available_cores
from trainer.dataset.shared.texts import Texts
from trainer.storage.trained_on import TrainedOn, places_of, shown
from trainer.trained.load import restore_model
from trainer.trained.pixels import UnreadableFileError, read_pixels
from trainer.trained.predictions import Named, saved_runs
from trainer.trained.sources import files_of, texts_of

if TYPE_CHECKING:
    from trainer.run.components import Components
    from trainer.storage.saved_run import SavedRun
    from trainer.trained.loaded import LoadedModel
    from trainer.trained.tta import View

Corrupt = Literal["raise", "skip"]

LISTED = 10  # unreadable files in a message
SHOWN = 64  # images kept for the picture
NOT_READ = ("dataset", "model", "postprocess", "split")  # settings that `source` replaces


@dataclass
class FilePredictions:
    """The outputs of one or several runs for the N readable files, or texts, of a source."""

    trained_on: TrainedOn  # of the first run
    checkpoints: list[Path]
    paths: list[str] = field(default_factory=list)  # [N]
    values: Tensor = field(default_factory=lambda: torch.empty(0))  # [N, C]; see `LoadedModel`;
    # of boxes [N, K, 6]: class from 1, probability, edges
    thresholds: Tensor | None = None  # [C] above which each of several labels is present
    first: list[Tensor] = field(default_factory=list)  # pixels of the first few
    unreadable: dict[str, str] = field(default_factory=dict)  # path → why
    column: str = "path"  # what `paths` holds: text, where there are no files


def predict_files(
    outer: Components,
    named: Named,
    source: str,
    tta: View | list[View],
    corrupt: Corrupt,
    *,
    precision: str,
) -> FilePredictions:
    """Predict on the files of a source with the run or the mean of the runs `named`.

    Probabilities, after postprocessing; the outputs themselves of a regression. Raises ConfigError
    for settings that have no effect, DataError for files that cannot be read.
    """
    check_overrides(outer.overrides)
    saved = saved_runs(*named)
    names: list[View] = tta if isinstance(tta, list) else [tta]
    views: list[View] = [view for view in names if view != "none"]
    models = [model_of(outer, run, views) for run in saved]
    check_alike(models)
    about = models[0].trained_on
    if about.kind == "text":
        texts, empty = texts_of(source, saved[0].text_column)
        if empty and corrupt == "raise":
            place, reason = next(iter(empty.items()))
            raise DataError(f"{place}: {reason}; job.corrupt=skip leaves such rows out")
        return predict_texts(outer, models, texts, empty, precision)
    paths, note = files_of(source)
    if note is not None:
        outer.console.warn(note)
    predictions = FilePredictions(about, [model.checkpoint for model in models])
    forwards = [forward_of(model, outer.device, precision) for model in models]
    parts = []
    for images in decoded(paths, models, outer.eval_batch_size, corrupt, predictions):
        outer.poll()
        if images:
            parts.append(mean_of(models, forwards, images))
    report_unreadable(predictions, len(paths), corrupt)
    predictions.values = torch.cat(parts)
    return with_thresholds(predictions, models)


def predict_texts(
    outer: Components,
    models: list[LoadedModel],
    texts: list[str],
    empty: dict[str, str],
    precision: str,
) -> FilePredictions:
    """Predict on texts; `empty` are the places of those left out, with a reason."""
    about, checkpoints = models[0].trained_on, [model.checkpoint for model in models]
    predictions = FilePredictions(about, checkpoints, texts, unreadable=empty, column="text")
    kinds = [model.trained_on for model in models]
    sources = [Texts(texts, kind.shape[0], kind.vocabulary) for kind in kinds]
    forwards = [forward_of(model, outer.device, precision) for model in models]
    parts = []
    for rows in torch.arange(len(texts)).split(outer.eval_batch_size):
        outer.poll()
        parts.append(mean_of(models, forwards, [each.read(rows.tolist()) for each in sources]))
    predictions.values = torch.cat(parts)
    return with_thresholds(predictions, models)


def with_thresholds(predictions: FilePredictions, models: list[LoadedModel]) -> FilePredictions:
    """The predictions, of several labels with the mean of the models' thresholds."""
    about = predictions.trained_on
    if about.target == "multilabel":
        each = [model.thresholds[places_of(about.classes, model.classes)] for model in models]
        predictions.thresholds = torch.stack(each).mean(0)
    return predictions


def check_overrides(overrides: Sequence[str]) -> None:
    """Raise ConfigError for settings that have no effect on files without labels."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key.partition(".")[0] in NOT_READ:
            raise ConfigError(f"{override} has no effect on source=...; leave one of them out")


def model_of(outer: Components, saved: SavedRun, tta: list[View]) -> LoadedModel:
    """The model of a run; what an older run was trained on is found in its data set."""
    record = saved.trained_on()
    if record is None:
        config = saved.config(outer.known_code)
        components = outer.of_saved(config, asked=False, trained_on=None)
        record = TrainedOn.of(components.data, saved.folder, components.class_counts)
    warn = outer.console.warn
    return restore_model(saved, outer.known_code, warn, record, tta).to(outer.device)


def read_first(model: LoadedModel, source: str, number: int) -> Tensor:
    """The pixels uint8 [n, C, H, W] of the first files of a source, `number` at most."""
    paths, _ = files_of(source)
    return torch.stack([read_pixels(path, model.trained_on) for path in paths[:number]])


def check_alike(models: list[LoadedModel]) -> None:
    """Raise ConfigError for models of masks, and for several of different classes or no classes."""
    first = models[0].trained_on
    for about in (model.trained_on for model in models):
        if about.kind != first.kind:
            raise ConfigError(
                f"runs: {first.run} was trained on {first.kind}s, {about.run} on {about.kind}s; an "
                "ensemble needs one kind"
            )
        if about.target in ("mask", "image"):
            raise ConfigError(f"source needs a class or numbers per image, not {about.target}s")
        alone = about.target in ("vector", "boxes")
        if len(models) > 1 and (about.target != first.target or alone):
            raise ConfigError(f"runs: an ensemble needs class labels, not {about.target} labels")
        if set(about.classes) != set(first.classes):
            names = first.classes, about.classes
            lists = f"{shown(*names)} and {shown(*names[::-1])}"
            raise ConfigError(f"runs: {first.run} and {about.run} have different classes: {lists}")


def forward_of(model: LoadedModel, device: torch.device, precision: str) -> Forward:
    """The forward pass of a model in a precision."""
    about = model.trained_on
    return Forward(
        model.network, mean=about.mean, std=about.std, device=device, precision=precision
    )


def mean_of(models: list[LoadedModel], forwards: list[Forward], images: list[Tensor]) -> Tensor:
    """The mean of the models' values [B, C] for each one's pixels uint8 [B, ...], on the CPU."""
    first, values = models[0], []
    for model, forward, pixels in zip(models, forwards, images, strict=True):
        with forward.read_only():
            outputs = forward(forward.inputs(pixels.to(forward.device)))
            if model.trained_on.target == "vector":
                return outputs.cpu()
            if model.trained_on.target == "boxes":
                return model.found(outputs).cpu()
            order = places_of(first.classes, model.classes)
            values.append(model.from_outputs(outputs).cpu()[:, order])
    return torch.stack(values).mean(0)


def decoded(
    paths: list[str],
    models: list[LoadedModel],
    size: int,
    corrupt: Corrupt,
    predictions: FilePredictions,
) -> Iterator[list[Tensor]]:
    """Yield the pixels uint8 [B, ...] of each batch's readable files for each model, if any.

    The next batch is decoded meanwhile. Notes in `predictions` what was read and what was not.
    """
    kinds = [model.trained_on for model in models]
    with ThreadPoolExecutor(available_cores()) as pool:

        def begin(start: int) -> list[Future[list[Tensor] | str]]:
            return [pool.submit(attempt, path, kinds) for path in paths[start : start + size]]

        ahead = deque([begin(0)])
        for start in range(0, len(paths), size):
            ahead.append(begin(start + size))
            found = [future.result() for future in ahead.popleft()]
            batch = list(zip(paths[start : start + size], found, strict=True))
            predictions.unreadable |= {path: why for path, why in batch if isinstance(why, str)}
            if corrupt == "raise" and len(predictions.unreadable) >= LISTED:
                pool.shutdown(cancel_futures=True)
                report_unreadable(predictions, len(paths), corrupt)
            predictions.paths += [path for path, pixels in batch if not isinstance(pixels, str)]
            read = [pixels for pixels in found if not isinstance(pixels, str)]
            predictions.first += [each[0] for each in read[: SHOWN - len(predictions.first)]]
            yield [torch.stack(each) for each in zip(*read, strict=True)]


def attempt(path: str, kinds: list[TrainedOn]) -> list[Tensor] | str:
    """The pixels of a file as each model reads it, or why it cannot be read."""
    try:
        return [read_pixels(path, about) for about in kinds]
    except UnreadableFileError as error:
        return str(error)


def report_unreadable(predictions: FilePredictions, number: int, corrupt: Corrupt) -> None:
    """Raise DataError, listing the first few, if files were unreadable and may not be, or all."""
    bad = predictions.unreadable
    if not bad or (corrupt == "skip" and predictions.paths):
        return
    if number == 1:
        raise DataError(next(iter(bad.values())))
    names = ", ".join(map(printable, list(bad)[:LISTED]))
    remedy = "; job.corrupt=skip leaves them out" if corrupt == "raise" else ""
    at_least = "at least " if len(predictions.paths) + len(bad) < number else ""
    raise DataError(f"{at_least}{len(bad)} of {number} images cannot be read: {names}{remedy}")
