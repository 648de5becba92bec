"""Easy data augmentation of texts (Wei and Zou 2019, https://arxiv.org/abs/1901.11196), sec. 2."""

from collections.abc import Sequence

from trainer.augmentation.shared.word_augmentation import WordAugmentation
from trainer.augmentation.shared.word_edits import Operation

EVERY: tuple[Operation, ...] = ("replace", "insert", "swap", "delete")


class Eda(WordAugmentation):
    """Changes a text by one of the `operations`, each as likely as another.

    The paper adds changed copies to the texts; here a text is changed anew in each epoch, and
    stays as it is with probability 1 − `probability`. What the operations do, and where the paper
    and the authors' code differ, see trainer.augmentation.shared.word_edits.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.1,
        probability: float = 0.9,
        operations: Sequence[Operation] = EVERY,
        synonyms: str = "wordnet",
    ) -> None:
        chosen = list(operations)
        if not chosen or len(set(chosen)) < len(chosen):
            listed = ", ".join(EVERY)
            raise ValueError(
                f"augmentation.eda.operations must list some of {listed}, each once, got "
                f"[{','.join(chosen)}]"
            )
        super().__init__(
            "augmentation.eda",
            chosen,
            alpha=alpha,
            probability=probability,
            synonyms=synonyms if {"replace", "insert"} & set(chosen) else None,
        )
