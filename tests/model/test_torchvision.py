"""torchvision's networks: heads, channels, sizes and weights."""

import io
import time
from email.message import Message
from urllib.error import URLError

import pytest
import torch
from torchvision import models

from trainer.core.errors import CheckpointError
from trainer.model.shared.head import head_of
from trainer.model.torchvision import Torchvision
from trainer.optimizer.shared.layer_rates import layers_of

FAMILIES = {  # head, and the side that 28x28 images are resized to
    "alexnet": ("classifier.6", 64),
    "densenet121": ("classifier", 32),
    "googlenet": ("fc", None),
    "inception_v3": ("fc", 96),
    "regnet_y_400mf": ("fc", None),
    "resnet18": ("fc", None),
    "squeezenet1_1": ("classifier.1", None),
    "vit_b_32": ("heads.head", 224),
    "fcn_resnet50": ("classifier.4", None),
    "lraspp_mobilenet_v3_large": ("classifier", None),
}
SEGMENTATION = [name for name in FAMILIES if name in models.list_models(module=models.segmentation)]


@pytest.mark.parametrize("name", FAMILIES)
def test_head_size_and_outputs_of_each_family(name):
    """For grey 28x28 images and seven outputs."""
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        model = Torchvision(shape=(1, 28, 28), outputs=7, name=name)
        outputs = model(torch.zeros(2, 1, 28, 28))
    head, side = FAMILIES[name]
    assert head_of(model) == f"network.{head}"
    assert model.side == side
    assert outputs.shape == ((2, 7, 28, 28) if name in SEGMENTATION else (2, 7))
    last = [p for p in model.get_submodule(head_of(model)).parameters() if p.shape[0] == 7]
    assert last


@pytest.mark.parametrize("name", ["squeezenet1_1", "fcn_resnet50"])
def test_parameters_have_the_shapes_of_torchvision(name):
    with torch.device("meta"):
        ours = Torchvision(shape=(3, 64, 64), outputs=7, name=name)
        settings = {"weights_backbone": None} if name in SEGMENTATION else {}
        theirs = models.get_model(name, weights=None, num_classes=7, **settings)
    shapes = {f"network.{k}": v.shape for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == shapes


def test_images_are_resized_only_when_required():
    model = Torchvision(shape=(3, 64, 48), outputs=7, name="squeezenet1_1")
    images = torch.randn(2, 3, 64, 48)
    assert torch.equal(model.eval()(images), model.network(images))
    resized = Torchvision(shape=(3, 64, 48), outputs=7, name="squeezenet1_1", size=96)
    shapes = []
    resized.network.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    resized(images)
    assert shapes == [(2, 3, 96, 96)]


def test_mask_logits_have_the_size_of_the_original_images():
    model = Torchvision(
        shape=(1, 9, 7), outputs=3, name="lraspp_mobilenet_v3_large", size=32, pretrained=False
    )
    assert model(torch.randn(2, 1, 9, 7)).shape == (2, 3, 9, 7)


def test_construction_leaves_train_mode_and_initial_statistics():
    """The trial passes that find the image size do not count."""
    model = Torchvision(shape=(1, 28, 28), outputs=7, name="mobilenet_v3_small")
    assert all(module.training for module in model.modules())
    assert model.get_buffer("network.features.0.1.num_batches_tracked") == 0


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A network of three channels and five classes, and a file with its weights."""
    tmp_path = tmp_path_factory.mktemp("published")
    torch.manual_seed(1)
    theirs = models.get_model("resnet18", weights=None, num_classes=5)
    for buffer in theirs.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    return theirs.eval(), str(tmp_path / "weights.pth")


def test_weights_from_a_file_with_other_classes_and_channels(published):
    theirs, path = published
    ours = Torchvision(shape=(1, 28, 28), outputs=7, pretrained=path).eval()
    features = []
    for network in (theirs, ours.network):
        network.fc.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    grey = torch.randn(3, 1, 28, 28)
    theirs(grey.expand(-1, 3, -1, -1)), ours(grey)
    assert torch.allclose(*features, atol=1e-4)
    assert ours.network.fc.weight.shape == (7, 512)


def test_published_parameter_names_of_densenet_are_mapped(tmp_path):
    """Published files have `norm.1` for `norm1`."""
    theirs = models.get_model("densenet121", weights=None)
    old = {
        k.replace("norm1", "norm.1").replace("conv2", "conv.2") if "denselayer" in k else k: v
        for k, v in theirs.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "weights.pth")
    ours = Torchvision(
        shape=(3, 32, 32), outputs=2, name="densenet121", pretrained=str(tmp_path / "weights.pth")
    )
    name = "features.denseblock4.denselayer16.conv2.weight"
    assert torch.equal(ours.network.get_parameter(name), theirs.get_parameter(name))


def test_auxiliary_heads_in_a_file_are_ignored(tmp_path):
    name = "deeplabv3_mobilenet_v3_large"
    theirs = models.get_model(
        name, weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    )
    state = theirs.state_dict()
    assert any(key.startswith("aux_classifier.") for key in state)
    path = str(tmp_path / "weights.pth")
    torch.save(state, path)
    ours = Torchvision(shape=(3, 16, 16), outputs=2, name=name, pretrained=path)
    for part in ("backbone.0.0", "classifier.0.convs.0.0"):
        weight = f"{part}.weight"
        assert torch.equal(ours.network.get_parameter(weight), theirs.get_parameter(weight))


def test_weights_of_another_network_are_rejected(published):
    with pytest.raises(CheckpointError, match=r"does not fit the model: .*layer1.*conv1"):
        Torchvision(shape=(3, 32, 32), outputs=7, name="resnet50", pretrained=published[1])


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of weights."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_unreachable_weights_are_reported_at_once(hub, monkeypatch):
    def refuse(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr("trainer.model.shared.pretrained.urlopen", refuse)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"^model\.pretrained=true: .*pretrained=FILE"):
        Torchvision(shape=(3, 32, 32), outputs=7, pretrained=True)
    assert time.perf_counter() - start < 5
    assert not hub.exists()


def test_an_interrupted_download_leaves_no_partial_file(hub, monkeypatch):
    class Breaking(io.BytesIO):
        def info(self):
            return Message()

        def read(self, size=-1):
            if self.tell():
                raise TimeoutError("timed out")
            return super().read(1000)

    monkeypatch.setattr("trainer.model.torchvision.unreachable", lambda _: None)
    monkeypatch.setattr(torch.hub, "urlopen", lambda *_, **__: Breaking(b"x" * 5000))
    with pytest.raises(ValueError, match=r"cannot be downloaded .* \(timed out\)"):
        Torchvision(shape=(3, 32, 32), outputs=7, pretrained=True)
    assert [path for path in hub.rglob("*") if path.is_file()] == []


def test_cached_weights_are_not_downloaded(hub, monkeypatch):
    """The head is new even though the number of classes is the same."""
    weights = models.ResNet18_Weights.DEFAULT
    theirs = models.get_model("resnet18", weights=None)
    cache = hub / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(theirs.state_dict(), cache / weights.url.rpartition("/")[2])
    monkeypatch.setattr("trainer.model.shared.pretrained.urlopen", pytest.fail)
    ours = Torchvision(shape=(3, 32, 32), outputs=1000, pretrained=True)
    assert torch.equal(ours.network.conv1.weight, theirs.conv1.weight)
    assert not torch.equal(ours.network.fc.weight, theirs.fc.weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet19"}, "model.name=resnet19 is not a torchvision network. Did you mean"),
        (
            {"name": "fasterrcnn_resnet50_fpn"},
            "model.name=fasterrcnn_resnet50_fpn is not a torchvision network",
        ),
        ({"size": 0}, "model.size must be in"),
        ({"name": "vit_b_32", "size": 30}, "does not accept images of 3x32x32 with model.size=30"),
        ({"arguments": {"nope": 1}}, "model.arguments={'nope': 1}: .*nope"),
        ({"pretrained": "nowhere.pth"}, "model.pretrained=nowhere.pth: no such file"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        Torchvision(shape=(3, 32, 32), outputs=7, **settings)


def test_arguments_are_passed_to_the_network():
    model = Torchvision(
        shape=(3, 32, 32), outputs=7, name="squeezenet1_1", arguments={"dropout": 0.3}
    )
    assert model.get_submodule("network.classifier.0").p == 0.3


def test_layer_decay_finds_the_layers_inside_the_wrapper():
    """ResNet-18 has ten: the stem, eight blocks and the head."""
    with torch.device("meta"):
        model = Torchvision(shape=(3, 32, 32), outputs=7)
    layers = layers_of(model)
    assert len(layers) == 10
    assert {id(p) for layer in layers for p in layer} == {id(p) for p in model.parameters()}
    assert [p.shape[0] for p in layers[-1]] == [7, 7]


def test_resizing_works_in_mixed_precision():
    model = Torchvision(shape=(1, 9, 7), outputs=3, name="squeezenet1_1", size=32)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(torch.randn(2, 1, 9, 7))
    outputs.float().sum().backward()
    assert outputs.shape == (2, 3)
    assert outputs.dtype == torch.bfloat16
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
