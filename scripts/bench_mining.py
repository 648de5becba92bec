"""The effect of hard-example mining on MNIST: each strategy against its control.

    python scripts/bench_mining.py --root ../shared/data            # everything, about an hour
    python scripts/bench_mining.py --root ../shared/data speed      # one part

Parts: `speed` (examples per second of ohem_two_pass), `infobatch` (backward passes saved, and the
accuracy), `noise` (what helps where labels are wrong), `tail` (remedies for a long tail),
`strategies` (every miner), `selection` (accuracy against passes and seconds at keep 0.25, 0.5,
0.75). Each run is a process with one thread; strategies take turns within each seed, but for
`noise`, which measures no time. Figures are the mean ± standard deviation over the seeds.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from race import deviation, machine, parser, ratios, table

Result = dict[str, Any]
Results = dict[str, list[Result]]  # name → a result for each seed


# What may help where labels are wrong, or does harm there; plain training is among the miners.
FOR_NOISE = (
    "mining=none,ohem,hard_example,self_paced,reweight,small_loss",
    "loss=superloss,gce,sce,elr",
)
RATES = (0.2, 0.4)
MNIST = ["model=mlp", "epochs=15", "dataset.subset=5000"]
PHOTOS = [
    "model=simple_cnn",
    "epochs=8",
    "dataset.subset=2000",
    "dataset.val_fraction=0.02",
]  # for an image folder


def trainer(arguments: list[str]) -> None:
    """Run the program in a process of its own, with one thread."""
    command = [sys.executable, "-m", "trainer", "quiet=true", "threads=1", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment)


def run(folder: Path, overrides: list[str]) -> Result:
    """Train in a process of its own; return its result.json."""
    trainer([f"hydra.run.dir={folder}", *overrides])
    return json.loads((folder / "result.json").read_text())


def compare(rivals: dict[str, list[str]], common: list[str], seeds: int) -> Results:
    """Train every rival with every seed, seed by seed: a drift of the machine affects all alike."""
    results: Results = {name: [] for name in rivals}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            for number, (name, own) in enumerate(rivals.items()):
                where = Path(folder) / f"{number}-{seed}"
                result = run(where, [*common, f"seed={seed}", *own])
                results[name].append(result)
                accuracy = result["test"]["accuracy"]
                print(f"    {name}, seed {seed}: {accuracy:.4f}", file=sys.stderr, flush=True)
    return results


def with_controls(
    results: Results, names: list[str], common: list[str], seeds: int, epochs: int = 0
) -> Results:
    """Add a control for each of the names, at its number of backward passes.

    Where it has fewer than plain training, `random` leaves out as many; where it has more, plain
    training lasts longer than its `epochs`. Those that agree to a hundredth share a control.
    """
    full = backward(results["none"])
    shares = sorted({round(backward(results[name]) / full, 2) for name in names})
    fewer = {f"random keep={s}": ["mining=random", f"mining.keep={s}"] for s in shares if s < 1}
    longer = [round(s * epochs) for s in shares if s > 1]
    more = {f"none, {number} epochs": [f"epochs={number}"] for number in longer}
    return results | compare(fewer | more, common, seeds)


def backward(results: list[Result]) -> float:
    """Return the mean number of examples that went through a backward pass."""
    return statistics.mean(r["backward_passes"] for r in results)


def show(
    title: str, results: Results, columns: dict[str, tuple[Callable[[Result], float], str]]
) -> None:
    """Print a table, a row for each rival."""
    rows = [
        [name, *(deviation([value(r) for r in own], form) for value, form in columns.values())]
        for name, own in results.items()
    ]
    table([title, *columns], rows)


ACCURACY = (lambda r: 100 * r["test"]["accuracy"], ".2f")
BALANCED = (lambda r: 100 * r["test"]["balanced_accuracy"], ".2f")
BACKWARD = (lambda r: r["backward_passes"] / 1000, ".1f")
FORWARD = (lambda r: r["forward_passes"] / 1000, ".1f")
SECONDS = (lambda r: r["train_seconds"], ".1f")
SPEED = (lambda r: r["images_per_second"], ",.0f")


def speed(common: list[str], seeds: int) -> None:
    """Compare examples per second of the pool, at equal batch."""
    rivals = {
        "none": ["mining=none"],
        "ohem_two_pass keep=0.25": ["mining=ohem_two_pass", "mining.keep=0.25"],
        "random keep=0.25": ["mining=random", "mining.keep=0.25"],
    }
    results = compare(rivals, [*common, "model=simple_cnn", "batch_size=256", "epochs=1"], seeds)
    show(
        "Speed, simple_cnn, batch 256, one epoch",
        results,
        {"examples/s": SPEED, "backward (thousand)": BACKWARD, "test accuracy": ACCURACY},
    )
    plain = [r["images_per_second"] for r in results["none"]]
    mined = [r["images_per_second"] for r in results["ohem_two_pass keep=0.25"]]
    faster = deviation(ratios(mined, plain), ".2f")
    print(f"\nohem_two_pass / none, seed by seed: {faster} (goal: 1.4)")


def infobatch(common: list[str], seeds: int) -> None:
    """Compare InfoBatch with plain training, and with `random` at as many backward passes."""
    rivals = {"none": ["mining=none"], "infobatch": ["mining=infobatch"]}
    common = [*common, "model=simple_cnn", "batch_size=64", "epochs=6", "schedule=cosine_decay"]
    results = with_controls(compare(rivals, common, seeds), ["infobatch"], common, seeds)
    columns = {"test accuracy": ACCURACY, "backward (thousand)": BACKWARD, "seconds": SECONDS}
    show("InfoBatch, simple_cnn, 6 epochs", results, columns)
    saved = 1 - backward(results["infobatch"]) / backward(results["none"])
    print(f"\nbackward passes saved: {saved:.1%} (goal: 25 %)")
    for name in list(results)[1:]:
        pairs = zip(results[name], results["none"], strict=True)
        points = [100 * (a["test"]["accuracy"] - b["test"]["accuracy"]) for a, b in pairs]
        print(f"accuracy of {name} against none, seed by seed: {deviation(points, '+.2f')} points")


def noise(
    common: list[str], seeds: int, chosen: Sequence[str] = FOR_NOISE, rates: Sequence[float] = RATES
) -> None:
    """Train on labels that are wrong in several ways: what helps, and what does harm.

    The training labels alone are corrupted; validation and test are as they were.
    """
    common = [*common, *(MNIST if "dataset=mnist" in common else PHOTOS), "batch_size=64"]
    kinds = {"clean": []}
    for rate, of_rate in itertools.product(rates, ("symmetric", "pairwise", "instance")):
        settings = [f"dataset.label_noise={rate}", f"dataset.noise_type={of_rate}"]
        kinds[f"{of_rate} {rate:.0%}"] = settings
    cells: dict[str, list[str]] = {}
    for settings in kinds.values():
        for strategies in chosen:
            for name, own in sweep(strategies, [*common, *settings], seeds).items():
                accuracies = [100 * result["test"]["accuracy"] for result in own]
                cells.setdefault(name, []).append(deviation(accuracies, ".1f"))
    table(["test accuracy", *kinds], [[name, *row] for name, row in cells.items()])


def sweep(strategies: str, common: list[str], seeds: int) -> Results:
    """Train each of `group=one,two` with each seed, one after the other, in forks of a process."""
    group, _, names = strategies.partition("=")
    numbers = ",".join(map(str, range(seeds)))
    results: Results = {}
    with tempfile.TemporaryDirectory() as folder:
        own = [f"{group}={names}", f"seed={numbers}", *common, f"hydra.sweep.dir={folder}"]
        trainer(["-m", *own, "hydra.launcher.n_jobs=1"])
        for job, (name, _) in enumerate(itertools.product(names.split(","), range(seeds))):
            (path,) = Path(folder).glob(f"{job}-*/result.json")
            results.setdefault(f"{group}={name}", []).append(json.loads(path.read_text()))
    return results


def tail(common: list[str], seeds: int) -> None:
    """Train on a long tail of factor 100: each remedy against plain training."""
    rivals = {
        "none": [],
        "class_weights=balanced": ["loss.class_weights=balanced"],
        "class_weights=effective_number": ["loss.class_weights=effective_number"],
        "focal": ["loss=focal"],
        "logit_adjusted": ["loss=logit_adjusted"],
        "oversample": ["sampler=oversample"],
        "undersample": ["sampler=undersample", "sampler.strategy=not_minority"],
        "class_balanced": ["sampler=class_balanced"],
        "label_shuffle": ["sampler=label_shuffle"],
        "smote": ["sampler=smote"],
        "ohem keep=0.5": ["mining=ohem"],
        "hard_example": ["mining=hard_example"],
        "random keep=0.5": ["mining=random"],
    }
    monitor = "checkpoint.monitor=val/balanced_accuracy"
    common = [*common, "model=mlp", "batch_size=64", "dataset.imbalance=100", monitor]
    common = [*common, "epochs=15"]
    results = compare(rivals, common, seeds)
    budgets = ["undersample", "hard_example", "oversample", "label_shuffle", "smote"]
    results = with_controls(results, budgets, common, seeds, epochs=15)
    columns = {"balanced accuracy": BALANCED, "accuracy": ACCURACY, "backward (thousand)": BACKWARD}
    show("Long tail of factor 100, mlp, 15 epochs", results, columns)


def strategies(common: list[str], seeds: int) -> None:
    """Compare every miner that needs no other run, at equal epochs, with the passes it takes."""
    names = ["none", "random", "hard_example", "misclassified", "ohem", "ohem_two_pass"]
    names += ["hard_negative", "selective_backprop", "importance", "infobatch", "self_paced"]
    names += ["reweight"]
    rivals = {name: [f"mining={name}"] for name in names}
    rivals["none, 20 epochs"] = ["epochs=20"]  # the budget of hard_example
    common = [*common, "model=mlp", "batch_size=64", "epochs=10"]
    results = compare(rivals, common, seeds)
    cheap = [name for name in names if backward(results[name]) < 0.98 * backward(results["none"])]
    cheap.remove("random")
    results = with_controls(results, cheap, common, seeds)
    columns = {"test accuracy": ACCURACY, "forward (thousand)": FORWARD}
    columns |= {"backward (thousand)": BACKWARD, "seconds": SECONDS}
    show("Every strategy at its defaults, mlp, 10 epochs", results, columns)


def selection(common: list[str], seeds: int) -> None:
    """Compare what trains on a part of 3,000 images: by epoch, by batch, and chosen beforehand.

    `prune` reads the whole run of the same seed, whose cost its figures leave out.
    """
    common = [*common, "model=simple_cnn", "batch_size=64", "epochs=8", "dataset.subset=3000"]
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            run(Path(folder) / str(seed), [*common, f"seed={seed}"])
        rivals = {"none": ["mining=none"]}
        for keep in (0.25, 0.5, 0.75):
            rivals |= selections(keep, f"sampler.reference={folder}/${{seed}}")
        results = compare(rivals, common, seeds)
    columns = {"test accuracy": ACCURACY, "forward (thousand)": FORWARD}
    columns |= {"backward (thousand)": BACKWARD, "seconds": SECONDS}
    show("A part of 3,000 images of MNIST, simple_cnn, 8 epochs", results, columns)


def selections(keep: float, reference: str) -> dict[str, list[str]]:
    """Return the rivals that keep a part, by name."""
    part = f"mining.keep={keep}"
    beta = 1 / keep - 1  # selective_backprop keeps 1 / (beta + 1)
    rivals = {
        "random": ["mining=random", part],
        "rs2": ["mining=rs2", part],
        "ohem": ["mining=ohem", part],
        "ohem_two_pass": ["mining=ohem_two_pass", part],
        "selective_backprop": ["mining=selective_backprop", f"mining.beta={beta}"],
    }
    rivals["selective_backprop, two passes"] = [
        *rivals["selective_backprop"],
        "mining.mode=two_pass",
    ]
    rivals["two passes, stale=2"] = [
        *rivals["selective_backprop, two passes"],
        "mining.stale=2",
    ]
    chosen = {"random": [], "el2n": ["sampler.epochs=2"], "dual": ["sampler.window=4"]}
    chosen["dual, strata"] = [*chosen["dual"], "sampler.strata=50"]
    for by, own in chosen.items():
        score = f"sampler.by={by.partition(',')[0]}"
        rivals[f"prune {by}"] = [*("sampler=prune", score, f"sampler.keep={keep}", reference, *own)]
    return {f"{name}, {keep}": own for name, own in rivals.items()}


PARTS = {f.__name__: f for f in (speed, infobatch, noise, tail, strategies, selection)}


def main() -> None:
    """Run the parts named on the command line."""
    arguments = parser(__doc__)
    arguments.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    arguments.add_argument("--root", default="../shared/data", help="folder of MNIST/raw")
    arguments.add_argument("--images", help="an image folder in MNIST's place")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--strategies", nargs="+", default=FOR_NOISE, help="of the part noise")
    arguments.add_argument("--rates", nargs="+", type=float, default=RATES, help="likewise")
    options = arguments.parse_args()
    print(f"{machine('torch')}; one thread per run, {options.seeds} seeds")
    data = ["dataset=mnist", f"dataset.root={options.root}"]
    if options.images:
        data = ["dataset=image_folder", f"dataset.root={options.images}"]
    common = [*data, "device=cpu"]
    for part in options.parts:
        if part == "noise":
            noise(common, options.seeds, options.strategies, options.rates)
        else:
            PARTS[part](common, options.seeds)


if __name__ == "__main__":
    main()
