"""What half an hour of reviewing is worth: accuracy before and after, with an oracle as reviewer.

    python scripts/bench_review.py mnist --root ../shared/data --subset 3000
    python scripts/bench_review.py image_folder --root cifar10 --subset 5000 --epochs 12

For each seed: train on labels of which a part is wrong, let `job=examples` rank them, answer the
first 200 as the true labels would, train again with the corrections. The control answers 200
examples drawn at random; `all` has no wrong label. Test labels are right, and the same for all.
"""

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from trainer import history
from trainer.compare.t import StudentT
from trainer.history.analysis import History
from trainer.report.csv_file import write_csv

KINDS = ("before", "suspects", "random", "all")


def main() -> None:
    """Train, correct, train again; print the table."""
    options = arguments()
    print(f"{platform.machine()}, torch {torch.__version__}, {options.threads} thread(s)")
    print(" ".join(sys.argv[1:]))
    rows = [row_of(seed, options) for seed in range(options.seeds)]
    for kind in KINDS[1:]:
        gains = [100 * (row[kind] - row["before"]) for row in rows]
        low, high = StudentT().mean(gains)
        print(f"{kind}: {np.mean(gains):+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--root", required=True)
    parser.add_argument("--subset", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--model", default="simple_cnn")
    parser.add_argument("--noise", type=float, default=0.2)
    parser.add_argument("--type", default="instance")
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("outputs/bench_review"))
    return parser.parse_args()


def row_of(seed: int, options: argparse.Namespace) -> dict[str, float]:
    """The test accuracies of a seed by kind, printed."""
    folder = options.out / f"{options.dataset}-{options.type}-{options.noise:g}-{seed}"
    runs = {"before": train(folder / "before", seed, options)}
    store = history.open(runs["before"])
    wrong = 0.0
    for kind, ids in chosen(folder, runs["before"], seed, options).items():
        answers = oracle(store, ids)
        if kind == "suspects":
            wrong = sum(action == "relabel" for *_, action in answers) / len(answers)
        file = folder / f"{kind}.csv"
        write_csv(file, [("id", "label", "action"), *answers])
        more = f"dataset.corrections={file}"
        runs[kind] = train(folder / kind, seed, options, more)
    runs["all"] = train(folder / "all", seed, options, "dataset.label_noise=0")
    row = {kind: accuracy(run) for kind, run in runs.items()}
    cells = "  ".join(f"{kind} {100 * value:.2f}" for kind, value in row.items())
    print(f"seed {seed}: {cells}; {100 * wrong:.0f} % of the suspects shown were wrong", flush=True)
    return row


def chosen(
    folder: Path, run: Path, seed: int, options: argparse.Namespace
) -> dict[str, np.ndarray]:
    """Ids of the examples to review: the most suspect, and as many at random."""
    out = folder / "examples"
    if not (out / "suspects.csv").exists():
        rows = f"job.rows={options.budget}"
        trainer("job=examples", f"run={run}", rows, "job.duplicates=false", out)
    lines = (out / "suspects.csv").read_text(encoding="utf-8").splitlines()[1:]
    suspects = np.array([int(line.split(",")[1]) for line in lines[: options.budget]])
    drawn = np.random.default_rng(seed).permutation(history.open(run).ids)[: options.budget]
    return {"suspects": suspects, "random": drawn}


def oracle(store: History, ids: np.ndarray) -> list[tuple[int, int, str]]:
    """The answers of a reviewer who knows the true labels: id, label, action."""
    given, true = (np.asarray(y)[ids].tolist() for y in (store.labels, store.true_labels))
    return [
        (int(i), y, "keep" if y == label else "relabel")
        for i, y, label in zip(ids, true, given, strict=True)
    ]


def train(folder: Path, seed: int, options: argparse.Namespace, *more: str) -> Path:
    """Train, unless the folder has the run; return the folder."""
    settings = [f"dataset={options.dataset}", f"dataset.root={options.root}", f"seed={seed}"]
    settings += [f"dataset.subset={options.subset}", f"dataset.label_noise={options.noise}"]
    settings += [f"dataset.noise_type={options.type}", f"epochs={options.epochs}"]
    settings += [f"model={options.model}", f"threads={options.threads}", "resume=auto", *more]
    return trainer(*settings, folder)


def trainer(*given: str | Path) -> Path:
    """Run `python -m trainer` in the folder that comes last."""
    *overrides, folder = given
    command = [sys.executable, "-m", "trainer", "quiet=true", *overrides, f"hydra.run.dir={folder}"]
    subprocess.run(command, check=True)
    return Path(folder)


def accuracy(run: Path) -> float:
    """The test accuracy of a finished run."""
    return json.loads((run / "result.json").read_text(encoding="utf-8"))["test"]["accuracy"]


if __name__ == "__main__":
    main()
