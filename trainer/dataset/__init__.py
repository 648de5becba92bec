"""Data sets: which images, which labels, and how they are split."""

from trainer.dataset.base import Data, Dataset, Images, Raw, Split

__all__ = ["Data", "Dataset", "Images", "Raw", "Split"]
