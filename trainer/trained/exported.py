"""Models for other programs: a torch.export program, an ONNX file, a plain state dict.

Each writer returns what applies the written file to pixels, so that it can be compared.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainer.core.errors import ConfigError
from trainer.model.shared.library import Library

if TYPE_CHECKING:
    from pathlib import Path

    from torch.export import ExportedProgram

    from trainer.trained.loaded import LoadedModel

Apply = Callable[[Tensor], Tensor]  # pixels uint8 [B, C, H, W] → outputs [B, ...], on the CPU
EXAMPLES = 2  # in the batch that is traced: torch.export takes sizes 0 and 1 for constants
INPUT, OUTPUT = "images", "outputs"


class Deployed(nn.Module):
    """A loaded model with its standardisation: pixels uint8 [B, C, H, W] → outputs [B, ...]."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Standardise and apply the network."""
        return self.model(self.model.standardise(images))


def program(model: LoadedModel) -> ExportedProgram:
    """Trace a model for batches of any size. Raises ConfigError where torch.export cannot."""
    example = torch.zeros(EXAMPLES, *model.shape, dtype=torch.uint8)
    batch = {INPUT: {0: torch.export.Dim("batch")}}
    try:
        with quiet():
            return torch.export.export(Deployed(model).eval(), (example,), dynamic_shapes=batch)
    except Exception as error:  # of many kinds, some without a common base
        raise cannot_export(model, error) from error


def write_torch(model: LoadedModel, path: Path) -> Apply:
    """Write a program that `torch.export.load` reads, with data.json beside its graph."""
    extra = {"data.json": json.dumps(model.trained_on.record())}
    buffer = io.BytesIO()  # torch aborts the process where the disk is full
    torch.export.save(program(model), buffer, extra_files=extra)
    path.write_bytes(buffer.getbuffer())
    return torch.export.load(path).module()


def write_onnx(model: LoadedModel, path: Path) -> Apply:
    """Write an ONNX file, with class names, mean and so on in its metadata."""
    import onnxruntime

    traced = program(model)
    try:
        with quiet():
            made = torch.onnx.export(
                traced, dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT]
            )
    except Exception as error:
        raise cannot_export(model, error) from error
    if made is None:
        raise ConfigError("job.format=onnx: torch.onnx.export has returned nothing")
    for name, value in model.trained_on.record().items():
        made.model.metadata_props[name] = json.dumps(value)
    made.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def apply(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    return apply


def write_state_dict(model: LoadedModel, path: Path) -> Apply:
    """Write the weights by name: those of torchvision's and timm's networks are the library's own.

    The file is applied by another copy of the network, its own weights set to 0 before.
    """
    buffer = io.BytesIO()
    torch.save(plain_network(model.network).state_dict(), buffer)
    path.write_bytes(buffer.getbuffer())
    other = copy.deepcopy(model)
    for value in (*other.network.parameters(), *other.network.buffers()):
        value.data.zero_()
    state = torch.load(path, map_location="cpu", weights_only=True)
    plain_network(other.network).load_state_dict(state)
    return Deployed(other).eval()


def plain_network(network: nn.Module) -> nn.Module:
    """The library's own network inside ours; any other network as it is."""
    return network.network if isinstance(network, Library) else network


def resized_to(model: LoadedModel) -> int | None:
    """The side of the square to which a library's network has its images resized; None if not."""
    return model.network.side if isinstance(model.network, Library) else None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what torch warns, logs and prints about its own code while it traces."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def cannot_export(model: LoadedModel, error: Exception) -> ConfigError:
    """The error for a network that cannot be traced, with the first line of the reason."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    kind = type(plain_network(model.network)).__name__
    return ConfigError(f"job.format: {kind} cannot be exported for batches of any size: {reason}")
