"""A trained run's model for other programs, checked against the run on real images."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from trainer.core.errors import ConfigError, DataError, TrainerError
from trainer.core.extra import missing
from trainer.core.forward import centre
from trainer.core.ranges import within
from trainer.core.text import count
from trainer.job.base import Job
from trainer.trained.exported import (
    Deployed,
    resized_to,
    write_onnx,
    write_state_dict,
    write_torch,
)

if TYPE_CHECKING:
    from trainer.dataset import Data
    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder
    from trainer.trained.exported import Apply
    from trainer.trained.loaded import LoadedModel

Format = Literal["torch", "onnx", "state_dict"]

COMPARED = 64  # images
WRITERS = {"torch": write_torch, "onnx": write_onnx, "state_dict": write_state_dict}
FILES = {"torch": "model.pt2", "onnx": "model.onnx", "state_dict": "state_dict.pt"}
USE = {
    "torch": "torch.export.load({path!r}).module()(images)",
    "onnx": "onnxruntime.InferenceSession({path!r}).run(None, {{'images': images}})",
    "state_dict": "network.load_state_dict(torch.load({path!r}, weights_only=True))",
}


class Export(Job):
    """Writes the model of `run`, with `data.json`, in a `format` that others read without us.

    `torch` is a torch.export program and `onnx` an ONNX file, which map pixels uint8 [B, C, H, W],
    for any B, to outputs before postprocessing. `state_dict` has the weights alone, with the names
    of the library's own network. Raises TrainerError if the outputs on 64 images of `split`, or of
    the setting `source`, differ from the run's by more than `tolerance` of the largest.
    """

    def __init__(self, *, format: Format = "torch", tolerance: float = 1e-3) -> None:  # noqa: A002
        within("job.tolerance", tolerance, "(0, inf)")
        needed = ("onnx", "onnxscript", "onnxruntime") if format == "onnx" else ()
        if any(find_spec(package) is None for package in needed):
            raise missing("job.format=onnx", "onnx")
        self.format: Format = format
        self.tolerance = tolerance

    def __call__(
        self,
        *,
        saved: str | None,
        load_model: Callable[[], LoadedModel],
        read_files: Callable[[LoadedModel, str, int], Tensor],
        saved_data: Callable[[str | None, str], tuple[Path, Data]],
        source: str | None,
        split: str,
        folder: RunFolder,
        console: Console,
    ) -> dict[str, Any]:
        """Write the file, compare it and say how it is used."""
        model = load_model().cpu()
        if model.trained_on.kind == "text":
            raise ConfigError(f"job=export is for models of images; {saved} was trained on texts")
        path = folder.path / FILES[self.format]
        apply = WRITERS[self.format](model, path)
        model.trained_on.write(folder.path)
        if source is not None:
            images, of = read_files(model, source, COMPARED), source
        else:
            images, of = real_images(model, lambda: saved_data(saved, "run")[1], split, console)
        compared = compare(Deployed(model).eval(), apply, images)
        self.say(model, path, compared, of, console)
        if not compared["largest_difference"] <= self.tolerance * max(
            1, compared["largest_output"]
        ):
            raise TrainerError(
                f"{path} does not agree with the run: its outputs differ by up to "
                f"{compared['largest_difference']:.3g}; job.tolerance={self.tolerance:g}"
            )
        about = {"path": str(path), "checkpoint": str(model.checkpoint), "of": of}
        return {"export": about | compared | {"resized_to": resized_to(model)}}

    def say(
        self, model: LoadedModel, path: Path, compared: dict[str, Any], of: str, console: Console
    ) -> None:
        """Print what was compared and how the file is used."""
        line = (
            "largest difference {largest_difference:.3g} on {images} of {of}, outputs up to "
            "{largest_output:.3g}"
        ).format(**compared | {"images": count(compared["images"], "image")}, of=of)
        if model.trained_on.target in ("class", "mask"):
            line += f"; the same class for {compared['same_class']}"
        console.say(line)
        console.say(f"exported      {path}")
        console.say(f"use           {USE[self.format].format(path=str(path))}")
        shape = ", ".join(map(str, model.shape))
        side = resized_to(model)
        if self.format != "state_dict":
            console.say(f"images        uint8 [B, {shape}]; classes are in data.json beside it")
        else:
            resized = "" if side is None else f", resized to {side}x{side}"
            console.say(
                f"images        float32 [B, {shape}]{resized}, standardised by the mean and std of "
                "data.json beside it, for pixels in [0, 1]"
            )


def real_images(
    model: LoadedModel, data: Callable[[], Data], name: str, console: Console
) -> tuple[Tensor, str]:
    """Images uint8 [n, C, H, W] of a split of the run's data set, and its name.

    Another split where it has no examples, and noise, said, where the data set is gone.
    """
    try:
        opened = data()
    except DataError as error:
        console.warn(f"{error}: compared on noise instead; source=... names images")
        rng, shape = torch.Generator().manual_seed(0), (COMPARED, *model.shape)
        return torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8), "noise"
    names = (name, "test", "val", "train")
    name = next(name for name in names if len(getattr(opened, name)))
    split = getattr(opened, name)
    number = min(COMPARED, len(split))
    ids = split.ids[torch.arange(number) * len(split) // number]
    return centre(split.images.read(ids.tolist()), model.shape[1:]), name


@torch.no_grad()
def compare(reference: Apply, apply: Apply, images: Tensor) -> dict[str, Any]:
    """Compare outputs on images uint8 [n, C, H, W]: as one batch, and the first one alone."""
    expected, found = reference(images), apply(images)
    alone = (apply(images[:1]) - expected[:1]).abs().max().item()
    same = (found.argmax(1) == expected.argmax(1)).reshape(len(images), -1).all(1)
    return {
        "images": len(images),
        "largest_difference": max((found - expected).abs().max().item(), alone),
        "largest_output": expected.abs().max().item(),
        "same_class": int(same.sum()),
    }
