"""Every file of conf/experiment composes, and trains for a few steps on a few images."""

from pathlib import Path

import pytest
import yaml
from support import CONF, config_of, options, read_json

from trainer.run import execute

FEW = ("steps=3", "dataset.subset=40", "dataset.val_fraction=0.005", "device=cpu", "quiet=true")
MNIST = "trainer.dataset.mnist.Mnist"

# What an experiment needs of another run: the settings of that one, and the one that names it.
NEEDS = {
    "distillation": (("distill=none", "model=simple_cnn"), "distill.teacher"),
    "fine_tuning": (("dataset.classes=[0,1,2,3,4]",), "finetune.source"),
}


def trained(folder: Path, root: str, *overrides: str) -> dict:
    """Run an experiment with few steps; its result."""
    arguments = [*overrides, *FEW]
    if "root" in config_of(*overrides[:1])["dataset"]:
        arguments.append(f"dataset.root={root}")
    assert execute(config_of(*arguments), folder, arguments, [str(CONF)]) == 0
    return read_json(folder / "result.json")


@pytest.mark.parametrize("name", options("experiment"))
def test_it_says_how_it_is_run(name):
    """It opens with its command, and only overrides: settings of its own would be misspelt ones."""
    text = (CONF / "experiment" / f"{name}.yaml").read_text()
    assert text.startswith("# @package _global_\n# ")
    assert f"python -m trainer experiment={name}" in text or f"-m experiment={name}" in text
    settings = {key for key in yaml.safe_load(text) if key != "defaults"}
    assert settings <= config_of().keys()
    assert config_of(f"experiment={name}") != config_of()


@pytest.mark.data
@pytest.mark.parametrize("name", options("experiment"))
def test_it_trains_for_a_few_steps(tmp_path, mnist_root, name):
    kind = config_of(f"experiment={name}")["dataset"]
    if "root" in kind and kind["_target_"] != MNIST:
        pytest.skip(f"no files of {kind['_target_']}")
    given = []
    if name in NEEDS:
        settings, setting = NEEDS[name]
        trained(tmp_path / "source", mnist_root, f"experiment={name}", *settings)
        given = [f"{setting}={tmp_path}/source"]
    result = trained(tmp_path / "run", mnist_root, f"experiment={name}", *given)
    assert result["steps"] == 3
    assert 0 <= result["test"]["accuracy"] <= 1
