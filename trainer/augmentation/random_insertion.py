"""Insert synonyms of words (EDA, Wei and Zou 2019, https://arxiv.org/abs/1901.11196), sec. 2."""

from trainer.augmentation.shared.word_augmentation import WordAugmentation


class RandomInsertion(WordAugmentation):
    """Inserts synonyms of a part `alpha` of a text's words, at least one, at random places.

    See trainer.augmentation.shared.word_edits.insert.
    """

    def __init__(
        self, *, alpha: float = 0.1, probability: float = 0.9, synonyms: str = "wordnet"
    ) -> None:
        super().__init__(
            "augmentation.random_insertion",
            ["insert"],
            alpha=alpha,
            probability=probability,
            synonyms=synonyms,
        )
