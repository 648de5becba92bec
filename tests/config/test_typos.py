"""Typical misspellings against the real config tree, each with what its error line suggests."""

import pytest
from hydra.errors import HydraException, MissingConfigException

from trainer.__main__ import CONF, register
from trainer.config.explain import explain
from trainer.config.overrides import CHOOSABLE, CommandLine

TYPOS = {
    "Seed=1": "seed=1",
    "epcohs=3": "epochs=3",
    "epoch=3": "epochs=3",
    "num_epochs=3": "epochs=3",
    "batch-size=64": "batch_size=64",
    "batch_szie=64": "batch_size=64",
    "batchsize=64": "batch_size=64",
    "bs=64": "batch_size=64",
    "devcie=cpu": "device=cpu",
    "precison=bf16": "precision=bf16",
    "resum=auto": "resume=auto",
    "grad_clip=1": "clip=1",
    "checkpoint.evry=2ep": "checkpoint.every=2ep",
    "lr=0.1": "optimizer.lr=0.1",
    "learning_rate=0.1": "optimizer.lr=0.1",
    "optimizer.learning_rate=0.1": "optimizer.lr=0.1",
    "optimizer.learning_rte=0.1": "optimizer.lr=0.1",
    "optimizer.weigth_decay=0.1": "optimizer.weight_decay=0.1",
    "optimizer.wieght_decay=0.1": "optimizer.weight_decay=0.1",
    "weight_deacy=0.1": "optimizer.weight_decay=0.1",
    "loss.label_smothing=0.1": "loss.label_smoothing=0.1",
    "model.droupout=0.1": "model.dropout=0.1",
    "dataset.val_frac=0.2": "dataset.val_fraction=0.2",
    "optimzer=sgd": "optimizer=sgd",
    "optmizer=adamw": "optimizer=adamw",
    "modle=mlp": "model=mlp",
    "minning=ohem": "mining=ohem",
    "scheduler=constant": "schedule=constant",
    "shedule=cosine": "schedule=cosine",
    "warm_up=gradual": "warmup=gradual",
    "early_stoping=patience": "early_stopping=patience",
    "augmentations=random_crop": "augmentation=random_crop",
    "optimizer=Adamw": "optimizer=adamw",
    "loss=cross_entrop": "loss=cross_entropy",
    "loss=crossentropy": "loss=cross_entropy",
    "loss=CrossEntropy": "loss=cross_entropy",
    "model=mpl": "model=mlp",
    "model=resnet18": "model=torchvision model.name=resnet18",
    "model=resnett18": "model=torchvision model.name=resnet18",
    "model=vit_base_patch16_224": "model=timm model.name=vit_base_patch16_224",
    "model=simplecnn": "model=simple_cnn",
    "model=resnet_cifr": "model=resnet_cifar",
    "dataset=digit": "dataset=digits",
    "dataset=cifar-10": "dataset=cifar10",
    "dataset=fashionmnist": "dataset=fashion_mnist",
    "mining=ohme": "mining=ohem",
    "mining=hard_examples": "mining=hard_example",
    "mixer=mix_up": "mixer=mixup",
    "augmentation=randaugment": "augmentation=rand_augment",
    "early_stopping=patiance": "early_stopping=patience",
}


@pytest.fixture(scope="module")
def current() -> object:
    """The settings of the default components; loading them for each typo takes too long."""
    register()
    return CommandLine([], CONF).current


def error_of(typed: str) -> Exception:
    """Hydra's error for a misspelt option, or for a misspelt setting."""
    key, _, value = typed.partition("=")
    if key in CHOOSABLE:
        return MissingConfigException("", missing_cfg_file=f"{key}/{value}")
    return HydraException(f"Could not override '{key}'.")


@pytest.mark.parametrize(("typed", "meant"), TYPOS.items(), ids=list(TYPOS))
def test_a_typo_gets_the_right_suggestion(
    current: object, monkeypatch: pytest.MonkeyPatch, typed: str, meant: str
) -> None:
    monkeypatch.setattr(CommandLine, "current", current)
    line = explain(error_of(typed), [typed], CONF)
    assert line.startswith(f"{typed}: ")
    assert f"Did you mean {meant}?" in line
