"""Feature maps of several resolutions for detectors, from one network."""

from collections import OrderedDict

from torch import Tensor, nn
from torchvision import models


def convolution(fan_in: int, fan_out: int, stride: int) -> nn.Sequential:
    """A 3x3 convolution, batch norm and ReLU."""
    layer = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(fan_out), nn.ReLU())


class FeatureMaps(nn.Module):
    """Stages one after the other; the map that each returns is kept.

    `out_channels` are those of the maps: the name that torchvision's detectors ask for.
    """

    def __init__(self, stages: list[nn.Module], channels: list[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.out_channels = channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """[B, C, H, W] → maps [B, out_channels[i], h_i, w_i], the largest first."""
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for number, stage in enumerate(self.stages):
            images = stage(images)
            maps[str(number)] = images
        return maps


def small_stage(channels: int) -> nn.Sequential:
    """Five convolutions to 64 maps of a quarter of the side."""
    return nn.Sequential(
        convolution(channels, 16, 1),
        convolution(16, 32, 2),
        convolution(32, 64, 2),
        convolution(64, 64, 1),
        convolution(64, 64, 1),
    )


def small(channels: int) -> FeatureMaps:
    """Maps of 1/4 and 1/8 of the side: for images of about 64 pixels."""
    return FeatureMaps([small_stage(channels), convolution(64, 64, 2)], [64, 64])


def resnet18(channels: int) -> FeatureMaps:
    """ResNet-18's maps of 1/8, 1/16 and 1/32 of the side, and two smaller ones."""
    net = models.resnet18(weights=None)
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2)
    further = [convolution(512, 256, 2), convolution(256, 256, 2)]
    return FeatureMaps([stem, net.layer3, net.layer4, *further], [128, 256, 512, 256, 256])
