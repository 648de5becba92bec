"""Swap words (EDA, Wei and Zou 2019, https://arxiv.org/abs/1901.11196), sec. 2."""

from trainer.augmentation.shared.word_augmentation import WordAugmentation


class RandomSwap(WordAugmentation):
    """Swaps two words of a text, once for every 1 / `alpha` words, at least once.

    See trainer.augmentation.shared.word_edits.swap.
    """

    def __init__(self, *, alpha: float = 0.1, probability: float = 0.9) -> None:
        super().__init__("augmentation.random_swap", ["swap"], alpha=alpha, probability=probability)
