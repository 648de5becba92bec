"""Label smoothing (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, sec. 7)."""

from trainer.loss.cross_entropy import CrossEntropy


class LabelSmoothing(CrossEntropy):
    """Cross entropy with the target (1 − ε)·onehot + ε / C, which sums to 1."""

    def __init__(self, *, label_smoothing: float = 0.1) -> None:
        super().__init__(label_smoothing=label_smoothing)
