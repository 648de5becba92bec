"""Models: networks from images [B, C, H, W], or word ids [B, L], to outputs [B, outputs, ...]."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports

if TYPE_CHECKING:
    from trainer.model.embedding_bag import EmbeddingBag
    from trainer.model.faster_rcnn import FasterRcnn
    from trainer.model.mlp import Mlp
    from trainer.model.resnet_cifar import ResnetCifar
    from trainer.model.simple_cnn import SimpleCnn
    from trainer.model.ssd import Ssd
    from trainer.model.text_cnn import TextCnn
    from trainer.model.timm import Timm
    from trainer.model.torchvision import Torchvision
    from trainer.model.transformers import Transformers
    from trainer.model.unet import Unet
    from trainer.model.wide_resnet import WideResnet

__getattr__, __dir__ = exports(__name__)
