"""Teachers from torchvision and timm with weights from a file. No test uses the network."""

import pytest
import torch
from support import make_run, train
from torchvision import models

import trainer.model.torchvision
from trainer.core.errors import ConfigError
from trainer.distill.shared import library
from trainer.distill.shared.teacher import teacher_loader

timm = pytest.importorskip("timm")
NETWORKS = {"torchvision": "mobilenet_v3_small", "timm": "test_resnet"}


def network_of(name: str, classes: int) -> torch.nn.Module:
    torch.manual_seed(0)
    if name == "torchvision":
        return models.get_model(NETWORKS[name], num_classes=classes)
    return timm.create_model(NETWORKS[name], num_classes=classes)


def weights_of(name: str, folder, classes: int = 10) -> tuple[str, torch.nn.Module]:
    """A reference to a saved network's weights, and the network in eval mode."""
    network = network_of(name, classes)
    torch.save(network.state_dict(), folder / "weights.pth")
    return f"{name}:{NETWORKS[name]}:{folder / 'weights.pth'}", network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_network(name, tmp_path):
    """Grey images become three equal channels, standardised as in the network's training."""
    reference, network = weights_of(name, tmp_path)
    run = make_run(tmp_path, "device=cpu", "model=mlp")
    teacher = teacher_loader(reference, run.restore)(run.forward, run.data)
    teacher.bind(run.forward, run.data)
    pixels = torch.rand(2, *run.data.shape, generator=torch.Generator().manual_seed(0))
    logits = teacher((pixels - run.forward.mean) / run.forward.std)
    mean, std = (torch.tensor(x)[:, None, None] for x in (library.MEAN, library.STD))
    if name == "timm":
        mean, std = (
            torch.tensor(network.pretrained_cfg[key])[:, None, None] for key in ("mean", "std")
        )
    images = (pixels.expand(-1, 3, -1, -1) - mean) / std
    if side := teacher.forward.model.side:
        images = torch.nn.functional.interpolate(
            images, (side, side), mode="bilinear", antialias=True
        )
    with torch.no_grad():
        torch.testing.assert_close(logits, network(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_with_another_number_of_classes_are_rejected(name, tmp_path):
    reference, _ = weights_of(name, tmp_path, classes=7)
    run = make_run(tmp_path, "device=cpu", "model=mlp")
    with pytest.raises(ValueError, match=rf"distill\.teacher={reference}: .* is \[7") as refused:
        teacher_loader(reference, run.restore)(run.forward, run.data)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("torchvision:resnet19", ".*resnet19.* Did you mean resnet1"),
        ("timm:resnet19", ".*resnet19.* Did you mean resnet"),
        ("torchvision:resnet18:nowhere.pth", ".*nowhere.pth"),
    ],
)
def test_a_missing_network_or_file_is_rejected_before_data_opens(tmp_path, reference, message):
    folder = tmp_path / "run"
    with pytest.raises(ConfigError, match=f"distill.teacher={reference}: {message}"):
        train(folder, "distill=soft_target", f"distill.teacher={reference}")
    assert not folder.exists()


def test_a_failed_download_is_reported_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer.model.torchvision, "unreachable", lambda url: "no network")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    run = make_run(tmp_path, "device=cpu", "model=mlp")
    message = "distill.teacher=torchvision:resnet18: the weights of resnet18 .*no network"
    with pytest.raises(ValueError, match=message) as refused:
        teacher_loader("torchvision:resnet18", run.restore)(run.forward, run.data)
    assert "model.pretrained" not in str(refused.value)
    assert "torchvision:resnet18:FILE" in str(refused.value)


def test_a_run_folder_is_not_a_library_reference():
    assert not library.check_reference("outputs/2026-11-24/10-00-00-ab12")
    assert not library.check_reference("torchvision")
