"""The faults that initialisations are known for are named, and sound ones are not."""

import csv
import math
import re

import pytest
from support import make_run, options, read_json, train

from trainer.core.errors import ConfigError
from trainer.job.diagnose.findings import Finding, Limits, findings
from trainer.job.diagnose.job import Diagnose, examine
from trainer.job.diagnose.probe import LayerStats
from trainer.model.shared.head import head_of

DEEP = ("model=mlp", "model.hidden=[100,100,100,100,100,100,100,100,100,100]")
CANVAS = ("dataset=digits_canvas", "dataset.examples=60")
UNET = (*CANVAS, "model=unet", "model.width=4")
BOX = (*CANVAS, "dataset.target=box", "dataset.digits=1", "task=regression", "loss=mse")


def diagnosed(folder, *overrides: str) -> dict:
    assert train(folder, "job=diagnose", *overrides) == 0
    return read_json(folder / "result.json")


def looked_at(
    folder, *overrides: str, examples: int = 128, **groups: str
) -> tuple[list[LayerStats], list[Finding]]:
    """Rows and findings without the job's files."""
    run = make_run(folder, "device=cpu", *overrides, **groups)
    head = head_of(run.model)
    probe, same, _ = examine(run, head, examples)
    return probe.rows, findings(probe, same, head, Limits(1000.0, 0.9))


def table_of(folder) -> list[dict[str, str]]:
    with (folder / "diagnose.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("init", ["zeros", "constant"])
def test_the_symmetry_that_is_never_broken_is_named(tmp_path, init, capsys):
    result = diagnosed(tmp_path / "d", "model=simple_cnn", f"init={init}", "quiet=false")
    same = [f["text"] for f in result["findings"] if f["kind"] == "identical units"]
    assert same == [
        f"{init}: all {units} units of {layer} are the same; the symmetry is never broken"
        for layer, units in (("conv1", 32), ("conv2", 64), ("fc1", 128))
    ]
    assert result["verdict"].startswith(f"not healthy: {init}: identical units")
    said = capsys.readouterr().out
    assert same[2] in said
    assert f"verdict: {result['verdict']}" in said


def test_dropout_breaks_the_symmetry_of_a_constant(tmp_path):
    """Each unit then has a gradient of its own."""
    _, faults = looked_at(tmp_path, "model=mlp", init="constant")
    assert [fault.kind for fault in faults] == ["identical units"]
    _, faults = looked_at(tmp_path, "model=mlp", "model.dropout=0.5", init="constant")
    assert faults == []


@pytest.mark.parametrize(
    ("init", "found"),
    [
        (["init=normal"], {"vanishing activations", "vanishing gradients"}),  # 0.01 · √50 a layer
        (["init=normal", "init.std=1.0"], {"exploding activations", "exploding gradients"}),
        (["init=xavier_normal"], set()),  # √(1/2) a layer by design
        (["init=xavier_uniform"], set()),
        (["init=kaiming_normal"], set()),
        (["init=kaiming_uniform"], set()),
        (["init=orthogonal"], set()),
        (["init=lsuv"], set()),
    ],
    ids=lambda value: "-".join(value).replace("init=", "") if isinstance(value, list) else "",
)
def test_ten_layers(tmp_path, init, found):
    rows, faults = looked_at(tmp_path, *DEEP, *init)
    assert {fault.kind for fault in faults} == found, faults
    deviations = [row.deviation for row in rows if not row.active]
    factor = (deviations[9] / deviations[0]) ** (1 / 9)
    expected = {"normal": 0.01 * math.sqrt(50), "kaiming_normal": 1, "xavier_normal": 0.5**0.5}
    name = init[0].removeprefix("init=")
    if name in expected and len(init) == 1:
        assert factor == pytest.approx(expected[name], rel=0.07)


@pytest.mark.parametrize("init", sorted(set(options("init")) - {"zeros", "constant"}))
def test_what_is_random_has_no_identical_units(tmp_path, init):
    _, faults = looked_at(tmp_path, init=init)
    assert [fault for fault in faults if fault.kind == "identical units"] == []


@pytest.mark.parametrize(
    ("overrides", "layers"),
    [
        (["model=simple_cnn"], 4),
        (["model=resnet_cifar", "model.depth=14"], 14),
        (["model=resnet_cifar", "model.depth=14", "model.shortcut=B"], 16),
        (UNET, 13),
        ([*UNET, "loss=dice"], 13),
        (["model=mlp", *BOX], 2),
    ],
    ids=["cnn", "resnet", "resnet-B", "unet", "dice", "regression"],
)
def test_every_model_and_task(tmp_path, overrides, layers):
    rows, faults = looked_at(tmp_path, *overrides, examples=32, init="kaiming_normal")
    assert faults == []
    gradients = [row.weight_gradient_norm for row in rows if not row.active]
    assert len(gradients) == layers
    assert min(gradients) > 0
    _, faults = looked_at(tmp_path, *overrides, examples=32, init="zeros")
    same = [fault for fault in faults if fault.kind == "identical units"]
    assert len(same) == layers - 1, "all but the head"


def test_nothing_changes_and_nothing_is_left_to_chance(tmp_path):
    """Dropout and BatchNorm are in training mode, and still the model stays as it was."""
    overrides = ["device=cpu", "model=resnet_cifar", "model.depth=8", "model.dropout=0.5"]
    texts = []
    for name in ("a", "b"):
        run = make_run(tmp_path / name, *overrides)
        run.folder.path.mkdir()
        before = {key: value.clone() for key, value in run.model.state_dict().items()}
        Diagnose(examples=32)(run)
        after = run.model.state_dict()
        assert all(after[key].equal(value) for key, value in before.items())
        assert all(parameter.grad is None for parameter in run.model.parameters())
        assert not any(module._forward_hooks for module in run.model.modules())
        texts.append((run.folder.path / "diagnose.csv").read_text())
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) == 1 + 8 + 7


def test_files(tmp_path):
    diagnosed(tmp_path / "d", "model=simple_cnn", "init=zeros")
    assert (tmp_path / "d" / "diagnose.png").read_bytes()[:4] == b"\x89PNG"
    table = table_of(tmp_path / "d")
    assert [row["layer"] for row in table] == ["conv1"] * 2 + ["conv2"] * 2 + ["fc1"] * 2 + ["fc2"]
    assert {row["dead"] for row in table[:6]} == {"1.0"}
    assert table[1]["weight_deviation"] == table[0]["update_ratio"] == ""
    assert not (tmp_path / "d" / "checkpoints").exists()


def test_what_is_shown_of_many_findings(tmp_path, capsys):
    diagnosed(tmp_path / "d", *DEEP, "init=zeros", "quiet=false")
    said = capsys.readouterr().out
    assert said.count("the symmetry is never broken") == 8
    assert "and 4 more, in" in said


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("job.examples=1", "job.examples must be in [2, inf), got 1"),
        ("job.ratio=1.0", "job.ratio must be in (1, inf), got 1.0"),
        ("job.dead=1.5", "job.dead must be in [0, 1], got 1.5"),
    ],
)
def test_settings_out_of_range_are_named(tmp_path, setting, line):
    with pytest.raises(ConfigError, match=f"^{re.escape(line)}$"):
        train(tmp_path / "d", "job=diagnose", setting)
