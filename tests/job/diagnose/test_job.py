"""The known faults of initialisations are reported; sound ones have no findings."""

import csv
import math
import re

import pytest
from support import make_run, options, read_json, train

from trainer.core.errors import ConfigError
from trainer.job.diagnose import job

PICTURE = job.write_picture
DEEP = ("model=mlp", "model.hidden=[100,100,100,100,100,100,100,100,100,100]")
CANVAS = ("dataset=digits_canvas", "dataset.examples=60")
UNET = (*CANVAS, "model=unet", "model.width=4")
BOX = (*CANVAS, "dataset.target=box", "dataset.digits=1", "task=regression", "loss=mse")


def diagnosed(folder, *overrides: str) -> dict:
    assert train(folder, "job=diagnose", *overrides) == 0
    return read_json(folder / "result.json")


@pytest.fixture(autouse=True)
def no_picture(monkeypatch) -> None:
    """Drawing the plot takes longer than the job."""
    monkeypatch.setattr(job, "write_picture", lambda path, rows: None)


def examined(
    folder, *overrides: str, examples: int = 128, **groups: str
) -> tuple[list[dict[str, str]], list[str]]:
    """The rows of layers, without activation functions, and the kinds of the findings."""
    settings = ("job=diagnose", f"job.examples={examples}", "device=cpu", *overrides)
    findings = make_run(folder, *settings, **groups).do()["findings"]
    rows = [row for row in table_of(folder) if row["weight_deviation"]]
    return rows, [finding["kind"] for finding in findings]


def table_of(folder) -> list[dict[str, str]]:
    with (folder / "diagnose.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("init", ["zeros", "constant"])
def test_identical_units_are_reported_by_layer(tmp_path, init, capsys):
    result = diagnosed(tmp_path / "d", "model=simple_cnn", f"init={init}", "quiet=false")
    texts = [f["text"] for f in result["findings"] if f["kind"] == "identical units"]
    layers = ("conv1", 32), ("conv2", 64), ("fc1", 128)
    for text, (layer, units) in zip(texts, layers, strict=True):
        assert text.startswith(f"{init}: all {units} units of {layer} are identical")
    assert result["verdict"].startswith(f"not healthy: {init}: identical units")
    output = capsys.readouterr().out
    assert texts[2] in output
    assert f"verdict: {result['verdict']}" in output


def test_dropout_breaks_the_symmetry_of_a_constant(tmp_path):
    """Each unit then has a gradient of its own."""
    assert examined(tmp_path, "model=mlp", init="constant")[1] == ["identical units"]
    assert examined(tmp_path, "model=mlp", "model.dropout=0.5", init="constant")[1] == []


@pytest.mark.parametrize(
    ("init", "faults"),
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
def test_ten_layers_show_the_faults_of_an_initialisation(tmp_path, init, faults):
    rows, kinds = examined(tmp_path, *DEEP, *init)
    assert set(kinds) == faults
    deviations = [float(row["deviation"]) for row in rows]
    factor = (deviations[9] / deviations[0]) ** (1 / 9)
    expected = {"normal": 0.01 * math.sqrt(50), "kaiming_normal": 1, "xavier_normal": 0.5**0.5}
    name = init[0].removeprefix("init=")
    if name in expected and len(init) == 1:
        assert factor == pytest.approx(expected[name], rel=0.07)


@pytest.mark.parametrize("init", sorted(set(options("init")) - {"zeros", "constant"}))
def test_random_initialisations_have_no_identical_units(tmp_path, init):
    assert "identical units" not in examined(tmp_path, init=init)[1]


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
def test_every_model_and_task_is_diagnosed(tmp_path, overrides, layers):
    rows, kinds = examined(tmp_path, *overrides, examples=32, init="kaiming_normal")
    assert kinds == []
    gradients = [float(row["weight_gradient_norm"]) for row in rows]
    assert len(gradients) == layers
    assert min(gradients) > 0
    _, kinds = examined(tmp_path, *overrides, examples=32, init="zeros")
    assert kinds.count("identical units") == layers - 1, "all but the head"


def test_the_model_is_unchanged_and_the_result_reproducible(tmp_path):
    """Even with dropout and BatchNorm in training mode."""
    overrides = ["device=cpu", "model=resnet_cifar", "model.depth=8", "model.dropout=0.5"]
    overrides += ["job=diagnose", "job.examples=32"]
    texts = []
    for name in ("a", "b"):
        run = make_run(tmp_path / name, *overrides)
        run.folder.path.mkdir()
        before = {key: value.clone() for key, value in run.model.state_dict().items()}
        run.do()
        after = run.model.state_dict()
        assert all(after[key].equal(value) for key, value in before.items())
        assert all(parameter.grad is None for parameter in run.model.parameters())
        assert not any(module._forward_hooks for module in run.model.modules())
        texts.append((run.folder.path / "diagnose.csv").read_text())
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) == 1 + 8 + 7


def test_the_files_have_every_layer(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "write_picture", PICTURE)
    diagnosed(tmp_path / "d", "model=simple_cnn", "init=zeros")
    assert (tmp_path / "d" / "diagnose.png").read_bytes()[:4] == b"\x89PNG"
    table = table_of(tmp_path / "d")
    assert [row["layer"] for row in table] == ["conv1"] * 2 + ["conv2"] * 2 + ["fc1"] * 2 + ["fc2"]
    assert {row["dead"] for row in table[:6]} == {"1.0"}
    assert table[1]["weight_deviation"] == table[0]["update_ratio"] == ""
    assert not (tmp_path / "d" / "checkpoints").exists()


def test_only_the_first_findings_are_printed(tmp_path, capsys):
    result = diagnosed(tmp_path / "d", *DEEP, "init=zeros", "quiet=false")
    output = capsys.readouterr().out
    texts = [finding["text"] for finding in result["findings"]]
    assert [text for text in texts if text in output] == texts[:8]
    assert f"and {len(texts) - 8} more" in output


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
