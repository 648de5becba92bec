"""The blocks of a model, from input to output."""

from collections.abc import Iterator

from torch import nn


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The children of a module, with Sequential and ModuleList replaced by their children."""
    for child in module.children():
        if isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield from blocks(child)
        else:
            yield child
