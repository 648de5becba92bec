"""A trained model with all that its use needs: classes, preprocessing, probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor, nn

from trainer.core.forward import evaluating
from trainer.dataset.shared.letterbox import in_files
from trainer.dataset.shared.texts import Texts
from trainer.trained.pixels import read_pixels, size_of

if TYPE_CHECKING:
    from PIL import Image

    from trainer.postprocess import Postprocess
    from trainer.storage.trained_on import TrainedOn
    from trainer.task.shared.detections import Detections

    One = str | Path | Image.Image
    Several = Sequence[One | Tensor] | Tensor
    Finder = Callable[[Tensor], Detections]

AT_ONCE = 64  # images in a batch of `predict`


class Prediction(NamedTuple):
    """A class and its probability."""

    label: str
    probability: float


class Box(NamedTuple):
    """A box that is found, with its class and probability."""

    label: str
    probability: float
    edges: tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the image, upright


class LoadedModel(nn.Module):
    """The model of a finished run: standardised images [B, C, H, W] → outputs [B, classes].

    `network` is the model as it was trained, `classes` its class names in the order of the outputs,
    `trained_on` the contents of the run's data.json. Outputs are those of the network; `predict`
    and `probabilities` also apply the run's postprocessing.
    """

    zero: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        trained_on: TrainedOn,
        postprocess: Postprocess,
        checkpoint: Path,
        finder: Finder | None = None,
    ) -> None:
        """`finder` finds boxes in the outputs of a model of boxes."""
        super().__init__()
        self.finder = finder
        self.network = network
        self.trained_on = trained_on
        self.postprocess = postprocess
        self.checkpoint = checkpoint  # the folder of its weights
        mean, std = (torch.tensor(v)[:, None, None] for v in (trained_on.mean, trained_on.std))
        self.register_buffer("zero", mean * 255, persistent=False)  # mean of stored pixels
        self.register_buffer("scale", 1 / (std * 255), persistent=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the outputs."""
        return self.trained_on.classes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image: C, H, W."""
        return self.trained_on.shape

    def forward(self, images: Tensor) -> Tensor:
        """Map images as `preprocess` returns them, [B, C, H, W], to outputs [B, ...]."""
        return self.network(images)

    def standardise(self, pixels: Tensor) -> Tensor:
        """Bring pixels uint8 [B, C, H, W] to mean 0 and deviation 1 per channel."""
        return (pixels - self.zero) * self.scale

    def preprocess(self, images: One | Several) -> Tensor:
        """Bring images to the model's channels and size, and standardise them: [B, C, H, W].

        Takes a path, a PIL image, a uint8 tensor [C, H, W] or [B, C, H, W], or a list of them; a
        model of texts takes a text or a list of them, and returns their word ids [B, L]. Raises
        DataError for a file that cannot be read, TypeError or ValueError for another value.
        """
        if self.trained_on.kind == "text":
            return self.word_ids(as_list(images))
        pixels = torch.stack([read_pixels(image, self.trained_on) for image in as_list(images)])
        return self.standardise(pixels.to(self.zero.device))

    def word_ids(self, texts: Sequence[object]) -> Tensor:
        """The word ids [B, L] of texts. Raises TypeError for what is none."""
        wrong = next((text for text in texts if not isinstance(text, str)), None)
        if wrong is not None:
            raise TypeError(f"the run was trained on texts; a text is a string, got {wrong!r:.80}")
        (length,) = self.shape
        source = Texts(list(map(str, texts)), length, self.trained_on.vocabulary)
        return source.word_ids.to(self.zero.device)

    @torch.no_grad()
    def probabilities(self, images: One | Several) -> Tensor:
        """Return the probability of each class [B, classes], of a mask's pixels [B, classes, H, W].

        Takes what `preprocess` takes, in any number. Raises TypeError for a regression.
        """
        if self.trained_on.target not in ("class", "mask", "multilabel"):
            raise TypeError("the outputs are no probabilities; call model(model.preprocess(image))")
        several = as_list(images)
        with evaluating(self):
            return torch.cat(
                [
                    self.from_outputs(self(self.preprocess(several[i : i + AT_ONCE])))
                    for i in range(0, len(several), AT_ONCE)
                ]
            )

    def from_outputs(self, outputs: Tensor) -> Tensor:
        """Return the probabilities of outputs [B, classes, ...], after postprocessing.

        With several labels per image it moves `thresholds`, not the probabilities.
        """
        if self.trained_on.target == "multilabel":
            return outputs.float().sigmoid()
        return self.postprocess(outputs.float()).softmax(1)

    @property
    def thresholds(self) -> Tensor:
        """With several labels per image: the probability [classes] above which each is present.

        Those of data.json, or else of the run's postprocessing, which shifts the outputs.
        """
        if self.trained_on.thresholds is not None:
            return torch.tensor(self.trained_on.thresholds)
        return (-self.postprocess(torch.zeros(1, len(self.classes)))[0]).sigmoid()

    @overload
    def predict(self, images: One) -> Prediction: ...

    @overload
    def predict(self, images: Several) -> list[Prediction]: ...

    def predict(self, images: One | Several) -> object:
        """Return the most probable class and its probability: a pair, or a list for several images.

        A path, a PIL image and a tensor [C, H, W] are one image. With several labels per image it
        is a list of pairs for each, of the classes that are present, the most probable first; of
        boxes a list of `Box` for each. Raises TypeError for a model of masks or numbers: see
        `probabilities`.
        """
        if self.trained_on.target == "boxes":
            boxes = [self.boxes(image) for image in as_list(images)]
            return boxes[0] if is_one(images) else boxes
        if self.trained_on.target not in ("class", "multilabel"):
            raise TypeError(f"predict needs one class per image, not {self.trained_on.target}")
        p = self.probabilities(images).cpu()
        if self.trained_on.target == "multilabel":
            found = [self.ranked(row, row > self.thresholds) for row in p]
        else:
            found = [Prediction(self.classes[int(row.argmax())], row.max().item()) for row in p]
        return found[0] if is_one(images) else found

    def boxes(self, image: One | Tensor) -> list[Box]:
        """The boxes in an image, the most probable first, in pixels of the image itself."""
        with torch.no_grad(), evaluating(self):
            rows = self.found(self(self.preprocess(image)))[0].cpu().numpy()
        rows = rows[rows[:, 0] > 0]
        size = np.array([size_of(image)])
        edges = in_files(rows[None, :, 2:], size, self.shape[1:], self.trained_on.fit)[0]
        return [
            Box(self.classes[int(kind) - 1], float(p), tuple(map(float, own)))  # pyright: ignore
            for kind, p, own in zip(rows[:, 0], rows[:, 1], edges, strict=True)
        ]

    def found(self, outputs: Tensor) -> Tensor:
        """The boxes in outputs [B, ...]: class from 1 (0: none), probability, edges, [B, K, 6].

        Edges are in pixels of the model's input.
        """
        if self.finder is None:
            raise TypeError("the model finds no boxes")
        boxes = self.finder(outputs.float())
        return torch.cat([boxes.classes[..., None], boxes.scores[..., None], boxes.boxes], -1)

    def ranked(self, p: Tensor, present: Tensor) -> list[Prediction]:
        """The classes `present`, bool [classes], with their probabilities p, the highest first."""
        order = p.argsort(descending=True).tolist()
        return [Prediction(self.classes[i], p[i].item()) for i in order if present[i]]


def is_one(images: object) -> bool:
    """Whether a value is one image, not several."""
    if isinstance(images, Tensor):
        return images.ndim == 3
    return not isinstance(images, (list, tuple))


def as_list(images: One | Several) -> list[One | Tensor]:
    """One image or several as a sequence of images. Raises ValueError if there are none."""
    if is_one(images):
        return [images]  # pyright: ignore
    several = list(images)  # pyright: ignore
    if not several:
        raise ValueError("give an image or a list of images, got an empty list")
    return several
