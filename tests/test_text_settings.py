"""Every group and job on sixty texts: each option trains one epoch, from the start to its test."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import events, for_classes, make_run, node_of, options, read_json
from texts import ALWAYS, GROUPS, do, metrics, rows_of, sentences, write_texts

from trainer import history
from trainer.dataset.shared.texts import Texts
from trainer.storage import checkpoint

PARTS = {group: for_classes(group) for group in ("loss", "mining", "sampler", "postprocess")}
PARTS["sampler"].remove("smote")
PARTS |= {g: options(g) for g in ("schedule", "warmup", "optimizer", "init", "early_stopping")}
ROWS = [
    {group: names[i % len(names)] for group, names in PARTS.items()}
    for i in range(max(map(len, PARTS.values())))
]
LINES = (
    "ema=0.9 accumulate=3 clip=0.1",
    "swa=0.5run sam=0.05 batch_size=all",
    "precision=bf16 steps=3 loader=stream loader.workers=0",
    "optimizer._target_=torch.optim.NAdam dataset.folds=3 dataset.fold=1",
    "dataset.imbalance=3 dataset.label_noise=0.2 dataset.noise_type=pairwise",
    "dataset.threshold_class=true dataset.subset=30",
    "augmentation=[synonym_replacement,random_insertion,random_swap,random_deletion]",
)
REFERENCES = (("sampler", "prune"), ("sampler", "trim_hardest"), ("mining", "rho"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Settings of every run here."""
    table = write_texts(tmp_path_factory.mktemp("texts") / "texts.csv", sentences(60))
    return (
        *GROUPS,
        *ALWAYS,
        f"dataset.file={table}",
        "epochs=1",
        "optimizer.lr=0.05",
        "batch_size=8",
    )


@pytest.fixture(scope="module")
def reference(base: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, trained on half of the texts and validated on the others."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    assert do(folder, *base, "epochs=3", "dataset.max_length=9") == 0
    return folder


@pytest.fixture(scope="module")
def required(reference: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What options require: the run, or losses of a model of other data; a warmup of few steps."""
    losses = history.open(reference)
    table = reference.parent / "losses.csv"
    write_texts(table, [(str(i), "0.5") for i in losses.ids.tolist()], ("id", "loss"))
    by_group = {"sampler": reference, "mining": table}
    needs = {(group, name): {"reference": str(by_group[group])} for group, name in REFERENCES}
    return {**needs, **{("warmup", name): {"steps": "2st"} for name in ("constant", "gradual")}}


def check_trained(folder: Path, start: torch.nn.Module) -> None:
    """The run has learned from the words of texts, to the end, by finite numbers."""
    result = read_json(folder / "result.json")
    values = metrics(result)
    assert len(values) > 5
    assert np.isfinite(values).all()
    assert len(read_json(folder / "data.json")["vocabulary"]) > 30
    assert history.open(folder).epochs == 1
    saved = checkpoint.latest(folder / "checkpoints", pytest.fail)
    assert saved is not None
    moved = saved.model["vectors.weight"] - start.state_dict()["vectors.weight"]
    assert moved.isfinite().all()
    assert not moved[0].any(), "padding is no word"
    assert (moved[2:].norm(dim=1) > 0).float().mean() > 0.2


@pytest.mark.parametrize("row", ROWS, ids=["-".join(row.values()) for row in ROWS])
def test_every_option_trains(
    row: dict[str, str],
    base: tuple[str, ...],
    required: dict[tuple[str, str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    nodes = {g: node_of(g, name) | required.get((g, name), {}) for g, name in row.items()}
    assert do(tmp_path / "run", *base, **nodes) == 0
    check_trained(tmp_path / "run", make_run(tmp_path / "start", *base, init=row["init"]).model)
    fitted = tmp_path / "run" / "postprocess.json"
    assert fitted.exists() == (row["postprocess"] != "none")


@pytest.mark.parametrize("line", LINES)
def test_every_setting_trains(line: str, base: tuple[str, ...], tmp_path: Path) -> None:
    assert do(tmp_path / "run", *base, *line.split()) == 0
    check_trained(tmp_path / "run", make_run(tmp_path / "start", *base, *line.split()).model)


def test_a_student_has_a_teachers_knowledge_to_the_end(
    base: tuple[str, ...], reference: Path, tmp_path: Path
) -> None:
    """Of other words and lengths: it cuts, and knows fewer words, and still agrees with it."""
    settings = ("model=text_cnn", "model.filters=4", "dataset.max_words=20", "epochs=3")
    teacher = ("distill=soft_target", f"distill.teacher={reference}", "distill.alpha=1")
    own = (*base[:1], *base[3:], *settings)
    assert do(tmp_path / "run", *own, *teacher) == 0
    assert np.isfinite(metrics(read_json(tmp_path / "run" / "result.json"))).all()
    losses = [e["loss"] for e in events(tmp_path / "run") if e["split"] == "train"]
    assert losses[-1] < losses[0]


JOBS = (
    ("find_lr", "job.steps=9", "suggestion"),
    ("find_batch_size", "job.start=8 job.largest=8 job.untimed=1 job.repeats=1", "suggestion"),
    ("diagnose", "job.examples=16", "verdict"),
    ("trial", "job.batches=4 job.overfit=6 job.overfit_steps=9 job.generalise=6", "verdict"),
    ("tune", 'job.trials=2 job.space={model.dimensions:"4,8"}', "value"),
)


@pytest.mark.parametrize(("job", "line", "found"), JOBS, ids=[job for job, *_ in JOBS])
def test_every_job_before_training(
    job: str, line: str, found: str, base: tuple[str, ...], tmp_path: Path
) -> None:
    if job == "tune":
        pytest.importorskip("optuna", reason="the extra tune is not installed")
    code = do(tmp_path / "job", f"job={job}", *base, *line.split())
    assert code == 0
    assert read_json(tmp_path / "job" / "result.json")[found]


def test_corrections_relabel_and_drop_texts(base: tuple[str, ...], tmp_path: Path) -> None:
    train = make_run(tmp_path / "a", *base).data.train
    assert isinstance(train.images, Texts)
    first, second = train.ids[:2].tolist()
    name = "place" if train.labels[first] != 2 else "food"
    table = write_texts(
        tmp_path / "corrections.csv",
        [(str(first), name, "relabel"), (str(second), "", "drop")],
        ("ID", "Label", "action"),
    )
    fixed = make_run(tmp_path / "b", *base, f"dataset.corrections={table}").data.train
    assert second not in fixed.ids.tolist()
    assert fixed.labels[first] == ("animal", "food", "place").index(name)
    assert rows_of(table)[0]["ID"] == str(first)
