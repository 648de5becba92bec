"""Replace words by synonyms (EDA, Wei and Zou 2019, https://arxiv.org/abs/1901.11196), sec. 2."""

from trainer.augmentation.shared.word_augmentation import WordAugmentation


class SynonymReplacement(WordAugmentation):
    """Replaces a part `alpha` of a text's words, at least one, each by one of its own synonyms.

    See trainer.augmentation.shared.word_edits.replace.
    """

    def __init__(
        self, *, alpha: float = 0.1, probability: float = 0.9, synonyms: str = "wordnet"
    ) -> None:
        super().__init__(
            "augmentation.synonym_replacement",
            ["replace"],
            alpha=alpha,
            probability=probability,
            synonyms=synonyms,
        )
