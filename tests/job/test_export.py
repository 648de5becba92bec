"""job=export: what other programs read gives the run's own outputs."""

import json
import resource
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
import torchvision
from PIL import Image
from support import CONF, config_of, read_json

import trainer
from trainer.cli.execute import execute
from trainer.core.errors import ConfigError, TrainerError
from trainer.job.export import Export
from trainer.trained import exported

FORMATS = {"torch": "model.pt2", "onnx": "model.onnx", "state_dict": "state_dict.pt"}


def job(folder: Path, *overrides: str) -> int:
    arguments = ["quiet=true", "device=cpu", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for c, name in enumerate("abc"):
        (root / name).mkdir()
        for i in range(10):
            pixels = rng.integers(0, 150, (20, 24, 3), dtype=np.uint8)
            pixels[..., c] += 100
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def trained(folder: Path, photos: Path, *model: str) -> Path:
    data = ("dataset=image_folder", f"dataset.root={photos}", "dataset.size=24")
    assert job(folder, *data, *model, "epochs=1", "batch_size=16") == 0
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "run"
    assert job(folder, "epochs=1", "dataset.subset=200") == 0
    return folder


@pytest.fixture(scope="module")
def resnet(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torchvision network that resizes its images."""
    folder = tmp_path_factory.mktemp("resnet") / "run"
    return trained(folder, photos, "model=torchvision", "model.name=resnet18", "model.size=32")


def export(run: Path, folder: Path, *overrides: str) -> dict:
    assert job(folder, "job=export", f"run={run}", *overrides) == 0
    return read_json(folder / "result.json")["export"]


def exported_network(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda x: torch.from_numpy(session.run(None, {"images": x.numpy()})[0])
    return torch.export.load(path).module()


@pytest.mark.parametrize(("name", "kind"), [("digits", "torch"), ("resnet", "onnx")])
def test_pixels_to_outputs_for_batches_of_any_size(name, kind, request, tmp_path, capsys) -> None:
    run = request.getfixturevalue(name)
    found = export(run, tmp_path / "e", f"job.format={kind}", "quiet=false")
    said = capsys.readouterr().out
    assert f"largest difference {found['largest_difference']:.3g} on {found['images']}" in said
    assert found["largest_difference"] < 1e-4
    assert found["images"] == (64 if name == "digits" else 6), "all of a small split"
    assert found["of"] == "test"
    model, network = trainer.load(run), exported_network(tmp_path / "e" / FORMATS[kind])
    for number in (1, 3, 65):
        rng = torch.Generator().manual_seed(number)
        images = torch.randint(0, 256, (number, *model.shape), generator=rng, dtype=torch.uint8)
        expected = model(model.preprocess(images)).detach()
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)
    assert read_json(tmp_path / "e" / "data.json") == read_json(run / "data.json")
    assert classes_in(tmp_path / "e" / FORMATS[kind]) == read_json(run / "data.json")["classes"]


def classes_in(path: Path) -> list[str]:
    """The names of the classes in an exported file itself."""
    if path.suffix == ".onnx":
        about = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        return json.loads(about["classes"])
    extra = {"data.json": ""}
    torch.export.load(path, extra_files=extra)
    return json.loads(extra["data.json"])["classes"]


def test_a_state_dict_has_torchvisions_own_names(resnet: Path, tmp_path: Path) -> None:
    found = export(resnet, tmp_path / "e", "job.format=state_dict")
    assert found["resized_to"] == 32
    network = torchvision.models.resnet18(num_classes=3)
    path = tmp_path / "e" / "state_dict.pt"
    network.load_state_dict(torch.load(path, weights_only=True), strict=True)
    model = trainer.load(resnet)
    images = model.preprocess(torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8))
    resized = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(network.eval()(resized), model(images))


def test_a_state_dict_has_timms_own_names(photos: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", photos, "model=timm", "model.name=resnet10t")
    export(run, tmp_path / "e", "job.format=state_dict")
    network = timm.create_model("resnet10t", num_classes=3)
    path = tmp_path / "e" / "state_dict.pt"
    network.load_state_dict(torch.load(path, weights_only=True), strict=True)
    found = export(run, tmp_path / "t", "job.format=torch")
    assert found["largest_difference"] < 1e-4


def test_our_own_models_keep_their_names(digits: Path, tmp_path: Path) -> None:
    export(digits, tmp_path / "e", "job.format=state_dict")
    state = torch.load(tmp_path / "e" / "state_dict.pt", weights_only=True)
    assert type(state) in (dict, OrderedDict)
    assert "conv1.weight" in state


def test_images_of_a_source_are_compared(resnet: Path, photos: Path, tmp_path: Path) -> None:
    found = export(resnet, tmp_path / "e", f"source={photos}", "job.format=state_dict")
    assert (found["images"], found["of"]) == (30, str(photos))


def test_without_its_data_set_noise_is_compared(resnet: Path, photos, tmp_path, capsys) -> None:
    run = shutil.copytree(resnet, tmp_path / "run")
    config = (run / "config.yaml").read_text().replace(str(photos), "/gone")
    (run / "config.yaml").write_text(config)
    found = export(run, tmp_path / "e", "job.format=state_dict")
    assert (found["images"], found["of"]) == (64, "noise")
    assert "compared on noise instead" in capsys.readouterr().err


def test_a_file_that_does_not_agree_is_an_error(digits, tmp_path, monkeypatch, capsys) -> None:
    real = exported.write_torch

    def wrong(model, path):
        apply = real(model, path)
        return lambda images: apply(images) + 0.5

    monkeypatch.setattr("trainer.job.export.WRITERS", {"torch": wrong})
    assert job(tmp_path / "e", "job=export", f"run={digits}") == TrainerError.exit_code
    assert "does not agree with the run: its outputs differ by up to 0.5" in capsys.readouterr().err


def test_a_network_that_cannot_be_traced_is_named(digits, monkeypatch, tmp_path, capsys) -> None:
    from trainer.model.simple_cnn import SimpleCnn

    whole = SimpleCnn.forward
    monkeypatch.setattr(SimpleCnn, "forward", lambda self, x: whole(self, x) if x.sum() > -1 else x)
    assert job(tmp_path / "e", "job=export", f"run={digits}") == ConfigError.exit_code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "job.format: SimpleCnn cannot be exported" in error


def test_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setattr("trainer.job.export.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"job\.format=onnx needs the onnx extra"):
        Export(format="onnx")


def test_a_mask_and_a_regression(tmp_path: Path) -> None:
    canvas = ("dataset=digits_canvas", "dataset.examples=40", "dataset.digits=1", "epochs=1")
    mask = (
        "dataset.target=mask",
        "task=segmentation",
        "model=unet",
        "model.width=4",
        "model.depth=1",
    )
    box = ("dataset.target=box", "task=regression", "loss=mse", "model=mlp")
    for name, settings in {"mask": mask, "box": box}.items():
        assert job(tmp_path / name, *canvas, *settings, "dataset.size=16") == 0
        kind = "onnx" if name == "mask" else "torch"
        found = export(tmp_path / name, tmp_path / f"{name} {kind}", f"job.format={kind}")
        assert found["largest_difference"] < 1e-4


@pytest.mark.parametrize("kind", ["torch", "state_dict"])
def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(
    digits: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """torch's own writer of files throws where nothing catches it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))
    try:
        code = job(tmp_path / "e", "job=export", f"run={digits}", f"job.format={kind}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 6
    assert f"{tmp_path / 'e'} cannot be read or written" in capsys.readouterr().err
