"""What models of texts share: word ids, and their vectors."""

import torch
from torch import Tensor, nn

BOUND = 0.25  # of the initial vectors, as in Kim's code


def vectors(words: int, dimensions: int) -> nn.Embedding:
    """Vectors [words, dimensions] that are trained, uniform on ±0.25 at first; padding's is 0."""
    made = nn.Embedding(words, dimensions, padding_idx=0)
    with torch.no_grad():
        made.weight.uniform_(-BOUND, BOUND)
        made.weight[0] = 0
    return made


def lengths(ids: Tensor) -> Tensor:
    """The number [B] of words of each text in word ids [B, L], of which 0 is padding."""
    return (ids != 0).sum(1)


def trimmed(ids: Tensor) -> Tensor:
    """On a CPU, word ids [B, L] without the columns in which every text has ended.

    A GPU would wait for their number. No model's outputs depend on padding.
    """
    if ids.device.type != "cpu" or torch.compiler.is_compiling():
        return ids
    return ids[:, : max(1, int(lengths(ids).max()))] if len(ids) else ids
