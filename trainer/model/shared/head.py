"""The head: the last layer, which computes the outputs. Everything before it is the backbone."""

from torch import nn

from trainer.core.errors import ConfigError
from trainer.init.base import LAYERS


def head_of(model: nn.Module) -> str:
    """Dotted name of a model's last layer.

    This is the model's attribute `head` if it is a string, otherwise the linear or convolution
    layer defined last. Raises ConfigError if there is none.
    """
    name = getattr(model, "head", None)
    if isinstance(name, str):
        return name
    layers = [name for name, module in model.named_modules() if isinstance(module, LAYERS)]
    if not layers:
        raise ConfigError(f"model: {type(model).__name__} has no linear or convolution layer")
    return layers[-1]


def inside(name: str, module: str) -> bool:
    """Whether a dotted name is `module` itself or lies inside it."""
    return name == module or name.startswith(f"{module}.")
