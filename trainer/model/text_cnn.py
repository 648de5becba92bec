"""Convolutions over words (Kim 2014, https://arxiv.org/abs/1408.5882), sec. 2."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.core.batch import Input
from trainer.core.ranges import within
from trainer.model.shared.embedding import lengths, trimmed, vectors


class TextCnn(nn.Module):
    """Word vectors, `filters` convolutions of each of the `widths`, ReLU, the largest over time.

    Kim's CNN-rand: the vectors are trained from the start, not pretrained. A text is padded by
    width − 1 at both ends, as in his code, so that one of any length has a window. Windows beyond
    that do not count: the outputs do not depend on padding. His bound of 3 on the norm of the
    head's rows is left out.
    """

    inputs: ClassVar[tuple[Input, ...]] = ("text",)
    head = "fc"

    def __init__(
        self,
        *,
        words: int,
        outputs: int,
        dimensions: int = 100,
        filters: int = 100,
        widths: Sequence[int] = (3, 4, 5),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        widths = list(widths)
        within("model.dimensions", dimensions, "[1, inf)")
        within("model.filters", filters, "[1, inf)")
        within("model.widths", widths, "[1, inf)")
        within("model.dropout", dropout, "[0, 1)")
        if not widths:
            raise ValueError("model.widths must list a width, got []")
        self.widths = widths
        self.vectors = vectors(words, dimensions)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(dimensions, filters, width, padding=width - 1) for width in widths
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(filters * len(widths), outputs)

    def forward(self, ids: Tensor) -> Tensor:
        """Word ids [B, L] → [B, outputs]."""
        ids = trimmed(ids)
        length, words = lengths(ids), self.vectors(ids).transpose(1, 2)  # [B], [B, D, L]
        maps = (layer(words) for layer in self.convolutions)
        pairs = zip(maps, self.widths, strict=True)
        features = [largest(each, length + width - 1) for each, width in pairs]
        return self.fc(self.dropout(torch.cat(features, 1)))


def largest(maps: Tensor, windows: Tensor) -> Tensor:
    """The largest value, at least 0, of maps [B, F, L'] over the first `windows` [B] places."""
    counts = torch.arange(maps.shape[2], device=maps.device) < windows[:, None]
    return F.relu(maps).mul(counts[:, None]).amax(2)
