"""The mean of word vectors (Joulin et al. 2017, fastText, https://arxiv.org/abs/1607.01759)."""

from typing import ClassVar

from torch import Tensor, nn

from trainer.core.batch import Input
from trainer.core.ranges import within
from trainer.model.shared.embedding import lengths, trimmed, vectors


class EmbeddingBag(nn.Module):
    """A linear layer on the mean of the text's word vectors, sec. 2; without n-grams of words.

    The mean of no words is 0.
    """

    inputs: ClassVar[tuple[Input, ...]] = ("text",)
    head = "fc"

    def __init__(
        self, *, words: int, outputs: int, dimensions: int = 100, dropout: float = 0.0
    ) -> None:
        super().__init__()
        within("model.dimensions", dimensions, "[1, inf)")
        within("model.dropout", dropout, "[0, 1)")
        self.vectors = vectors(words, dimensions)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(dimensions, outputs)

    def forward(self, ids: Tensor) -> Tensor:
        """Word ids [B, L] → [B, outputs]."""
        ids = trimmed(ids)
        mean = self.vectors(ids).sum(1) / lengths(ids).clamp(min=1)[:, None]
        return self.fc(self.dropout(mean))
