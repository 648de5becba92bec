"""A finished run reads other data as its own: classes by name, its mean, deviation and size."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import CONF, config_of, make_run, read_json

from trainer.cli.execute import execute
from trainer.core.errors import CheckpointError, ConfigError, DataError
from trainer.dataset import Data, Split
from trainer.dataset.base import Pixels
from trainer.storage import checkpoint
from trainer.storage.saved_run import SavedRun
from trainer.storage.trained_on import FILE, TrainedOn, renumbered

SETTINGS = ("quiet=true", "device=cpu", "model=mlp", "model.hidden=[16]", "epochs=4")
PAIR = (*SETTINGS, "dataset.classes=[3,5]", "optimizer.lr=0.01", "dataset.val_fraction=0.3")


def job(folder: Path, *overrides: str) -> int:
    arguments = ["quiet=true", "device=cpu", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


def metrics(folder: Path, *overrides: str) -> dict[str, float]:
    assert job(folder, "job=evaluate", *overrides) == 0
    return read_json(folder / "result.json")["test"]


def refusal(capsys, folder: Path, *overrides: str) -> str:
    capsys.readouterr()
    assert job(folder, *overrides) == ConfigError.exit_code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def on(root: Path) -> tuple[str, str]:
    """The settings of a data set in class folders."""
    return "dataset=image_folder", f"dataset.root={root}"


def folder_of(root: Path, brightness: float = 1.0, side: int = 8, names: str = "abc") -> Path:
    """Class folders of noisy images, each class with its own bright third."""
    rng = np.random.default_rng(0)
    for c, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.uniform(0, 160, (side, side, 3))
            pixels[c * side // 3 : (c + 1) * side // 3] += 60
            image = Image.fromarray((brightness * pixels).astype(np.uint8))
            image.save(root / name / f"{i}.png")
    return root


def without_record(run: Path, copy: Path) -> Path:
    """A copy of a run as a version that did not record its data has written it."""
    shutil.copytree(run, copy)
    for path in copy.rglob(FILE):
        path.unlink()
    for path in copy.rglob("manifest.json"):
        manifest = read_json(path)
        del manifest[FILE]
        path.write_text(json.dumps(manifest))
    return copy


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    """A run that tells 3 from 5."""
    folder = tmp_path_factory.mktemp("pair") / "run"
    assert job(folder, *PAIR, "postprocess=prior_correction") == 0
    return folder


@pytest.fixture(scope="module")
def reverse(tmp_path_factory) -> Path:
    """The same run, its classes listed the other way round."""
    folder = tmp_path_factory.mktemp("reverse") / "run"
    assert job(folder, *PAIR, "postprocess=prior_correction", "dataset.classes=[5,3]") == 0
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Three class folders."""
    return folder_of(tmp_path_factory.mktemp("data") / "bright")


@pytest.fixture(scope="module")
def run(images, tmp_path_factory) -> Path:
    """A run on them."""
    folder = tmp_path_factory.mktemp("run") / "run"
    assert job(folder, *SETTINGS, *on(images)) == 0
    return folder


def test_a_run_records_what_it_was_trained_on(pair):
    found = read_json(pair / FILE)
    data = make_run(pair, "dataset.classes=[3,5]", "dataset.val_fraction=0.3").data
    assert found == {
        "classes": ["3", "5"],
        "shape": [1, 8, 8],
        "mean": list(data.mean),
        "std": list(data.std),
        "class_counts": data.class_counts().tolist(),
        "task": "classification",
        "target": "class",
        "outputs": 2,
        "fit": "cover",
        "background": None,
        "thresholds": None,
    }
    for step in (pair / "checkpoints").iterdir():
        assert read_json(step / FILE) == found


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")])
def test_a_checkpoint_stands_in_for_the_run_folders_record(reverse, tmp_path, damage):
    """The data set is listed the other way round, so that without a record metrics would differ."""
    run = shutil.copytree(reverse, tmp_path / "run")
    expected = metrics(tmp_path / "a", f"run={run}")
    damage(run / FILE)
    found = metrics(tmp_path / "b", f"run={run}", "dataset.classes=[3,5]")
    assert found == pytest.approx(expected)


def test_a_damaged_copy_in_a_checkpoint_is_refused(pair, tmp_path):
    run = shutil.copytree(pair, tmp_path / "run")
    (run / FILE).unlink()
    for step in (run / "checkpoints").iterdir():
        (step / FILE).write_text((step / FILE).read_text().replace('"3"', '"8"'))
    with pytest.raises(CheckpointError, match="SHA-256"):
        SavedRun.at(str(run)).trained_on()


def test_a_record_of_an_older_version_is_read(pair, tmp_path):
    record = read_json(pair / FILE)
    for name in ("task", "target", "outputs", "fit", "background", "thresholds"):
        del record[name]
    (tmp_path / FILE).write_text(json.dumps(record))
    found = TrainedOn.read(tmp_path)
    assert found is not None
    assert (found.classes, found.task, found.outputs, found.fit) == (("3", "5"), "", 0, "cover")


def test_outputs_are_matched_to_classes_by_name(pair, tmp_path):
    expected = metrics(tmp_path / "a", f"run={pair}")
    assert expected["accuracy"] > 0.9
    found = metrics(tmp_path / "b", f"run={pair}", "dataset.classes=[5,3]")
    assert found == pytest.approx(expected)
    with (tmp_path / "b" / "classes.csv").open() as file:
        assert [row["class"] for row in csv.DictReader(file)] == ["3", "5"]


def test_predictions_are_those_of_the_classes_names(pair, tmp_path):
    tables = []
    for order in ("[3,5]", "[5,3]"):
        folder = tmp_path / order
        assert job(folder, "job=predict", f"run={pair}", f"dataset.classes={order}") == 0
        with (folder / "predictions.csv").open() as file:
            tables.append(list(csv.DictReader(file)))
    assert tables[0] == tables[1]


def test_an_ensemble_matches_its_runs_by_name(pair, reverse, tmp_path):
    """The mean of a run and its mirror image, by hand."""
    folder = tmp_path / "p"
    assert job(folder, "job=predict", f"runs=[{pair},{reverse}]") == 0
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    parts = []
    for i, path in enumerate((pair, reverse)):
        assert job(tmp_path / str(i), "job=predict", f"run={path}") == 0
        with (tmp_path / str(i) / "predictions.csv").open() as file:
            parts.append([float(row["p_3"]) for row in csv.DictReader(file)])
    expected = np.mean(parts, axis=0)
    np.testing.assert_allclose([float(row["p_3"]) for row in rows], expected, rtol=1e-5, atol=1e-7)
    members = read_json(folder / "result.json")["members"].values()
    assert all(member["accuracy"] > 0.9 for member in members)


def test_the_examples_of_a_run_have_its_class_names(pair, tmp_path):
    for i, order in enumerate(("[3,5]", "[5,3]")):
        assert (
            job(tmp_path / str(i), "job=examples", f"run={pair}", f"dataset.classes={order}") == 0
        )
    tables = [(tmp_path / str(i) / "hardest.csv").read_text() for i in range(2)]
    assert tables[0] == tables[1]


def test_a_teacher_is_matched_by_name(pair, tmp_path):
    """A student of pure distillation learns its teacher's classes, not their numbers."""
    settings = ("distill=soft_target", f"distill.teacher={pair}", "distill.alpha=1", "epochs=6")
    assert job(tmp_path / "s", *PAIR, *settings, "dataset.classes=[5,3]") == 0
    assert read_json(tmp_path / "s" / "result.json")["test"]["accuracy"] > 0.9


def test_other_classes_are_refused_with_both_lists(pair, run, tmp_path, capsys):
    error = refusal(capsys, tmp_path / "a", "job=evaluate", f"run={pair}", "dataset.classes=[5,4]")
    assert f"{pair} was trained on the classes [3, 5], the data has [5, 4]" in error
    other = folder_of(tmp_path / "d", names="abd")
    error = refusal(capsys, tmp_path / "b", "job=predict", f"run={run}", *on(other))
    assert "[a, b, c], the data has [a, b, d]" in error


def test_a_darker_copy_is_standardised_by_the_runs_statistics(run, tmp_path):
    dark = folder_of(tmp_path / "dark", brightness=0.25)
    found = metrics(tmp_path / "e", f"run={run}", *on(dark))
    arguments = ["model=mlp", "model.hidden=[16]", *on(dark)]
    other, record = make_run(tmp_path, *arguments), read_json(run / FILE)
    best = read_json(run / "result.json")["best_step"]
    saved = checkpoint.load(checkpoint.step_folder(run / "checkpoints", best))
    other.model.load_state_dict(saved.model)
    test = other.data.test
    pixels = test.images.read(test.ids.tolist()).float() / 255
    mean, std = (torch.tensor(record[name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        logits = other.model.eval()((pixels - mean) / std)
    loss = torch.nn.functional.cross_entropy(logits, test.labels[test.ids])
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert found["loss"] != pytest.approx(metrics(tmp_path / "o", f"run={run}")["loss"], rel=0.01)


def test_changed_pixels_do_not_change_the_statistics(images, run, tmp_path):
    """Even where the run's own folder now holds other pixels."""
    own = shutil.copytree(images, tmp_path / "own")
    assert job(tmp_path / "r", *SETTINGS, *on(own)) == 0
    dark = folder_of(tmp_path / "dark", brightness=0.25)
    shutil.rmtree(own)
    shutil.copytree(dark, own)
    expected = metrics(tmp_path / "a", f"run={run}", *on(dark))
    assert metrics(tmp_path / "b", f"run={tmp_path / 'r'}") == pytest.approx(expected)


def test_images_of_other_sizes_are_resized_to_the_runs(run, tmp_path, capsys):
    """`dataset.size=null` means the size of the first image: the run's, not the new folder's."""
    large = folder_of(tmp_path / "large", side=24)
    expected = metrics(tmp_path / "a", f"run={run}", *on(large), "dataset.size=8")
    assert metrics(tmp_path / "b", f"run={run}", *on(large)) == expected
    channels = ("job=evaluate", f"run={run}", *on(large), "dataset.channels=1")
    error = refusal(capsys, tmp_path / "c", *channels)
    assert "was trained on images of 3×8×8 (C×H×W), the data has 1×8×8" in error


def test_a_convolutional_network_is_not_given_another_size_unasked(tmp_path, capsys):
    canvas = ("dataset=digits_canvas", "dataset.examples=60", "dataset.digits=1")
    box = ("dataset.target=box", "task=regression", "loss=mse", "model=resnet_cifar", "epochs=1")
    assert job(tmp_path / "r", *canvas, *box, "dataset.size=16") == 0
    evaluate = ("job=evaluate", f"run={tmp_path / 'r'}", *canvas, "dataset.target=box")
    error = refusal(capsys, tmp_path / "a", *evaluate)
    assert "images of 1×16×16 (C×H×W), the data has 1×32×32" in error
    assert job(tmp_path / "b", *evaluate, "dataset.size=32") == 0, "asked for"


def test_a_run_without_a_record_falls_back_to_its_data_set(run, images, tmp_path, capsys):
    old = without_record(run, tmp_path / "old")
    dark = folder_of(tmp_path / "dark", brightness=0.25)
    expected = metrics(tmp_path / "a", f"run={run}", *on(dark))
    assert metrics(tmp_path / "b", f"run={old}", *on(dark)) == expected
    config = (old / "config.yaml").read_text().replace(str(images), str(tmp_path / "gone"))
    (old / "config.yaml").write_text(config)
    capsys.readouterr()
    metrics(tmp_path / "c", f"run={old}", *on(dark))
    assert f"{old} has no data.json, and its data set cannot be read" in capsys.readouterr().err
    assert job(tmp_path / "d", "job=evaluate", f"run={old}") == DataError.exit_code


def test_class_counts_are_those_of_the_run(pair, reverse, tmp_path):
    """A weighted loss and prior correction keep the priors of training on any data."""
    settings = (*SETTINGS, "dataset.classes=[3,5]", "loss=logit_adjusted", "dataset.imbalance=10")
    assert job(tmp_path / "r", *settings) == 0
    expected = read_json(tmp_path / "r" / "result.json")["test"]
    found = metrics(tmp_path / "e", f"run={tmp_path / 'r'}", "dataset.imbalance=null")
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [float("nan")]},
        {"std": [0.0]},
        {"std": [0.5, 0.5]},
        {"shape": [1, 8]},
        {"shape": []},
        {"shape": [True, 8, 8]},
        {"classes": [3, 5]},
        {"classes": "35"},
        {"class_counts": [1]},
        {"class_counts": [1, 10**30]},
        {"outputs": 10**30},
        {"shape": [1, 10**30, 8]},
        {"background": "no colour"},
        {"class_counts": [-1, 2]},
        {"mean": [10**400]},
        {"target": "classes"},
        {"task": 1},
        {"outputs": -1},
        {"outputs": True},
        {"fit": "stretch"},
        {"background": 7},
        {"thresholds": [0.5]},
    ],
)
def test_a_hostile_record_is_a_checkpoint_error(pair, tmp_path, change):
    (tmp_path / FILE).write_text(json.dumps(read_json(pair / FILE) | change))
    with pytest.raises(CheckpointError, match=FILE):
        TrainedOn.read(tmp_path)


def test_labels_are_renumbered_by_name():
    """By hand: what is not a class, −1 or 255, stays, and splits that share labels still do."""
    for labels, kept in (
        (torch.tensor([0, 1, 2, -1]), -1),
        (torch.tensor([[[0, 1], [2, 255]]], dtype=torch.uint8), 255),
    ):
        split = Split(Pixels(torch.zeros(4, 1, 2, 2).byte()), labels, torch.arange(len(labels)))
        given = Data(split, split, split, ("a", "b", "c"), (0.5,), (1.0,), threshold=2)
        data = renumbered(given, ("c", "a", "b"))
        assert data.classes == ("c", "a", "b")
        assert data.train.labels.flatten().tolist() == [1, 2, 0, kept]
        assert data.train.labels.dtype == labels.dtype
        assert data.train.labels is data.val.labels
        assert data.threshold == 0


def test_the_columns_of_several_labels_move_with_their_classes():
    labels = torch.tensor([[True, False, False], [False, True, True]])
    split = Split(Pixels(torch.zeros(2, 1, 2, 2).byte()), labels, torch.arange(2))
    data = renumbered(Data(split, split, split, ("a", "b", "c"), (0.0,), (1.0,)), ("c", "a", "b"))
    assert data.train.labels.tolist() == [[False, True, False], [True, False, True]]
