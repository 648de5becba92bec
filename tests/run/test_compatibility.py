"""Parts that do not go together: one line, exit code 2, before the first update."""

from collections.abc import Callable

import pytest
import torch
from omegaconf import OmegaConf
from support import CONF, config_of, make_run, train
from torch import nn

from trainer.cli import launch
from trainer.config.build import locate
from trainer.core.errors import ConfigError
from trainer.distill.none import NoDistiller
from trainer.loss.cross_entropy import CrossEntropy
from trainer.run.compatibility import check_boxes, check_outputs

Refusal = Callable[..., str]
CANVAS = ("dataset=digits_canvas", "dataset.examples=40", "dataset.size=16", "dataset.digits=1")
MASKS = (*CANVAS, "model=unet", "model.width=4", "model.depth=1")
SIDES = ("dataset.sides=[8,12]",)
KINDS = {
    "canvas": CANVAS,
    "masks": MASKS,
    "several": (*CANVAS, "task=multilabel", "dataset.target=labels", "loss=bce", "model=mlp"),
    "boxes": (*CANVAS, "task=regression", "dataset.target=box", "loss=mse", "model=mlp"),
    "images": (*MASKS, "task=regression", "dataset.target=clean", "loss=mse"),
    "found": (*CANVAS, "task=detection", "dataset.target=boxes", "model=ssd", *SIDES),
}


def overrides_of(command: str) -> list[str]:
    """The words of a command, whose first may be a kind of target."""
    return [override for word in command.split() for override in KINDS.get(word, (word,))]


@pytest.fixture
def refusal(tmp_path, capsys, monkeypatch) -> Refusal:
    """The one line that a command which may not train leaves on stderr."""
    monkeypatch.setattr(
        "trainer.training.nonfinite.NonFiniteGuard.update", lambda *_: pytest.fail("it trained")
    )

    def run(*arguments: str) -> str:
        overrides = [*arguments, "device=cpu", "quiet=true", "steps=2", "batch_size=16"]
        config = OmegaConf.create(config_of(*overrides))
        code = launch.launch(config, tmp_path / "run", overrides, [str(CONF)])
        said = capsys.readouterr()
        assert (code, said.out, said.err.count("\n")) == (2, "", 1), said.err
        return said.err.strip()

    return run


OF_THE_LABELS = {  # refused when the data opens: no folder is left
    "task=segmentation": "task=segmentation does not support class labels; take task=classificati",
    "task=regression": "task=regression does not support class labels; take task=classification",
    "masks task=regression": "task=regression does not support mask labels; take task=segmentation",
    "masks task=classification": "task=classification does not support mask labels; take task=seg",
    "boxes task=segmentation": "task=segmentation does not support vector labels; take task=regre",
    "loss=mse": "loss=mse does not support class labels; take loss=cross_entropy",
    "loss=dice": "loss=dice does not support class labels; take loss=cross_entropy",
    "masks loss=l1": "loss=l1 does not support mask labels; take loss=cross_entropy",
    "boxes loss=cross_entropy": "loss=cross_entropy does not support vector labels; take loss=mse",
    "boxes loss=sobolev": "loss=sobolev does not support vector labels; take loss=mse",
    "images loss=focal": "loss=focal does not support image labels; take loss=mse",
    "masks mixer=mixup": "mixer=mixup cannot mix a mask target, only: class, multilab",
    "boxes mixer=cutmix": "mixer=cutmix cannot mix a vector target, only: class, mult",
    "masks postprocess=platt": "postprocess=platt does not support mask labels; take postprocess=",
    "boxes postprocess=isotonic": "postprocess=isotonic does not support vector labels; take post",
    "boxes mining=hard_negative": "mining=hard_negative does not support vector labels; take mini",
    "images mining=misclassified": "mining=misclassified does not support image labels; take mini",
    "masks mining=ohem mining.rank_by=excess": "mining.rank_by=excess needs class labels, not mask",
    "boxes mining=importance": "mining=importance ranks by el2n, which vector labels do not have; "
    "take mining.score=loss or error",
    "boxes mining=ohem mining.threshold=0.5": "mining=ohem ranks by confidence, which vector "
    "labels do not have; take mining.threshold=null",
    "images mining=ohem mining.score=margin": "mining=ohem ranks by margin, which image labels",
    "several task=segmentation": "task=segmentation does not support multilabel labels; take task="
    "multilabel",
    "task=multilabel": "task=multilabel does not support class labels; take task=classification, or"
    " say where images have several labels: dataset.label_separator=",
    "several loss=cross_entropy": "loss=cross_entropy does not support multilabel labels; take loss"
    "=bce",
    "several loss=focal": "loss=focal does not support multilabel labels; take loss.form=sigmoid",
    "loss=asymmetric": "loss=asymmetric does not support class labels; take loss=cross_entropy",
    "several mining=hard_negative": "mining=hard_negative does not support multilabel labels; take "
    "mining=ohem",
    "several postprocess=platt": "postprocess=platt does not support multilabel labels; take postp",
    "several postprocess=prior_correction": "postprocess=prior_correction does not support multila",
    "several postprocess=threshold postprocess.objective=cost postprocess.cost_matrix=[[0,1],[1,0]]"
    "": "postprocess=threshold does not support multilabel labels; take postprocess.objective=f1",
    "several dataset.label_noise=0.1": "dataset.label_noise=0.1 needs a class label per image",
    "several dataset.imbalance=10": "dataset.imbalance=10.0 needs a class label per image",
    "several dataset.threshold_class=true": "dataset.threshold_class=true needs a class label",
    **{
        f"several sampler={name}": f"sampler={name} does not support multilabel labels; take sampl"
        "er=shuffle"
        for name in ("class_balanced", "label_shuffle", "oversample", "smote", "undersample")
    },
    "several sampler=weighted": "sampler=weighted does not support multilabel labels; take sampler."
    "weights=FILE or sampler=shuffle",
    "boxes sampler=oversample": "sampler=oversample does not support vector labels; take sampler=s",
    "found task=classification": "task=classification does not support boxes labels; take task=det",
    "found loss=dice": "loss=dice does not support boxes labels; take loss=cross_entropy",
    "found loss=focal loss.form=sigmoid": "loss=focal does not support boxes labels; take loss=cro",
    "found loss=ghm": "loss=ghm does not support boxes labels; take loss=cross_entropy",
    "found loss.class_weights=balanced": "loss.class_weights counts examples by class, and boxes h",
    "found loss=focal loss.alpha=[1,1]": "loss.alpha as a list has one number for each class, and ",
    "found mixer=mixup": "mixer=mixup cannot mix a boxes target, only: class, multilabel, vector, ",
    "found sampler=smote": "sampler=smote does not support boxes labels; take sampler=shuffle",
    "found postprocess=temperature": "postprocess=temperature does not support boxes labels; take ",
    "found mining=hard_example": "mining=hard_example does not support boxes labels; take mining=o",
    "found mining=ohem mining.score=margin": "mining=ohem ranks by margin, which boxes labels do n",
    "found mining=hard_negative mining.rank_by=excess": "mining.rank_by=excess needs class labels,",
    "found sam=0.05": "sam=0.05 does not support boxes labels; take sam=null",
    "found distill=soft_target distill.teacher=torchvision:resnet18": "distill=soft_target does no"
    "t support boxes labels; take distill=none",
    "found mining=hard_negative mining.mode=bootstrap": "mining=hard_negative with mining.mode=boo",
    "mining=ohem mining.per=image": "mining.per=image chooses among the pixels or boxes of an imag",
    "mining=balanced": "mining=balanced does not support class labels; take mining=ohem",
    "masks loss=dice loss.batch=true mining=random": "loss=dice with loss.batch=true needs mining="
    "none, got random",
    "masks loss=dice_cross_entropy loss.batch=true mixer=cutmix": "loss=dice_cross_entropy with lo"
    "ss.batch=true needs mixer=none, got cutmix",
    "masks loss=dice loss.batch=true accumulate=2": "loss=dice with loss.batch=true needs accumula"
    "te=1, got 2",
    "masks augmentation=[rand_augment]": "augmentation=rand_augment does not support mask labels",
    "images augmentation=[trivial_augment]": "augmentation=trivial_augment does not support image",
    "masks augmentation=[augmix]": "augmentation=augmix does not support mask labels, which would",
}


@pytest.mark.parametrize(("command", "line"), OF_THE_LABELS.items(), ids=list(OF_THE_LABELS))
def test_what_is_not_for_the_labels_is_refused(refusal, tmp_path, command, line):
    assert refusal(*overrides_of(command)).startswith(line)
    assert not (tmp_path / "run").exists()


OF_THE_REST = {
    "masks loss=dice mining=ohem": "mining=ohem selects pixels, but loss=dice has one value per i",
    "masks loss=dice_cross_entropy mining=hard_negative": "mining=hard_negative selects pixels, ",
    "canvas model=simple_cnn": "model=simple_cnn returns [11] per image, task=segmentation needs "
    "[11, 16, 16]; take model=unet",
    "canvas task=regression dataset.target=clean loss=mse model=mlp": "model=mlp returns [1] per "
    "image, task=regression needs [1, 16, 16]; take model=unet",
    "several distill=soft_target distill.teacher=torchvision:resnet18": "distill=soft_target does n"
    "ot support multilabel labels; take distill=none",
    "model=unet": "model=unet returns [10, 8, 8] per image, task=classification needs [10]",
    "found model=mlp": "model=mlp finds no boxes, which task=detection needs; take model=ssd",
    "found model=faster_rcnn accumulate=2": "model=faster_rcnn has two stages and takes a batch at",
    "found model=ssd model.backbone=mobilenet_v3 model.scales=[0.1]": "model.scales=[0.1] is for m",
    "boxes model=unet": "model=unet returns [4, 16, 16] per image, task=regression needs [4]",
}


@pytest.mark.parametrize(("command", "line"), OF_THE_REST.items(), ids=list(OF_THE_REST))
def test_what_does_not_go_with_the_rest_is_refused(refusal, command, line):
    assert refusal(*overrides_of(command)).startswith(line)


GO_TOGETHER = [
    "masks loss=dice loss.batch=true",
    "masks loss=dice mining=ohem_two_pass accumulate=2",
    "masks loss=dice mining=selective_backprop mining.score=error mining.warmup_epochs=0",
    "masks mining=hard_negative mixer=cutmix augmentation=[horizontal_flip]",
    "masks loss=dice mining=hard_negative mining.mode=bootstrap",
    "boxes mining=importance mining.score=loss mixer=mixup",
    "images mining=ohem mining.score=error augmentation=[rotate]",
    "found mining=hard_negative accumulate=2 augmentation=[horizontal_flip] clip=1.0",
    "found loss=focal mining=none model=faster_rcnn",
    "several loss=focal loss.form=sigmoid mixer=ricap mining=ohem mining.rank_by=excess",
    "several loss=asymmetric mixer=cutmix mining=importance augmentation=[standard]",
    "several mining=misclassified postprocess=threshold dataset.subset=0.5",
    "several loss=bce loss.pos_weight=[1,2,3,4,5,6,7,8,9,1] mining=selective_backprop accumulate=2",
]


@pytest.mark.parametrize("command", GO_TOGETHER)
def test_what_goes_together_trains(tmp_path, command):
    assert train(tmp_path / "run", *overrides_of(command), "batch_size=8") == 0


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
    run = make_run(tmp_path, *MASKS, "device=cpu")
    assert all(module.training for module in run.model.modules())


def test_a_model_that_fails_on_an_image_gets_its_modes_back(tmp_path):
    run = make_run(tmp_path, "device=cpu")
    model = Fragile(shape=(1, 8, 8), outputs=10)
    with pytest.raises(ConfigError):
        check_outputs(model, run.task, run.data)
    assert model.training
    assert model.layer.training


FOR_BOXES = {
    "loss": {"cross_entropy", "focal", "label_smoothing"},
    "mining": {"none", "random", "balanced", "hard_negative", "ohem", "ohem_two_pass"},
    "mixer": {"none"},
    "postprocess": {"none"},
    "sampler": {
        *("shuffle", "sequential", "weighted", "trim_hardest", "prune", "repeated_augmentation"),
        "block_shuffle",
    },
}


@pytest.mark.parametrize("group", FOR_BOXES)
def test_the_other_options_are_not_for_boxes(group):
    """Mixers, SMOTE, miners of epochs, losses of masks: `check_target` refuses them by this."""
    targets = {
        path.stem: locate(OmegaConf.to_container(OmegaConf.load(path)), group).targets  # pyright: ignore
        for path in (CONF / group).glob("*.yaml")
    }
    assert {name for name, own in targets.items() if "boxes" in own} == FOR_BOXES[group]


def test_sharded_weights_are_not_for_boxes():
    with pytest.raises(ConfigError, match=r"^strategy=fsdp does not support boxes labels; take"):
        check_boxes(CrossEntropy(), NoDistiller(), sam=None, sharded=True)
