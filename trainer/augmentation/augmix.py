"""AugMix (Hendrycks et al. 2020, https://arxiv.org/abs/1912.02781), alg. 1; as torchvision's.

Without the paper's consistency loss between several mixes of an image.
"""

import torch
from torch import Tensor

from trainer.augmentation.shared.operation import OPERATIONS, magnitudes
from trainer.augmentation.shared.policy import FOURTEEN, Interpolation, Policy, indices
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom

GROUP = "augmentation.augmix"
BINS = 10
DEPTHS = 3  # the deepest chain where the depth is drawn
COLOURS = (
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
)  # these overlap with the corruptions of ImageNet-C
TRIES = 8  # each is accepted with a probability of at least 0.95
LEAST_DRAW = 2**-25  # replaces a draw of 0, whose log is infinite; draws have 24 random bits


class Augmix(Policy):
    """m·x + (1 − m)·Σ w_i·chain_i(x) with m ~ Beta(α, α) and w ~ Dirichlet(α, ..., α).

    A chain applies `chain_depth` operations in turn (−1: one to three, at random), each at one of
    the `severity` lowest of ten magnitudes.
    """

    def __init__(
        self,
        *,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: Interpolation = "bilinear",
        fill: float = 0.0,
    ) -> None:
        super().__init__(interpolation=interpolation, fill=fill)
        within(f"{GROUP}.severity", severity, f"[1, {BINS}]")
        within(f"{GROUP}.mixture_width", mixture_width, "[1, inf)")
        within(f"{GROUP}.alpha", alpha, "(0, inf)")
        if chain_depth != -1 and chain_depth < 1:
            raise ValueError(f"{GROUP}.chain_depth must be -1 or at least 1, got {chain_depth}")
        self.severity = severity
        self.width = mixture_width
        self.depth = chain_depth
        self.alpha = alpha
        names = [o for o in FOURTEEN if o != "Identity" and (all_ops or o not in COLOURS)]
        self.choices = indices(tuple(names))

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augmented images [B, C, H, W]."""
        host = draws.on_host()
        own, others = dirichlet(host, self.alpha, 2).split(1, 1)
        weights = torch.cat([own, others * dirichlet(host, self.alpha, self.width)], 1)
        weights = weights.to(images.device, non_blocking=True)[:, :, None, None, None]
        mixed = images * weights[:, 0]
        chains = self.chains(images.repeat(self.width, 1, 1, 1), host)
        for i, chain in enumerate(chains.chunk(self.width), start=1):
            mixed.addcmul_(chain, weights[:, i])
        return mixed.clamp_(0, 1)

    def chains(self, images: Tensor, host: ExampleRandom) -> Tensor:
        """Apply a random chain of operations to each of images [width·B, C, H, W]."""
        height, width = images.shape[-2:]
        shift = height / 3, width / 3
        table = magnitudes(BINS, shear=0.3, shift=shift, degrees=30, factor=0.9, bits=(4, 4))
        identity = OPERATIONS.index("Identity")
        deepest = DEPTHS if self.depth == -1 else self.depth
        depth = 1 + self.integers(host, DEPTHS) if self.depth == -1 else torch.tensor(self.depth)
        for i in range(deepest):
            operation = self.choices[self.integers(host, len(self.choices))]
            operation = torch.where(i < depth, operation, identity)
            magnitude = table[operation, self.integers(host, self.severity)]
            images = self.apply(images, operation, magnitude, self.integers(host, 2) == 1)
        return images

    def integers(self, host: ExampleRandom, number: int) -> Tensor:
        """Random integers [width·B], uniform on 0, ..., number − 1."""
        return (host.uniforms(self.width) * number).long().T.flatten()


def dirichlet(draws: ExampleRandom, alpha: float, number: int) -> Tensor:
    """Samples [B, number] of the symmetric Dirichlet distribution, as normalised gammas."""
    samples = torch.stack([gamma(draws, alpha) for _ in range(number)], 1)
    return samples / samples.sum(1, keepdim=True)


def gamma(draws: ExampleRandom, shape: float) -> Tensor:
    """Samples [B] of Gamma(shape, 1).

    The method of Marsaglia and Tsang 2000, "A simple method for generating gamma variables". All
    tries are drawn at once and the first accepted one is used. For shapes below 1,
    Gamma(a) = Gamma(a + 1)·U^(1/a).
    """
    d = (shape if shape >= 1 else shape + 1) - 1 / 3
    radius, turn, level = draws.uniforms(3 * TRIES).clamp_(min=LEAST_DRAW).chunk(3, 1)
    normal = (-2 * radius.log()).sqrt() * (2 * torch.pi * turn).cos()
    cube = (1 + normal / (9 * d) ** 0.5) ** 3
    bound = normal**2 / 2 + d * (1 - cube + cube.clamp(min=LEAST_DRAW).log())
    accepted = (cube > 0) & (level.log() < bound)
    value = d * cube.gather(1, accepted.byte().argmax(1, keepdim=True))[:, 0]
    boost = 1.0 if shape >= 1 else draws.uniform().clamp_(min=LEAST_DRAW) ** (1 / shape)
    return (value * boost).clamp(min=1e-30)
