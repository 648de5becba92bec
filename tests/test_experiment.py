"""Every file of conf/experiment composes, states its command and result, and trains a few steps."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from support import CONF, config_of, read_json

from trainer.cli.execute import execute
from trainer.dataset.base import Raw
from trainer.dataset.mnist import Mnist

FOLDER = CONF / "experiment"
NAMES = sorted(str(p.relative_to(FOLDER).with_suffix("")) for p in FOLDER.rglob("*.yaml"))
FEW = ("steps=3", "dataset.subset=20", "dataset.val_fraction=0.005", "device=cpu", "quiet=true")
MNIST = "trainer.dataset.mnist.Mnist"
CLASSES = 10

# Experiments that start from another run: the settings of that run, and the setting that names it.
NEEDS = {
    "distillation": (("distill=none", "model=simple_cnn"), "distill.teacher"),
    "fine_tuning": (("dataset.classes=[0,1,2,3,4]",), "finetune.source"),
}
# Settings that shorten an experiment, by the start of its name; the last match counts.
SMALLER = {
    "replicate/": ("model.depth=10", "schedule.milestones=[1st,2st]"),
    "replicate/resnet20": ("model.depth=8", "schedule.milestones=[1st,2st]"),
    "cifar10_speed": ("model.width=4", "channels_last=false"),
    "imagenet_resnet50": (
        *("model.name=resnet18", "dataset.size=40", "dataset.crop=32", "loader.workers=0"),
        *("augmentation.random_resized_crop.size=32", "batch_size=8", "warmup.steps=1st"),
        *("channels_last=false", "dataset.cache=null", "precision=fp32"),  # a CPU emulates bf16
    ),
    "detection": ("dataset.examples=60",),
    "warmup": ("model.depth=8",),
    "long_tail": ("dataset.imbalance=5",),
}
WIDE = "trainer.model.wide_resnet.WideResnet"


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of random images of ten classes, in the layout of the CIFAR-10 files."""
    root, rng = tmp_path_factory.mktemp("cifar"), np.random.default_rng(0)
    for split, number in (("train", 6), ("test", 1)):
        for name in range(CLASSES):
            folder = root / split / str(name)
            folder.mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return str(root)


@pytest.fixture
def short_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST with its first 100 images of test: evaluating all takes ten times as long as a run."""
    whole = Mnist.load

    def load(self: Mnist) -> Raw:
        raw = whole(self)
        assert raw.test is not None
        return replace(raw, test=replace(raw.test, ids=raw.test.ids[:100]))

    monkeypatch.setattr(Mnist, "load", load)


def trained(folder: Path, *overrides: str) -> dict:
    """Run an experiment for a few steps and return its result."""
    arguments = [*overrides, *FEW]
    assert execute(config_of(*arguments), folder, arguments, [str(CONF)]) == 0
    return read_json(folder / "result.json")


def smaller(name: str) -> list[str]:
    """The overrides that make an experiment small enough."""
    matches = [settings for start, settings in SMALLER.items() if name.startswith(start)]
    wide = config_of(f"experiment={name}")["model"]["_target_"] == WIDE
    return [*(matches[-1] if matches else ()), *(["model.widen=1"] if wide else [])]


def test_experiments_are_found():
    assert {"mnist_hard_example", "replicate/base", "replicate/resnet20"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_states_its_command_and_result(name):
    """Its header has both. A top-level key that the config lacks would be misspelt."""
    text = (FOLDER / f"{name}.yaml").read_text()
    assert text.startswith("# @package _global_\n# ")
    header = text[: text.index("\ndefaults:")]
    assert f"  python -m trainer experiment={name}" in header or f"-m experiment={name}" in header
    assert re.search(r"ot measured yet|\(20\d\d-\d\d-\d\d", header), (
        "neither result nor its absence"
    )
    settings = {key for key in yaml.safe_load(text) if key not in ("defaults", "hydra")}
    assert settings <= config_of().keys()
    assert config_of(f"experiment={name}") != config_of()


@pytest.mark.data
@pytest.mark.usefixtures("short_mnist")
@pytest.mark.parametrize("name", [name for name in NAMES if "/" not in name or "base" not in name])
def test_an_experiment_trains_for_a_few_steps(tmp_path, request, name):
    given = [f"experiment={name}"]
    node = config_of(*given)["dataset"]
    if node["_target_"] == MNIST:
        given.append(f"dataset.root={request.getfixturevalue('mnist_root')}")
    elif "root" in node:
        root = request.getfixturevalue("tiny_root")
        given += [f"dataset.root={root}", *(["dataset=image_folder"] if "size" not in node else [])]
    given += smaller(name)
    if name in NEEDS:
        settings, setting = NEEDS[name]
        trained(tmp_path / "source", *given, *settings)
        given.append(f"{setting}={tmp_path}/source")
    result = trained(tmp_path / "run", *given)
    assert result["steps"] == 3
    assert 0 <= result["test"]["map" if name == "detection" else "accuracy"] <= 1
