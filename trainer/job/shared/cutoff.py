"""How many of the ranked labels are called suspect: by an estimate, a rate, a value or a rule."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.core.errors import ConfigError
from trainer.history.analysis import PERCENTILE, Suspects

if TYPE_CHECKING:
    from trainer.history.confident_joint import LabelErrors

ESTIMATED, THRESHOLD = "estimated", "threshold_class"
RATE = re.compile(r"(\d+(?:\.\d+)?) ?%")

Cutoff = float | str | None


@dataclass(frozen=True)
class Scored:
    """Scores of n examples, and what the rules for a cut-off need."""

    ids: np.ndarray  # [n] dataset ids
    values: np.ndarray  # [n] NaN where there is none
    sign: float  # of the values, for the most suspect to be the highest
    wrong: np.ndarray | None  # [n] whether the label is wrong; None if that is not known
    marked: np.ndarray  # [t] the values of the threshold class
    rule: float | None  # from which value on labels are suspect, such as an AUM of 0; None: no rule


def checked(cutoff: Cutoff) -> Cutoff:
    """Return the setting. Raises ValueError for what it cannot be."""
    if not isinstance(cutoff, str) or cutoff in (ESTIMATED, THRESHOLD):
        return cutoff
    if rate_of(cutoff) is None:
        raise ValueError(
            f"job.cutoff must be {ESTIMATED}, {THRESHOLD}, null, a score such as 0.5 or a rate "
            f"such as 10%, got {cutoff}"
        )
    return cutoff


def rate_of(cutoff: Cutoff) -> float | None:
    """The fraction that a percentage from 0 to 100 means; None for anything else."""
    match = RATE.fullmatch(cutoff) if isinstance(cutoff, str) else None
    return float(match[1]) / 100 if match and float(match[1]) <= 100 else None


def select(scored: Scored, cutoff: Cutoff, expected: LabelErrors | None) -> Suspects:
    """Rank the examples and flag the first; without an estimate, `estimated` is the rule."""
    scores = scored.sign * scored.values
    order = np.argsort(-scores, kind="stable")
    order = order[~np.isnan(scores[order])]
    values, rate = scored.values[order], rate_of(cutoff)
    if rate is not None or (cutoff == ESTIMATED and expected is not None):
        share = int((rate or 0) * len(order) + 0.5)
        flagged = min(share if expected is None or rate is not None else expected.total, len(order))
        value = float(values[flagged - 1]) if flagged else math.nan
    else:
        limit = limit_of(scored, cutoff)
        flagged = int((scores[order] >= limit).sum())
        value = scored.sign * limit + 0.0  # no −0
    wrong = None if scored.wrong is None else scored.wrong[order]
    return Suspects(scored.ids[order], values, value, flagged, wrong)


def limit_of(scored: Scored, cutoff: Cutoff) -> float:
    """The lowest sign · value flagged. Raises ConfigError for a cut-off that these scores lack."""
    if isinstance(cutoff, (int, float)):
        if scored.rule is None and not 0 <= cutoff <= 1:
            raise ConfigError(
                f"job.cutoff={cutoff:g}: mean ranks are from 0 to 1; take a number between them, "
                "or a rate such as 10%"
            )
        return scored.sign * cutoff
    marked = scored.sign * scored.marked[~np.isnan(scored.marked)]
    if cutoff == THRESHOLD and not len(marked):
        raise ConfigError(
            f"job.cutoff={THRESHOLD}: no example of the threshold class has a score; train with "
            f"dataset.threshold_class=true, or take job.cutoff={ESTIMATED}"
        )
    if len(marked):
        return float(np.percentile(marked, 100 - PERCENTILE))
    if scored.rule is None:
        raise ConfigError(
            f"job.cutoff={'null' if cutoff is None else cutoff}: mean ranks have no such rule; "
            f"take job.cutoff={ESTIMATED}, or a rate such as 10%"
        )
    return scored.sign * scored.rule
