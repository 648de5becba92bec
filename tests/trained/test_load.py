"""trainer.load: a finished run as a module, without its data set or a config."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import CONF, config_of, read_json

import trainer
from trainer.cli.execute import execute
from trainer.core.errors import CheckpointError, ConfigError, DataError
from trainer.postprocess.none import NoPostprocess
from trainer.storage.trained_on import TrainedOn
from trainer.trained.loaded import LoadedModel

SETTINGS = ("quiet=true", "device=cpu", "model=mlp", "model.hidden=[16]", "epochs=2")


def job(folder: Path, *overrides: str) -> int:
    arguments = ["quiet=true", "device=cpu", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


def table(run: Path, folder: Path, *overrides: str) -> list[dict[str, str]]:
    """The rows of job=predict."""
    assert job(folder, "job=predict", f"run={run}", *overrides) == 0
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of three classes, of two sizes, one class with a name that is not ASCII."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for c, name in enumerate(("hund", "käfer", "猫")):
        (root / name).mkdir()
        for i in range(20):
            pixels = rng.integers(0, 120, (24, 30 + i % 2, 3), dtype=np.uint8)
            pixels[..., c] += 100
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    data = ("dataset=image_folder", f"dataset.root={photos}", "dataset.size=[12,16]")
    assert job(folder, *SETTINGS, *data, "postprocess=temperature", "epochs=5") == 0
    return folder


def test_probabilities_are_those_of_job_predict(run: Path, photos: Path, tmp_path: Path) -> None:
    """With the run's postprocessing; from paths, of images of other sizes than the model's."""
    rows = table(run, tmp_path / "p")
    model = trainer.load(run)
    assert model.classes == ("hund", "käfer", "猫")
    found = model.probabilities([row["path"] for row in rows])
    expected = [[float(row[f"p_{name}"]) for name in model.classes] for row in rows]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)
    for row, prediction in zip(rows, model.predict([row["path"] for row in rows]), strict=True):
        label, probability = prediction
        assert label == row["prediction"]
        assert probability == pytest.approx(float(row["confidence"]), rel=1e-4)


def test_a_path_a_picture_and_a_tensor_are_the_same_image(run: Path, photos: Path) -> None:
    path = photos / "hund" / "1.png"
    model = trainer.load(str(run))
    expected = model.preprocess(path)
    assert expected.shape == (1, 3, 12, 16)
    with Image.open(path) as image:
        image.load()
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    for same in (str(path), image, tensor, tensor[None], [image]):
        assert torch.equal(model.preprocess(same), expected)
    assert model.predict(image) == model.predict([path, image])[1]


def test_standardised_by_hand(run: Path) -> None:
    record = read_json(run / "data.json")
    pixels = torch.randint(0, 256, (2, 3, 12, 16), dtype=torch.uint8)
    mean, std = (torch.tensor(record[name])[:, None, None] for name in ("mean", "std"))
    expected = (pixels / 255 - mean) / std
    torch.testing.assert_close(trainer.load(run).preprocess(pixels), expected)


def test_grey_and_transparent_pictures_are_converted(run: Path) -> None:
    model = trainer.load(run)
    grey = torch.full((1, 20, 20), 70, dtype=torch.uint8)
    assert torch.equal(model.preprocess(grey), model.preprocess(grey.expand(3, 20, 20)))
    for mode in ("L", "RGBA", "P", "CMYK"):
        assert model.preprocess(Image.new(mode, (9, 7))).shape == (1, 3, 12, 16)


def test_a_module_in_eval_mode_with_the_runs_weights(run: Path) -> None:
    state = torch.get_rng_state()
    model = trainer.load(run)
    assert torch.equal(torch.get_rng_state(), state), "random numbers are the caller's"
    assert isinstance(model, torch.nn.Module)
    assert not any(module.training for module in model.modules())
    outputs = model(model.preprocess(torch.zeros(5, 3, 12, 16, dtype=torch.uint8)))
    assert outputs.shape == (5, 3)
    assert outputs.requires_grad
    model.train()
    model.predict(torch.zeros(3, 12, 16, dtype=torch.uint8))
    assert model.training


def test_nothing_but_the_run_is_read(run: Path, photos: Path, tmp_path: Path) -> None:
    """The data set is gone, and of the record only a checkpoint's copy is left."""
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "data.json").unlink()
    config = (copy / "config.yaml").read_text().replace(str(photos), "/nowhere")
    (copy / "config.yaml").write_text(config)
    best = read_json(run / "result.json")["best_step"]
    path = photos / "猫" / "0.png"
    expected = trainer.load(run).predict(path)
    assert trainer.load(copy).predict(path) == expected
    assert trainer.load(copy / "checkpoints" / f"step-{best}").predict(path) == expected


def test_a_checkpoint_alone_is_enough(run: Path, photos: Path, tmp_path: Path) -> None:
    """Copied out of its run, whose fit of the postprocessing it lacks."""
    best = read_json(run / "result.json")["best_step"]
    alone = shutil.copytree(run / "checkpoints" / f"step-{best}", tmp_path / "mine")
    with pytest.warns(UserWarning, match="without postprocessing"):
        model = trainer.load(alone)
    path = photos / "hund" / "1.png"
    with torch.no_grad():
        assert torch.equal(model(model.preprocess(path)), trainer.load(run)(model.preprocess(path)))
    assert job(tmp_path / "e", "job=evaluate", f"run={alone}", "postprocess=none") == 0
    found, own = (read_json(f / "result.json") for f in (tmp_path / "e", run))
    assert found["test"] == pytest.approx(own["test_before"])


def test_the_latest_run_and_part_of_a_name(run: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(run, tmp_path / "outputs" / "2026-11-28" / "10-00-00-abcd")
    monkeypatch.chdir(tmp_path)
    for name in ("latest", "10-00"):
        assert trainer.load(name).classes == ("hund", "käfer", "猫")
    with pytest.raises(ConfigError, match="run=11-00: no run there"):
        trainer.load("11-00")


def test_other_weights_are_used_without_the_runs_postprocessing(run: Path) -> None:
    best = read_json(run / "result.json")["best_step"]
    other = next(p for p in (run / "checkpoints").iterdir() if p.name != f"step-{best}")
    with pytest.warns(UserWarning, match="without postprocessing"):
        model = trainer.load(other)
    zeros = torch.zeros(1, 3, 12, 16, dtype=torch.uint8)
    expected = model(model.preprocess(zeros)).softmax(1)
    torch.testing.assert_close(model.probabilities(zeros), expected)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (torch.zeros(3, 12, 16), TypeError, "uint8"),
        (torch.zeros(4, 12, 16, dtype=torch.uint8), ValueError, "4×12×16"),
        (7, TypeError, "a path, a PIL image or a uint8 tensor"),
        ([], ValueError, "empty"),
        ("nowhere.png", DataError, "nowhere.png"),
    ],
)
def test_what_is_no_image_is_refused(run: Path, value, error, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        trainer.load(run).predict(value)
    assert "dataset.corrupt" not in str(caught.value)


def test_what_is_no_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run there"):
        trainer.load(tmp_path)
    old = shutil.copytree(run, tmp_path / "old")
    for path in (*old.rglob("data.json"), *old.rglob("manifest.json")):
        path.unlink()
    with pytest.raises(CheckpointError, match=r"no data\.json"):
        trainer.load(old)


def test_own_code_is_named_by_the_caller(run: Path, tmp_path: Path, monkeypatch) -> None:
    code = "from trainer.model.mlp import Mlp\n\n\nclass OwnNet(Mlp):\n    pass\n"
    (tmp_path / "users_own_net.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    name = "users_own_net.OwnNet"
    assert job(tmp_path / "run", *SETTINGS, f"model._target_={name}") == 0
    with pytest.raises(CheckpointError, match=name):
        trainer.load(tmp_path / "run")
    model = trainer.load(tmp_path / "run", code=[name])
    assert type(model.network).__name__ == "OwnNet"


def test_a_mask_has_probabilities_but_no_prediction(tmp_path: Path) -> None:
    canvas = ("dataset=digits_canvas", "dataset.examples=40", "dataset.digits=1")
    mask = ("dataset.target=mask", "task=segmentation", "model=unet", "model.width=4")
    overrides = ("quiet=true", "device=cpu", *canvas, *mask, "dataset.size=16", "epochs=1")
    assert job(tmp_path / "run", *overrides) == 0
    model = trainer.load(tmp_path / "run")
    images = torch.zeros(2, *model.shape, dtype=torch.uint8)
    assert model.probabilities(images).shape == (2, len(model.classes), 16, 16)
    with pytest.raises(TypeError, match="one class per image, not mask"):
        model.predict(images)


def test_a_regression_has_outputs_only(tmp_path: Path) -> None:
    canvas = ("dataset=digits_canvas", "dataset.examples=40", "dataset.digits=1")
    box = ("dataset.target=box", "task=regression", "loss=mse", "dataset.size=16")
    assert job(tmp_path / "run", *SETTINGS, *canvas, *box) == 0
    model = trainer.load(tmp_path / "run")
    images = torch.zeros(2, *model.shape, dtype=torch.uint8)
    assert model(model.preprocess(images)).shape == (2, 4)
    with pytest.raises(TypeError, match="no probabilities"):
        model.probabilities(images)


class Shift(NoPostprocess):
    """The thresholds of several labels, as postprocess=threshold fits them."""

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs + torch.tensor([-1.0, 0, 1])


def test_of_several_labels_those_present_are_listed() -> None:
    """σ(2) is above its threshold σ(1), σ(−0.1) below 1/2, and σ(−0.5) above σ(−1)."""
    about = TrainedOn(
        "run", ("a", "b", "c"), (1, 1, 3), (0.0,), (1.0,), (1, 1, 1), target="multilabel"
    )
    outputs = torch.tensor([2, -0.1, -0.5])

    class Network(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return outputs.expand(len(images), 3)

    model = LoadedModel(Network(), about, Shift(), Path())
    image = torch.zeros(1, 1, 3, dtype=torch.uint8)
    torch.testing.assert_close(model.probabilities(image)[0], outputs.sigmoid())
    first, second = model.predict(image)
    assert (first.label, second.label) == ("a", "c")
    assert first.probability == pytest.approx(torch.tensor(2.0).sigmoid().item())
    assert [len(found) for found in model.predict([image, image])] == [2, 2]


def test_the_package_is_imported_without_torch() -> None:
    code = "import trainer, sys; assert 'load' in dir(trainer); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
