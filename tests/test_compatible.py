"""Parts that do not go together: one line, exit code 2, before the first update."""

from collections.abc import Callable

import pytest
import torch
from omegaconf import OmegaConf
from support import CONF, config_of, make_run, train
from torch import nn

from trainer import launch
from trainer.errors import ConfigError

Refusal = Callable[..., str]
MASKS = ("dataset=digits_canvas", "dataset.examples=40", "dataset.size=16", "dataset.digits=1")
UNET = (*MASKS, "model=unet", "model.width=4", "model.depth=1")
BOXES = (*MASKS, "task=regression", "dataset.target=box", "loss=mse", "model=mlp")
CLEAN = ("task=regression", "dataset.target=clean", "loss=mse")
IMAGES = (*UNET, *CLEAN)


@pytest.fixture
def refusal(tmp_path, capsys, monkeypatch) -> Refusal:
    """The one line that a command which may not train leaves on stderr."""
    monkeypatch.setattr("trainer.guard.Guard.update", lambda *_: pytest.fail("it trained"))

    def run(*arguments: str) -> str:
        overrides = [*arguments, "device=cpu", "quiet=true", "steps=2", "batch_size=16"]
        config = OmegaConf.create(config_of(*overrides))
        code = launch.launch(config, tmp_path / "run", overrides, [str(CONF)])
        said = capsys.readouterr()
        assert (code, said.out, said.err.count("\n")) == (2, "", 1), said.err
        return said.err.strip()

    return run


OF_THE_LABELS = {  # refused when the data opens: no folder is left
    ("task=segmentation",): "task=segmentation is not for class labels; take task=classification",
    ("task=regression",): "task=regression is not for class labels; take task=classification",
    (*UNET, "task=regression"): "task=regression is not for mask labels; take task=segmentation",
    (*UNET, "task=classification"): "task=classification is not for mask labels; take task=segm",
    (*BOXES, "task=segmentation"): "task=segmentation is not for vector labels; take task=regres",
    ("loss=mse",): "loss=mse is not for class labels; take loss=cross_entropy",
    ("loss=dice",): "loss=dice is not for class labels; take loss=cross_entropy",
    (*UNET, "loss=l1"): "loss=l1 is not for mask labels; take loss=cross_entropy",
    (*BOXES, "loss=cross_entropy"): "loss=cross_entropy is not for vector labels; take loss=mse",
    (*BOXES, "loss=sobolev"): "loss=sobolev is not for vector labels; take loss=mse",
    (*IMAGES, "loss=focal"): "loss=focal is not for image labels; take loss=mse",
    (*UNET, "mixer=mixup"): "mixer=mixup has no meaning for a mask target, only for: class, vect",
    (*BOXES, "mixer=cutmix"): "mixer=cutmix has no meaning for a vector target, only for: ",
    (*UNET, "postprocess=platt"): "postprocess=platt is not for mask labels; take postprocess=none",
    (*BOXES, "postprocess=isotonic"): "postprocess=isotonic is not for vector labels; take postpr",
    (*UNET, "mining=ohem", "mining.rank_by=excess"): "mining.rank_by=excess needs class labels, ",
    (*BOXES, "mining=hard_negative"): "mining=hard_negative is not for vector labels; take mining=o",
    (*IMAGES, "mining=misclassified"): "mining=misclassified is not for image labels; take mining=",
    (*BOXES, "mining=importance"): "mining=importance ranks by el2n, which is not for vector labels"
    "; take mining.score=loss or error",
    (*BOXES, "mining=ohem", "mining.threshold=0.5"): "mining=ohem ranks by confidence, which is not "
    "for vector labels; take mining.threshold=null",
    (*IMAGES, "mining=ohem", "mining.score=margin"): "mining=ohem ranks by margin, which is not for",
    (*UNET, "loss=dice", "loss.batch=true", "mining=random"): "loss=dice with loss.batch=true needs "
    "mining=none, got random",
    (*UNET, "loss=dice_cross_entropy", "loss.batch=true", "mixer=cutmix"): "loss=dice_cross_entropy"
    " with loss.batch=true needs mixer=none, got cutmix",
    (*UNET, "loss=dice", "loss.batch=true", "accumulate=2"): "loss=dice with loss.batch=true needs "
    "accumulate=1, got 2",
}


@pytest.mark.parametrize(
    ("overrides", "line"), OF_THE_LABELS.items(), ids=["-".join(o[-2:]) for o in OF_THE_LABELS]
)
def test_what_is_not_for_the_labels_is_refused(refusal, tmp_path, overrides, line):
    assert refusal(*overrides).startswith(line)
    assert not (tmp_path / "run").exists()


OF_THE_REST = {
    (*UNET, "loss=dice", "mining=ohem"): "mining=ohem picks pixels, and loss=dice has one value for",
    (*UNET, "loss=dice_cross_entropy", "mining=hard_negative"): "mining=hard_negative picks pixels,",
    (*MASKS, "model=simple_cnn"): "model=simple_cnn gives [11] for an image, task=segmentation wants"
    " [11, 16, 16]; take model=unet",
    ("model=unet",): "model=unet gives [10, 8, 8] for an image, task=classification wants [10]",
    (*BOXES, "model=unet"): "model=unet gives [4, 16, 16] for an image, task=regression wants [4]",
    (*MASKS, *CLEAN, "model=mlp"): "model=mlp gives [1] for an image, task=regression wants [1, 16, 16]; t",
    (*UNET, "augmentation=[rand_augment]"): "augmentation=rand_augment",
    (*IMAGES, "augmentation=[trivial_augment]"): "augmentation=trivial_augment",
    (*UNET, "augmentation=[augmix]"): "augmentation=augmix",
}


@pytest.mark.parametrize(
    ("overrides", "line"), OF_THE_REST.items(), ids=["-".join(o[-2:]) for o in OF_THE_REST]
)
def test_what_does_not_go_with_the_rest_is_refused(refusal, overrides, line):
    assert refusal(*overrides).startswith(line)


GO_TOGETHER = {
    (*UNET, "loss=dice", "loss.batch=true"),
    (*UNET, "loss=dice", "mining=ohem_two_pass", "accumulate=2"),
    (*UNET, "loss=dice", "mining=selective_backprop", "mining.score=error"),
    (*UNET, "mining=hard_negative", "mixer=cutmix", "augmentation=[horizontal_flip]"),
    (*UNET, "mining=hard_negative", "mining.mode=bootstrap", "loss=dice"),
    (*BOXES, "mining=importance", "mining.score=loss", "mixer=mixup"),
    (*IMAGES, "mining=ohem", "mining.score=error", "augmentation=[rotate]"),
}


@pytest.mark.parametrize("overrides", sorted(GO_TOGETHER), ids=lambda o: "-".join(o[7:]))
def test_what_goes_together_trains(tmp_path, overrides):
    assert train(tmp_path / "run", *overrides, "batch_size=8") == 0


class Fragile(nn.Module):
    """A model that some images break."""

    head = "layer"

    def __init__(self, *, shape: tuple[int, int, int], outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(7, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.flatten(1))


def test_a_model_that_fails_on_an_image_is_one_line(tmp_path):
    run = make_run(tmp_path, "device=cpu")
    run.config["model"] = {"_target_": f"{__name__}.Fragile"}
    with pytest.raises(ConfigError, match=r"fails on an image of \[1, 8, 8\]: .*mat1 and mat2"):
        _ = run.model


def test_the_modes_of_a_model_are_left_as_they_are(tmp_path):
    run = make_run(tmp_path, *UNET, "device=cpu")
    assert all(module.training for module in run.model.modules())
