"""What the cards say: the label, the suggestion, and why the label is suspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.core.text import plain
from trainer.history.neighbours import nearest
from trainer.history.pictures import class_name
from trainer.job.review.page import Card, Neighbour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.core.batch import Input
    from trainer.dataset import Data
    from trainer.trained.examined import Examined

Row = dict[str, str]


def card_of(row: Row, by: str, neighbours: Sequence[Neighbour], kind: Input = "image") -> Card:
    """The card of a row of suspects; examples are of a `kind`."""
    return Card(
        int(row["id"]),
        row.get("path", ""),
        plain(row["label"]),
        plain(row["suggested"]),
        f"{float(row['suggested_p']):.0%}" if row["suggested_p"] else "",
        tuple(reasons(row, by, neighbours, kind)),
        tuple(neighbours),
    )


def reasons(row: Row, by: str, neighbours: Sequence[Neighbour], kind: Input = "image") -> list[str]:
    """Why the label is suspect, a sentence each."""
    name = by if by in row else "mean_rank" if "mean_rank" in row else "p_y"
    shown = by if name == "p_y" else name
    found = [f"rank {row['rank']} by {shown.replace('_', ' ')}: {row[name]}"]
    if "p_y" in row:
        found.append(
            f"the model gave the label a probability of {float(row['p_y']):.0%} on average"
        )
    if row.get("forgotten") == "unlearned":
        found.append("it never predicted the label")
    elif row.get("forgotten", "0") != "0":
        found.append(f"it predicted the label and forgot it again {row['forgotten']} times")
    if row.get("prediction"):
        found.append(f"it now predicts {row['prediction']}")
    if neighbours:
        agree = sum(each.label == plain(row["label"]) for each in neighbours)
        found.append(f"{agree} of the {len(neighbours)} nearest training {kind}s have the label")
    if row.get("given_label", row["label"]) != row["label"]:
        found.append(f"it was corrected before: the data set has {row['given_label']}")
    return [plain(sentence) for sentence in found]


def neighbours_of(
    examined: Examined, data: Data, ids: Sequence[int], number: int
) -> Mapping[int, list[Neighbour]]:
    """The nearest training images by id, the nearest first; none without features.

    Examples that the model was not trained on have none.
    """
    if not examined.features.shape[1] or not number:
        return {}
    places, cosines = nearest(examined.features, number)
    order = np.argsort(-cosines, axis=1, kind="stable")
    at = {i: place for place, i in enumerate(examined.ids.tolist())}
    labels = data.train.labels
    return {
        i: [
            Neighbour(other, plain(class_name(data.classes, labels[other].item())))
            for other in examined.ids[places[at[i]][order[at[i]]]].tolist()
        ]
        for i in ids
        if i in at
    }
