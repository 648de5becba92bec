"""scripts/make_schema.py: the schemas accept every config here and find mistakes."""

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import make_schema
import pytest
from jsonschema import Draft7Validator
from omegaconf import OmegaConf
from support import CONF, config_of

from trainer.config.schema import GROUPS


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the script fills, and what it prints."""
    folder = tmp_path_factory.mktemp("schema")
    with redirect_stdout(io.StringIO()) as printed:
        make_schema.main(folder)
    return folder, printed.getvalue()


@pytest.fixture(scope="module")
def validators(written) -> dict[str, Draft7Validator]:
    """A validator of each file that the script writes, by its name."""
    folder, _ = written
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    for schema in found.values():
        Draft7Validator.check_schema(schema)
    return {name: Draft7Validator(schema) for name, schema in found.items()}


def mistakes(validator: Draft7Validator, node: Any) -> list[str]:
    return [".".join(map(str, error.path)) for error in validator.iter_errors(node)]


def test_there_is_a_schema_for_each_group_and_for_experiments(validators, written) -> None:
    assert validators.keys() == {*GROUPS, "experiment"}
    folder, printed = written
    places = json.loads(printed)["yaml.schemas"]
    assert places[str(folder / "loss.json")] == ["**/loss/**/*.yaml"]
    assert "**/config.yaml" in places[str(folder / "experiment.json")]


def test_every_config_is_valid(validators) -> None:
    for path in CONF.rglob("*.yaml"):
        group = path.relative_to(CONF).parts[0]
        validator = validators[group if group in validators else "experiment"]
        node = OmegaConf.to_container(OmegaConf.load(path))
        assert mistakes(validator, node) == [], path


@pytest.mark.parametrize(
    "overrides", [(), ("mining=ohem", "loss=focal", "augmentation=[standard]", "mixer=chain")]
)
def test_the_config_of_a_run_is_valid(validators, overrides) -> None:
    assert mistakes(validators["experiment"], config_of(*overrides)) == []


@pytest.mark.parametrize(
    ("name", "text", "setting"),
    [
        ("experiment", "epochs: 0", "epochs"),
        ("experiment", "epochs: 2.5", "epochs"),
        ("experiment", "precision: fp8", "precision"),
        ("experiment", "epoch: 3", ""),
        ("experiment", "checkpoint: {keeps: 3}", "checkpoint"),
        ("experiment", "mining: {kep: 0.5}", "mining"),
        ("experiment", "optimizer: {lr: high}", "optimizer.lr"),
        ("experiment", "augmentation: {random_crop: {pading: 4}}", "augmentation.random_crop"),
        ("loss", "_target_: trainer.loss.focal.Focal\ngama: 2.0", ""),
        ("loss", "_target_: trainer.loss.focal.Focal\ngamma: two", "gamma"),
        ("dataset", "_target_: trainer.dataset.mnist.Mnist\nnoise_type: odd", "noise_type"),
    ],
)
def test_a_mistake_is_found(validators, name, text, setting) -> None:
    assert mistakes(validators[name], OmegaConf.to_container(OmegaConf.create(text))) == [setting]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("loss", "_target_: my_package.Brier\nscale: 2"),
        ("experiment", "loss: {_target_: my_package.Brier, scale: 2}"),
        ("experiment", "optimizer: {lr: '${oc.env:RATE}'}"),
        ("experiment", "defaults: [override /mining: ohem, override /loss: brier, _self_]"),
    ],
)
def test_code_of_ones_own_and_interpolations_are_accepted(validators, name, text) -> None:
    assert mistakes(validators[name], OmegaConf.to_container(OmegaConf.create(text))) == []


def test_settings_are_described_by_the_comments(validators) -> None:
    settings = validators["experiment"].schema["properties"]
    assert "full-batch" in settings["batch_size"]["description"]
    keep = settings["mining"]["else"]["properties"]["keep"]["anyOf"]
    (comment,) = re.findall("keep: .*# (.*)", (CONF / "mining" / "ohem.yaml").read_text())
    assert comment in [each["description"] for each in keep]
