"""Delete words (EDA, Wei and Zou 2019, https://arxiv.org/abs/1901.11196), sec. 2."""

from trainer.augmentation.shared.word_augmentation import WordAugmentation


class RandomDeletion(WordAugmentation):
    """Deletes each word of a text with probability `alpha`; one stays.

    See trainer.augmentation.shared.word_edits.delete.
    """

    def __init__(self, *, alpha: float = 0.1, probability: float = 0.9) -> None:
        super().__init__(
            "augmentation.random_deletion", ["delete"], alpha=alpha, probability=probability
        )
