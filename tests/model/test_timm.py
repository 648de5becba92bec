"""timm's networks: heads, channels, sizes and weights."""

import time
from urllib.error import URLError

import pytest
import torch

from trainer.core.errors import CheckpointError
from trainer.model import timm as module
from trainer.model.shared.head import head_of
from trainer.model.timm import Timm

timm = pytest.importorskip("timm")


@pytest.mark.parametrize(
    ("name", "head", "side"),
    [
        ("test_resnet.r160_in1k", "fc", None),
        ("test_vit", "head", 32),
        ("test_convnext", "head.fc", 32),
        ("test_efficientnet", "classifier", None),
    ],
)
def test_networks_accept_grey_images_of_28x28(name, head, side):
    model = Timm(shape=(1, 28, 28), outputs=7, name=name)
    assert head_of(model) == f"network.{head}"
    assert model.side == side
    assert model(torch.randn(2, 1, 28, 28)).shape == (2, 7)


def test_parameters_have_the_shapes_of_timm():
    ours = Timm(shape=(3, 64, 64), outputs=7, name="test_resnet")
    theirs = timm.create_model("test_resnet", num_classes=7)
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]


def test_weights_from_a_file_with_other_classes_and_channels(tmp_path):
    theirs = timm.create_model("test_resnet", num_classes=5).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    path = str(tmp_path / "weights.pth")
    ours = Timm(shape=(1, 28, 28), outputs=7, name="test_resnet", pretrained=path).eval()
    grey = torch.randn(3, 1, 28, 28)
    features = theirs.forward_features(grey.expand(-1, 3, -1, -1))
    assert torch.allclose(ours.network.forward_features(grey), features, atol=1e-4)
    with pytest.raises(CheckpointError, match="does not fit the model"):
        Timm(shape=(1, 28, 28), outputs=7, name="test_vit", pretrained=path)


def test_unreachable_weights_are_reported_at_once(monkeypatch):
    def refuse(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr("trainer.model.shared.pretrained.urlopen", refuse)
    start = time.perf_counter()
    with pytest.raises(
        ValueError, match=r"^model\.pretrained=true: .*cannot be downloaded from .*huggingface"
    ):
        Timm(shape=(3, 32, 32), outputs=7, name="test_resnet", pretrained=True)
    assert time.perf_counter() - start < 5


def test_pretrained_weights_get_a_new_head(monkeypatch):
    """Even if the number of classes is the same."""
    theirs = timm.create_model("test_resnet")

    def create(name, *, pretrained, **settings):
        network = original(name, pretrained=False, **settings)
        if pretrained:
            network.load_state_dict(theirs.state_dict())
        return network

    original = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(module, "unreachable", lambda _: None)
    ours = Timm(shape=(3, 32, 32), outputs=1000, name="test_resnet", pretrained=True).network
    assert torch.equal(next(ours.parameters()), next(theirs.parameters()))
    assert not torch.equal(ours.fc.weight, theirs.fc.weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet19"}, "model.name=resnet19 is not a timm network. Did you mean"),
        ({"name": "levit_128s"}, "has the heads head.linear and head_dist.linear"),
        ({"arguments": {"nope": 1}}, "model.arguments={'nope': 1}: .*nope"),
        ({"pretrained": "nowhere.pth"}, "model.pretrained=nowhere.pth: no such file"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Timm(shape=(3, 32, 32), outputs=7, **settings)


def test_a_missing_timm_names_the_extra(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[timm\]'"):
        Timm(shape=(3, 32, 32), outputs=7)
