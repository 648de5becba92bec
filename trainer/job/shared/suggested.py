"""The class that a suspect label should probably be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.history.pictures import class_name

if TYPE_CHECKING:
    from trainer.dataset import Data


def suggested(data: Data, p: np.ndarray, labels: np.ndarray) -> dict[str, list[str]]:
    """The columns `suggested` and `suggested_p` by probabilities [k, C] and labels [k].

    The likeliest other class, never the threshold class; empty where nothing is known.
    """
    at, p = np.arange(len(p)), p.copy()
    p[at, labels] = -1
    if data.threshold is not None:
        p[:, data.threshold] = -1
    best = np.nan_to_num(p, nan=-1.0).argmax(1)
    known = ~np.isnan(p[at, best])
    return {
        "suggested": [
            class_name(data.classes, c) if k else "" for c, k in zip(best, known, strict=True)
        ],
        "suggested_p": [f"{v:.3f}" if k else "" for v, k in zip(p[at, best], known, strict=True)],
    }
