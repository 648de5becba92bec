"""What the numbers say, in sentences."""

from collections.abc import Iterator, Sequence

from trainer.job.compare.budgets import AXES, Reached
from trainer.job.compare.comparison import FEWEST, Comparison, Replica, Row, Table
from trainer.job.compare.groups import Group
from trainer.job.compare.numbers import amount, chance
from trainer.job.compare.significance import MOST_SEEDS, Difference, Kind

CORRECTED = {"holm": "Holm p", "bonferroni": "Bonferroni p", "none": "p"}
TRAINING_ONLY = ("subset", "imbalance", "label_noise", "threshold_class", "download")


def verdicts(of: Comparison, table: Table) -> list[str]:
    """A sentence for each group but the baseline; one where there is nothing to compare."""
    if len(of.groups) == 1:
        return ["One group: there is nothing to compare it with."]
    if of.baseline.label in table.missing:
        return [f"{of.baseline.label} has no validation so early: nothing to compare with."]
    return [verdict(of, row, row.difference) for row in table.rows if row.difference is not None]


def replications(of: Comparison) -> list[str]:
    """Whether what was published came out again, a sentence for each group."""
    return [replication(of, one) for one in of.replicas]


def replication(of: Comparison, one: Replica) -> str:
    """One group beside the published interval."""
    assert of.published is not None  # noqa: S101  (or there were no replicas)
    alone = len(of.groups) == 1
    value = of.unit.value(one.value, sign=not alone) + (of.unit.name if alone else of.unit.points)
    wanted = of.unit.bounds(*of.published, sign=not alone)
    verdicts = {
        True: "replicated",
        False: "not replicated",
        None: f"no verdict, {FEWEST} seeds are the least",
    }
    return f"{one.label}: {value}, published {wanted}: {verdicts[one.passed]}."


def verdict(of: Comparison, row: Row, found: Difference) -> str:
    """Where a group stands against the baseline, and whether that is beyond noise."""
    base = of.baseline.label
    if found.kind == "none":
        return f"{place(of, row, found)}: one seed, no interval; {more_seeds(found)}."
    if not found.deviation:
        if abs(found.mean) <= 1e-12:
            return f"{row.label} equals {base} in each of {found.seeds} seeds."
        same = f"{place(of, row, found)} in each of {found.seeds} seeds"
        return f"{same}: with no deviation there is nothing to judge it by; run more seeds."
    bounds = of.unit.bounds(found.low, found.high, sign=True)
    details = f"{100 * of.interval.level:g} % interval {bounds}, {p_value(of, found)}"
    text = f"{place(of, row, found)} ({details}, {how(found)})"
    if found.beyond:
        return f"{text}: beyond noise."
    excludes = found.low is not None and found.high is not None and found.low * found.high > 0
    why = " once all comparisons are counted" if excludes and of.correction != "none" else ""
    return f"{text}: within noise{why}; {more_seeds(found)}."


def place(of: Comparison, row: Row, found: Difference) -> str:
    """`mining=ohem is 0.42 points above mining=none`, and which of the two is better if low is."""
    size = of.unit.value(abs(found.mean))
    if not size.strip("0."):
        return f"{row.label} is level with {of.baseline.label}"
    side = "above" if found.mean > 0 else "below"
    text = f"{row.label} is {size}{of.unit.points} {side} {of.baseline.label}"
    if of.mode == "max":
        return text
    return f"{text}, which is {'worse' if found.mean > 0 else 'better'}"


def p_value(of: Comparison, found: Difference) -> str:
    """`Holm p = 0.02`."""
    text = chance(found.adjusted)
    return f"{CORRECTED[of.correction]} {text if text.startswith('<') else f'= {text}'}"


def how(found: Difference) -> str:
    """How many seeds, and whether they are the same."""
    kinds: dict[Kind, str] = {
        "paired": f"{found.seeds} seeds, paired",
        "Welch": f"{found.seeds} seeds or more, not the same: Welch",
        "none": "1 seed",
    }
    return kinds[found.kind]


def more_seeds(found: Difference) -> str:
    """How many it would take."""
    if found.kind == "none":
        return "two of each are the least, five are of use (-m seed=0,1,2,3,4)"
    if found.needed is None:
        return f"not even {MOST_SEEDS:,} seeds would show a difference as small"
    seeds = "seed" if found.more == 1 else "seeds"
    return f"about {found.more:,} more {seeds} would show a difference of this size (80 % power)"


def costs(of: Comparison) -> list[str]:
    """What each group spent until it was as good as the target."""
    return [cost_of(of, one) for one in of.reached]


def cost_of(of: Comparison, one: Reached) -> str:
    """One group's way to the target."""
    goal = f"{of.curve_metric} {of.unit.value(of.target)}{of.unit.name}"
    if not one.reached:
        return f"{one.label} does not reach {goal}."
    spent = [
        f"{amount(sum(costs) / len(costs))} {axis.name}"
        for axis in AXES
        if (costs := one.spent[axis.key])
    ]
    seeds = f"{one.reached} of {one.runs} seeds"
    return f"{one.label} reaches {goal} after {', '.join(spent)} ({seeds})."


def notes(of: Comparison) -> list[str]:
    """What makes the comparison less than fair, or less than it could be."""
    return [
        *apples(of),
        *other_machines(of.groups),
        *few_seeds(of),
        *([] if len(of.equal) == len(AXES) else [not_recorded(of)]),
    ]


def apples(of: Comparison) -> Iterator[str]:
    """Whether the groups were tested on the same images, by the same measure."""
    keys = {key for one in of.groups for key in one.choices}
    other = sorted(
        key
        for key in keys
        if key.partition(".")[0] in ("dataset", "task")
        and key.partition(".")[2] not in (*TRAINING_ONLY, "val_fraction")
    )
    if other:
        yield (
            f"apples and oranges: the groups differ in {', '.join(other)}, so {of.metric} is not "
            "of the same images and labels in each"
        )
    if "dataset.val_fraction" in keys:
        yield "the groups differ in dataset.val_fraction: val is of other images in each"
    if of.metric.endswith("/loss") and any(key.partition(".")[0] == "loss" for key in keys):
        yield f"{of.metric} is another function in each group: compare by job.metric=test/nll"


def other_machines(groups: Sequence[Group]) -> Iterator[str]:
    """Whether seconds, and results to the last digit, can be compared."""
    runs = [run for one in groups for run in one.runs]
    places = sorted(
        {f"{run.result.get('device')}, {run.result.get('threads')} threads" for run in runs}
    )
    if len(places) > 1:
        yield f"seconds are of different machines ({'; '.join(places[:5])}): do not compare them"
    versions = sorted({str(run.result.get("versions")) for run in runs})
    if len(versions) > 1:
        yield f"the runs are of {len(versions)} different versions of trainer, torch or Python"


def few_seeds(of: Comparison) -> Iterator[str]:
    """Groups that an interval is missing for, or that cannot be paired."""
    for one in of.groups:
        if len(one.runs) == 1:
            yield f"{one.label} has one seed: no deviation and no interval"
        elif one.seeds != of.baseline.seeds and len(of.baseline.runs) > 1:
            ours, theirs = (", ".join(map(str, seeds)) for seeds in (one.seeds, of.baseline.seeds))
            yield f"{one.label} has seeds {ours}, the baseline {theirs}"


def not_recorded(of: Comparison) -> str:
    """Which costs no table is of, and why."""
    there = {table.axis for table in of.equal}
    names = ", ".join(axis.name for axis in AXES if axis not in there)
    return f"not every run has recorded {of.curve_metric} with {names}: no table at equal {names}"


def method(of: Comparison) -> list[str]:
    """How the numbers came about."""
    level = f"{100 * of.interval.level:g} %"
    corrections = {
        "holm": "corrected for their number within each table (Holm)",
        "bonferroni": "multiplied by their number within each table (Bonferroni)",
        "none": "not corrected for their number",
    }
    return [
        "± is the standard deviation over seeds; intervals are those of a mean: "
        f"{level} {of.interval.about}.",
        "Differences are taken seed by seed where two seeds or more are the same (paired), "
        f"otherwise by Welch. P values are of t tests, {corrections[of.correction]}; beyond noise "
        f"is p < {1 - of.interval.level:.2g}.",
        "Seeds to add: for 80 % power at the strictest step of the correction, if the difference "
        "and the deviation seen are the true ones; a rough guide.",
        f"At equal cost: {of.curve_metric} of the last validation within the budget, which is the "
        "least that any run has spent in the end; nothing is interpolated.",
        "Cost of a value: that of the first validation as good, the mean over the seeds that have "
        "one.",
    ]
