"""The hardest texts of a run, as a table for TensorBoard; of images there are pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.core.text import beginning, escape_markdown
from trainer.dataset.shared.texts import Texts
from trainer.history.pictures import NUMBER, apart, captions

if TYPE_CHECKING:
    import numpy as np

    from trainer.dataset import Data
    from trainer.history.analysis import History

LONGEST = 1000  # characters of a text in the table


def hardest_texts(history: History, data: Data, last: int = 5) -> str | None:
    """A table in Markdown of the texts with the highest mean loss in the `last` epochs.

    Those lately wrong stand apart, as in the pictures. None for images, and without a record.
    """
    source = data.train.images
    hardest = history.hardest(len(history.ids), last)
    if not isinstance(source, Texts) or not len(hardest):
        return None
    parts = apart(history, hardest, last)
    return "\n\n".join(
        section(title, source, ids[:NUMBER], captions(history, data, ids[:NUMBER], last))
        for title, ids in parts
    )


def section(title: str, source: Texts, ids: np.ndarray, lines: list[list[str]]) -> str:
    """A title, and a row for each of the ids [k]: its caption and its text."""
    texts = [beginning(str(source.texts[i]), LONGEST) for i in ids.tolist()]
    cells = [[*line, text] for line, text in zip(lines, texts, strict=True)]
    rows = [f"| {' | '.join(map(escape_markdown, row))} |" for row in cells]
    width = len(cells[0])
    return "\n".join([f"**{title}**", "", "| " * width + "|", "| --- " * width + "|", *rows])
