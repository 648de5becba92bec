"""Which score finds wrong labels: symmetric, pairwise and instance noise, with cleanlab's beside.

    python scripts/bench_suspects.py --root ../shared/data                       # MNIST part
    python scripts/bench_suspects.py --root data/cifar10-jpeg --model resnet     # an image folder

Parts of 400 training images per class; MNIST's are exported as PNG. The labels are corrupted once
for each noise, rate and seed and written to a table, so that several runs, which differ in their
own seed, train on the same labels. Runs are kept in `--out` and reused.

A score is judged by its average precision (AP) over the training images and by its precision at the
true number of errors; a cut-off by how many labels it flags, its precision and recall. cleanlab's
self-confidence and normalised margin (Northcutt et al. 2021) are computed by cleanlab from the best
checkpoint's probabilities for the training images, and its cut-off is `find_label_issues`; without
cleanlab (extra `bench`) the two published scores are computed here. Figures are the mean ± standard
deviation over the seeds, differences with a 95 % t interval, paired by seed.
"""

import csv
import os
import subprocess
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from race import deviation, machine, parser, table
from rivals import make_run

from trainer.compare.shared.student_t import quantile
from trainer.dataset.csv import Csv
from trainer.dataset.mnist import Mnist
from trainer.history.dynamics import expected_errors
from trainer.job.shared.cutoff import select
from trainer.job.shared.ranking import Source, scored, source_of
from trainer.trained.examined import Examined, examine

TRAIN, VAL, TEST = 400, 20, 20  # images per class
NOISES = "symmetric", "pairwise", "instance"
MODELS = {
    "cnn": ["model=simple_cnn", "epochs=6"],
    "resnet": ["model=resnet_cifar", "model.depth=8", "epochs=12"],
}
OWN = "combined", "aum", "margin", "self_confidence", "loss", "neighbors"
REFERENCES = "cleanlab self-confidence", "cleanlab normalised margin"

Numbers = dict[str, float]


def clean_rows(root: Path, out: Path) -> list[tuple[Path, str, str]]:
    """The images of a part: (file, class, split)."""
    if (root / "MNIST").is_dir():
        return mnist_rows(root, out)
    rows = []
    for folder in sorted((root / "train").iterdir()):
        files = sorted(folder.iterdir(), key=lambda path: (len(path.name), path.name))
        rows += [(path, folder.name, "train") for path in files[:TRAIN]]
        rows += [(path, folder.name, "val") for path in files[TRAIN : TRAIN + VAL]]
        tests = sorted((root / "test" / folder.name).iterdir(), key=lambda p: (len(p.name), p.name))
        rows += [(path, folder.name, "test") for path in tests[:TEST]]
    return rows


def mnist_rows(root: Path, out: Path) -> list[tuple[Path, str, str]]:
    """Export the first digits of each class as PNG."""
    data = Mnist(root=str(root), val_fraction=0.0).open(0)
    rows = []
    for name, split, number in (("train", data.train, TRAIN + VAL), ("test", data.test, TEST)):
        for label in range(10):
            ids = split.ids[split.labels[split.ids] == label][:number].tolist()
            for place, i in enumerate(ids):
                path = out / "mnist-images" / name / str(label) / f"{i}.png"
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(split.images.read([i])[0, 0].numpy()).save(path)
                rows.append((path, str(label), "val" if place >= TRAIN else name))
    return rows


def noisy_table(given: Namespace, noise: str, rate: float, seed: int) -> Path:
    """Write the table of a part with wrong labels; return it."""
    folder = given.out / given.name / f"{noise}-{round(100 * rate)}" / f"noise-{seed}"
    path, clean = folder / "labels.csv", given.out / given.name / "clean.csv"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rows = clean_rows(given.root, given.out)
    with clean.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    data = Csv(file=str(clean), label_noise=rate, noise_type=noise).open(seed)  # pyright: ignore
    names = [data.classes[label] for label in data.train.labels.tolist()]
    with path.open("w", newline="") as file:
        own = ((p, name, c, s) for (p, c, s), name in zip(rows, names, strict=True))
        csv.writer(file).writerows([("path", "label", "true_label", "split"), *own])
    return path


def trained(given: Namespace, path: Path, seed: int, number: int) -> Path:
    """Train on a table, unless that was done before; return the run."""
    run = path.parent / f"run-{number}"
    if not (run / "result.json").exists():
        command = [sys.executable, "-m", "trainer", "quiet=true", "threads=1", "dataset=csv"]
        command += [f"hydra.run.dir={run}", f"dataset.file={path}", f"seed={100 * seed + number}"]
        command += ["batch_size=64", "loader=memory", "checkpoint.keep=1", *MODELS[given.model]]
        if (given.root / "MNIST").is_dir():
            command.append("dataset.channels=1")
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return run


def opened(run: Path, scratch: Path) -> tuple[Source, Examined]:
    """The records of a run, and its best checkpoint's view of the training images."""
    seen = examine(make_run(scratch), str(run), "run", ("train",))["train"]
    return source_of(run, str(run), None, lambda: seen), seen


def judge(values: np.ndarray, wrong: np.ndarray) -> Numbers:
    """AP and the precision at the number of errors of scores [n], the highest most suspect."""
    hits = wrong[np.argsort(-values, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return {"AP": float(precision[hits].mean()), "at errors": float(hits[: hits.sum()].mean())}


def cut(flagged: np.ndarray, wrong: np.ndarray) -> Numbers:
    """The number flagged, over that of the errors; precision and recall of a mask [n]."""
    hits = int((flagged & wrong).sum())
    parts = {"flagged": flagged.sum() / wrong.sum(), "precision": hits / max(flagged.sum(), 1)}
    return {**{k: float(v) for k, v in parts.items()}, "recall": float(hits / wrong.sum())}


def own_scores(sources: list[Source], by: str) -> dict[str, Numbers]:
    """Judge a score of one or several runs; of the default, also the cut-off."""
    first = sources[0].store
    scores = scored(sources, by)
    wrong = scores.wrong
    if wrong is None:
        raise SystemExit("the table has no true_label")
    name = by if len(sources) == 1 else f"{by}, {len(sources)} runs"
    judged = judge(scores.sign * scores.values, wrong)
    if by == "combined":
        labels = first.labels if first.labels is not None else np.zeros(0, int)
        stores = [source.store for source in sources]
        expected = expected_errors(stores, first.ids, int(labels.max()) + 1)
        found = select(scores, "estimated", expected)
        judged |= cut(np.isin(scores.ids, found.ids[: found.flagged]), wrong)
    return {name: judged}


def references(seen: Examined, labels: np.ndarray, wrong: np.ndarray) -> dict[str, Numbers]:
    """Judge cleanlab's scores of the best checkpoint's probabilities."""
    logits = seen.outputs - seen.outputs.max(1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    at = np.arange(len(labels))
    other = p.copy()
    other[at, labels] = 0
    quality = dict(zip(REFERENCES, (p[at, labels], p[at, labels] - other.max(1)), strict=True))
    cutoff: Numbers = {}
    if find_spec("cleanlab") is not None:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores

        methods = "self_confidence", "normalized_margin"
        for name, method in zip(REFERENCES, methods, strict=True):
            quality[name] = get_label_quality_scores(labels, p, method=method)
        cutoff = cut(np.asarray(find_label_issues(labels, p, n_jobs=1)), wrong)
    judged = {name: judge(-values, wrong) for name, values in quality.items()}
    judged[REFERENCES[0]] |= cutoff
    return judged


def measure(given: Namespace, noise: str, rate: float, seed: int) -> dict[str, Numbers]:
    """Judge every score on one table."""
    path, scratch = noisy_table(given, noise, rate, seed), given.out / "scratch"
    pairs = [opened(trained(given, path, seed, i), scratch) for i in range(given.runs)]
    sources = [source for source, _ in pairs]
    results: dict[str, Numbers] = {}
    for by in OWN:
        results |= own_scores(sources[:1], by)
    if given.runs > 1:
        results |= own_scores(sources, "combined")
    store, seen = sources[0].store, pairs[0][1]
    if store.labels is None or store.true_labels is None:
        raise SystemExit(f"{path} has no true_label")
    labels, truth = store.labels[seen.ids].astype(np.int64), store.true_labels[seen.ids]
    return results | references(seen, labels, labels != truth)


def interval(differences: list[float]) -> str:
    """The mean with its 95 % t interval, in points."""
    number, points = len(differences), 100 * np.array(differences)
    half = quantile(0.975, number - 1) * points.std(ddof=1) / np.sqrt(number)
    return f"{points.mean():+.1f} ({points.mean() - half:+.1f} to {points.mean() + half:+.1f})"


def report(every: list[dict[str, Numbers]]) -> None:
    """Print a row for each score: the mean over the seeds, and AP against cleanlab's better one."""
    mean = {name: np.mean([each[name]["AP"] for each in every]) for name in every[0]}
    best = max(REFERENCES, key=lambda name: mean[name])
    columns = ["AP", "at errors", "flagged", "precision", "recall"]
    rows = []
    for name in sorted(mean, key=lambda name: -mean[name]):
        cells = [
            deviation([each[name][c] for each in every], ".3f") if c in every[0][name] else ""
            for c in columns
        ]
        against = [each[name]["AP"] - each[best]["AP"] for each in every]
        rows.append([name, *cells, interval(against) if len(every) > 1 and name != best else ""])
    table(["score", *columns, f"AP less {best}"], rows)


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parser(__doc__)
    arguments.add_argument("--root", type=Path, required=True)
    arguments.add_argument("--name", default="mnist")
    arguments.add_argument("--model", choices=MODELS, default="cnn")
    arguments.add_argument("--out", type=Path, default=Path("outputs/bench_suspects"))
    arguments.add_argument("--noise", nargs="+", choices=NOISES, default=NOISES)
    arguments.add_argument("--rate", nargs="+", type=float, default=[0.2, 0.4])
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--runs", type=int, default=1, help="of other seeds on each table")
    given = arguments.parse_args()
    print(machine("torch", "numpy"))
    for noise in given.noise:
        for rate in given.rate:
            print(f"\n{given.name}, {noise} noise {rate:.0%}, {given.seeds} seeds", flush=True)
            report([measure(given, noise, rate, seed) for seed in range(given.seeds)])


if __name__ == "__main__":
    main()
