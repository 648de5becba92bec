"""Data sets: which images or texts, which labels, and how they are split."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.dataset.base import Data, Dataset, Images, Raw, Split

if TYPE_CHECKING:
    from trainer.dataset.cifar10 import Cifar10
    from trainer.dataset.cifar100 import Cifar100
    from trainer.dataset.coco_folder import CocoFolder
    from trainer.dataset.csv import Csv
    from trainer.dataset.definitions import Definitions
    from trainer.dataset.digits import Digits
    from trainer.dataset.digits_canvas import DigitsCanvas
    from trainer.dataset.fashion_mnist import FashionMnist
    from trainer.dataset.huggingface import Huggingface
    from trainer.dataset.image_folder import ImageFolder
    from trainer.dataset.mnist import Mnist
    from trainer.dataset.oxford_pet import OxfordPet
    from trainer.dataset.stl10 import Stl10
    from trainer.dataset.svhn import Svhn
    from trainer.dataset.text_csv import TextCsv
    from trainer.dataset.voc_detection import VocDetection
    from trainer.dataset.voc_segmentation import VocSegmentation
    from trainer.dataset.webdataset import Webdataset
    from trainer.dataset.yolo_folder import YoloFolder

__getattr__, __dir__ = exports(__name__)
