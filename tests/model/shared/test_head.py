"""The head of a model: the dotted name of its last layer."""

import pytest
import torch
from torch import nn

from trainer.core.errors import ConfigError
from trainer.model.mlp import Mlp
from trainer.model.resnet_cifar import ResnetCifar
from trainer.model.shared.head import head_of, inside
from trainer.model.simple_cnn import SimpleCnn
from trainer.model.unet import Unet
from trainer.model.wide_resnet import WideResnet

OURS = {
    "layers.3": (Mlp, {}),
    "layers.5": (Mlp, {"hidden": [8, 8]}),
    "layers.1": (Mlp, {"hidden": []}),
    "fc2": (SimpleCnn, {}),
    "fc": (ResnetCifar, {"depth": 8}),
    "last": (Unet, {"width": 2, "depth": 1}),
}


@pytest.mark.parametrize("name", OURS)
def test_head_of_our_models_is_the_layer_with_the_outputs(name):
    make, settings = OURS[name]
    model = make(shape=(1, 8, 8), outputs=7, **settings)
    assert head_of(model) == name
    assert model.get_submodule(name).weight.shape[0] == 7


def test_head_of_wide_resnet():
    with torch.device("meta"):
        model = WideResnet(shape=(1, 8, 8), outputs=7)
    assert model.get_submodule(head_of(model)).weight.shape == (7, 640)


def test_without_a_name_the_head_is_the_layer_defined_last():
    """Even if `head` is a module rather than a name, as in some networks of timm."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
    assert head_of(model) == "2.0"
    model.head = nn.Linear(3, 4)
    assert head_of(model) == "head"


def test_a_model_without_layers_is_rejected():
    with pytest.raises(ConfigError, match="model: ReLU has no linear or convolution layer"):
        head_of(nn.ReLU())


def test_inside_compares_whole_names():
    assert inside("fc", "fc")
    assert inside("fc.weight", "fc")
    assert not inside("fc2.weight", "fc")
