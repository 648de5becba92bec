"""The results in sentences: verdicts, costs, caveats and method."""

from collections.abc import Iterator, Sequence

from trainer.core.text import count
from trainer.job.compare.budgets import Reached
from trainer.job.compare.comparison import FEWEST_SEEDS, Comparison, Replica, Row, Table
from trainer.job.compare.groups import Group
from trainer.job.compare.numbers import format_amount, format_p
from trainer.job.compare.pooled import MEANS
from trainer.job.compare.significance import MOST_SEEDS, Difference, Kind

P_NAMES = {"holm": "Holm p", "bonferroni": "Bonferroni p", "none": "p"}
TRAINING_ONLY = ("subset", "imbalance", "label_noise", "threshold_class", "download")
VALIDATION_TOO = ("corrections", "fold", "folds", "val_fraction")  # test is the same


def verdicts(comparison: Comparison, table: Table) -> list[str]:
    """Return a sentence per group but the baseline, or one if there is nothing to compare."""
    if len(comparison.groups) == 1:
        return ["Only one group: there is nothing to compare it with."]
    if comparison.baseline.label in table.missing:
        return [f"{comparison.baseline.label} has no validation within this budget: no comparison."]
    return [
        verdict(comparison, row, row.difference) for row in table.rows if row.difference is not None
    ]


def replications(comparison: Comparison) -> list[str]:
    """Return a sentence per group on whether the published result is replicated."""
    return [replication(comparison, replica) for replica in comparison.replicas]


def replication(comparison: Comparison, replica: Replica) -> str:
    """Compare a group's result with the published interval."""
    assert comparison.published is not None  # noqa: S101  (or there would be no replica)
    shown, alone = comparison.format, len(comparison.groups) == 1
    value = shown.value(replica.value, sign=not alone) + (shown.unit if alone else shown.points)
    published = shown.bounds(*comparison.published, sign=not alone)
    outcomes = {
        True: "replicated",
        False: "not replicated",
        None: f"no verdict, at least {FEWEST_SEEDS} seeds are needed",
    }
    return f"{replica.label}: {value}, published {published}: {outcomes[replica.passed]}."


def verdict(comparison: Comparison, row: Row, difference: Difference) -> str:
    """Compare a group with the baseline, and state whether the difference is beyond noise."""
    where, baseline = position(comparison, row, difference), comparison.baseline.label
    if difference.kind == "none":
        return f"{where}: one seed, so no interval; {seed_advice(difference)}."
    if not difference.deviation:
        if abs(difference.mean) <= 1e-12:
            return f"{row.label} equals {baseline} with each of {difference.seeds} seeds."
        same = f"{where} with each of {difference.seeds} seeds"
        return f"{same}: differences that do not vary cannot be tested; run more seeds."
    bounds = comparison.format.bounds(difference.low, difference.high, sign=True)
    level = f"{100 * comparison.interval.level:g}% CI"
    p, seeds = p_value(comparison, difference), seeds_used(difference)
    new = row.images.bounds if row.images else None
    if new is not None:
        bounds = f"{bounds} over seeds; {comparison.format.bounds(*new, sign=True)} for new images"
    text = f"{where} ({level} {bounds}{';' if new else ','} {p}, {seeds})"
    if difference.beyond_noise:
        return f"{text}: beyond noise."
    low, high = difference.low, difference.high
    excludes_zero = low is not None and high is not None and low * high > 0
    if difference.undecided:
        return f"{text}: so few seeds cannot decide; {seed_advice(difference)}."
    corrected = excludes_zero and difference.corrected
    why = " after correction for multiple comparisons" if corrected else ""
    return f"{text}: within noise{why}; {seed_advice(difference)}."


def position(comparison: Comparison, row: Row, difference: Difference) -> str:
    """Return `mining=ohem is 0.42 points above mining=none`.

    If low is good, it also says whether that is better or worse.
    """
    size = comparison.format.value(abs(difference.mean))
    if not size.strip("0."):
        return f"{row.label} is level with {comparison.baseline.label}"
    side = "above" if difference.mean > 0 else "below"
    text = f"{row.label} is {size}{comparison.format.points} {side} {comparison.baseline.label}"
    if comparison.mode == "max":
        return text
    return f"{text}, which is {'worse' if difference.mean > 0 else 'better'}"


def p_value(comparison: Comparison, difference: Difference) -> str:
    """Format a p value with its name: `Holm p = 0.02`."""
    text = format_p(difference.adjusted_p)
    return f"{P_NAMES[comparison.correction]} {text if text.startswith('<') else f'= {text}'}"


def seeds_used(difference: Difference) -> str:
    """Return the number of seeds and whether they are paired."""
    kinds: dict[Kind, str] = {
        "paired": f"{difference.seeds} seeds, paired",
        "Welch": f"at least {difference.seeds} seeds each, unpaired",
        "none": "1 seed",
    }
    return kinds[difference.kind]


def seed_advice(difference: Difference) -> str:
    """Return how many seeds it would take to detect the difference."""
    if difference.kind == "none":
        return "run at least two seeds of each group, better five (-m seed=0,1,2,3,4)"
    if difference.needed is None:
        return f"more than {MOST_SEEDS:,} seeds would be needed to detect so small a difference"
    seeds = count(difference.extra_seeds or 0, "more seed", form=",")
    return f"about {seeds} would be needed to detect a difference of this size with 80% power"


def costs(comparison: Comparison) -> list[str]:
    """Return a sentence per group on its cost to reach the target."""
    return [cost_sentence(comparison, reached) for reached in comparison.reached]


def cost_sentence(comparison: Comparison, reached: Reached) -> str:
    """Describe the cost of one group to reach the target."""
    value = f"{comparison.format.value(comparison.target)}{comparison.format.unit}"
    goal = f"{comparison.curve_metric} {value}"
    if not reached.reached:
        return f"{reached.label} does not reach {goal}."
    spent = [
        f"{format_amount(sum(amounts) / len(amounts))} {cost.name}"
        for cost in comparison.costs
        if (amounts := reached.spent[cost.key])
    ]
    seeds = f"{reached.reached} of {count(reached.runs, 'seed')}"
    return f"{reached.label} reaches {goal} after {', '.join(spent)} ({seeds})."


def notes(comparison: Comparison) -> list[str]:
    """Return the caveats: everything that limits the comparison or makes it unfair."""
    return [
        *different_data(comparison),
        *different_machines(comparison.groups),
        *few_seeds(comparison),
        *not_pooled(comparison),
        *without_images(comparison),
        *([] if len(comparison.equal) == len(comparison.costs) else [unrecorded_costs(comparison)]),
    ]


def different_data(comparison: Comparison) -> Iterator[str]:
    """Yield caveats if the groups are tested on different images or by different measures."""
    keys = {key for group in comparison.groups for key in group.choices}
    same = (*TRAINING_ONLY, *VALIDATION_TOO)
    if not comparison.metric.startswith("test/"):
        same = (*TRAINING_ONLY, "val_fraction")
    differing = sorted(
        key
        for key in keys
        if key.partition(".")[0] in ("dataset", "task") and key.partition(".")[2] not in same
    )
    if differing:
        yield (
            f"not comparable: the groups differ in {', '.join(differing)}, so {comparison.metric} "
            "is measured on different images or labels"
        )
    for key in sorted(keys & {f"dataset.{name}" for name in VALIDATION_TOO} - {*differing}):
        yield f"the groups differ in {key}, so their validation images or labels differ"
    if comparison.metric.endswith("/loss") and any(k.partition(".")[0] == "loss" for k in keys):
        yield (
            f"{comparison.metric} is a different function in each group: compare by "
            "job.metric=test/nll"
        )


def different_machines(groups: Sequence[Group]) -> Iterator[str]:
    """Yield caveats if the runs used different machines or versions."""
    runs = [run for group in groups for run in group.runs]
    machines = sorted({run.machine for run in runs})
    if len(machines) > 1:
        shown = "; ".join(machines[:5])
        yield f"the runs used different machines ({shown}): they are not compared by seconds"
    versions = {str(run.result.get("versions")) for run in runs}
    if len(versions) > 1:
        yield f"the runs used {len(versions)} different versions of trainer, torch or Python"


def few_seeds(comparison: Comparison) -> Iterator[str]:
    """Yield a caveat per group with a single seed, or with other seeds than the baseline."""
    baseline = comparison.baseline
    for group in comparison.groups:
        if len(group.runs) == 1:
            yield f"{group.label} has one seed: no standard deviation and no interval"
        elif group.seeds != baseline.seeds and len(baseline.runs) > 1:
            ours, theirs = (", ".join(map(str, seeds)) for seeds in (group.seeds, baseline.seeds))
            yield f"{group.label} has seeds {ours}; the baseline has {theirs}"


def not_pooled(comparison: Comparison) -> Iterator[str]:
    """Yield a caveat that names the metrics left out of runs that are pooled over folds."""
    runs = [run for group in comparison.groups for run in group.runs]
    if names := list(dict.fromkeys(name for run in runs for name in run.not_pooled)):
        yield (
            f"left out, not known of all folds together: {', '.join(names)}: no mean over "
            "examples, and out_of_fold.csv has not what it is computed from"
        )


def without_images(comparison: Comparison) -> Iterator[str]:
    """Yield a caveat that says why differences have no interval for new images."""
    found = {row.images.missing: None for row in comparison.final.rows if row.images}
    for reason in list(found)[:3]:
        if reason and comparison.metric.startswith("test/"):
            yield f"intervals over seeds alone, about this test set, not new images: {reason}"


def unrecorded_costs(comparison: Comparison) -> str:
    """Return the caveat that names the costs without a table."""
    recorded = {table.cost for table in comparison.equal}
    names = ", ".join(cost.name for cost in comparison.costs if cost not in recorded)
    name = comparison.curve_metric.partition("/")[2]
    folded = any(run.folds for group in comparison.groups for run in group.runs)
    if folded and name not in MEANS:
        return (
            f"no table at equal {names}: {comparison.curve_metric} of all folds together is not "
            "known during training"
        )
    return f"no table at equal {names}: not every run recorded {comparison.curve_metric} with them"


def method(comparison: Comparison) -> list[str]:
    """Explain how the numbers are computed."""
    interval = comparison.interval
    corrections = {
        "holm": "corrected for the number of comparisons in each table (Holm)",
        "bonferroni": "multiplied by the number of comparisons in each table (Bonferroni)",
        "none": "not corrected for the number of comparisons",
    }
    unpaired = "by Welch's test" if interval.unpaired == "Welch" else "as independent samples"
    return [
        "± is the standard deviation over seeds. CI is the confidence interval of the mean: "
        f"{100 * interval.level:g}% {interval.about}.",
        "Groups that share at least two seeds are compared seed by seed (paired), which removes "
        f"the variation that a seed causes in both; other groups {unpaired}. P values are of "
        f"{interval.test}, {corrections[comparison.correction]}. Beyond noise means "
        f"p < {1 - interval.level:.2g}. Few seeds cannot decide where the difference is as large "
        "as its deviation, or the test cannot reach that p with them.",
        "Seeds to add are a rough guide: 80% power, the chance to detect a true difference, at the "
        "strictest step of the correction, if the observed difference and deviation are the true "
        "ones.",
        f"At equal cost, {comparison.curve_metric} is that of each run's last validation within "
        "the budget, which is the lowest final cost of any run. Nothing is interpolated.",
        "Training seconds leave out compilation, and the first step of each size in a process, in "
        "which a GPU warms up.",
        "The cost to reach a value is that of a run's first validation at least as good, averaged "
        "over the seeds that reach it.",
    ]
