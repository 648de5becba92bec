"""metrics.jsonl and TensorBoard: their contents, resuming, and a full disk."""

import json

import numpy as np
import pytest
from support import events, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from trainer.report.log import Log


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, module_pictures):
    folder = tmp_path_factory.mktemp("runs") / "run"
    overrides = ["optimizer=adamw", "mixer=mixup", "augmentation=light"]
    assert train(folder, *overrides) == 0
    return folder


@pytest.fixture(scope="module")
def stream(run_folder):
    files = list((run_folder / "tensorboard").iterdir())
    assert len(files) == 1, "one event stream"
    accumulator = EventAccumulator(str(files[0]), {"scalars": 0, "images": 0, "histograms": 0})
    accumulator.Reload()
    return accumulator


RATES = ("lr", "lr/group0", "lr/group1", "grad_norm", "images_per_second")
SECONDS = ("train_seconds", "startup_seconds", "compile_seconds")
COSTS = ("examples_seen", "forward_passes", "backward_passes", *SECONDS)


def test_scalars_match_the_metrics_file(stream, run_folder):
    tags = set(stream.Tags()["scalars"])
    for split in ("train", "val", "test"):
        assert {f"{split}/loss", f"{split}/accuracy"} <= tags
    last = sorted(f"work/{name}" for name in (*RATES, *COSTS))
    assert sorted(tags)[-len(last) :] == last
    every = sorted(
        tag for kind in ("scalars", "images", "histograms") for tag in stream.Tags()[kind]
    )
    assert every[0].startswith("test/")
    lines = [line for line in events(run_folder) if line["split"] == "val"]
    shown = [(event.step, event.value) for event in stream.Scalars("val/loss")]
    assert shown == [(line["step"], pytest.approx(line["loss"])) for line in lines]


def test_inputs_confusion_and_weights_are_shown(stream):
    tags = stream.Tags()
    assert {"view/inputs", "view/confusion/val", "view/confusion/test"} <= set(tags["images"])
    (inputs,) = stream.Images("view/inputs")
    assert inputs.encoded_image_string[:4] == b"\x89PNG"
    assert (inputs.width, inputs.height) == (8 * 98, 4 * 98)
    assert {"weights/layers.1.weight", "weights/layers.3.bias"} <= set(tags["histograms"])
    weights = stream.Histograms("weights/layers.1.weight")[0].histogram_value
    assert weights.num == 64 * 64 == sum(weights.bucket)


def test_the_config_is_shown_as_text(stream):
    (event,) = stream.Tensors("config")
    assert b'"_target_": "trainer.optimizer.adamw.AdamW"' in event.tensor_proto.string_val[0]


def test_effective_class_counts_are_shown(stream):
    (event,) = stream.Tensors("classes")
    text = event.tensor_proto.string_val[0].decode()
    assert text.count("\n") == 11
    assert "| 0 | 128 | 128 |" in text


def test_hparams_have_settings_and_final_metrics(stream):
    content = stream.summary_metadata
    plugin = {t for t, m in content.items() if m.plugin_data.plugin_name == metadata.PLUGIN_NAME}
    assert plugin == {
        metadata.EXPERIMENT_TAG,
        metadata.SESSION_START_INFO_TAG,
        metadata.SESSION_END_INFO_TAG,
    }
    start = metadata.parse_session_start_info_plugin_data(
        content[metadata.SESSION_START_INFO_TAG].plugin_data.content
    )
    assert start.hparams["mixer"].string_value == "Mixup"
    assert start.hparams["seed"].number_value == 0
    experiment = metadata.parse_experiment_plugin_data(
        content[metadata.EXPERIMENT_TAG].plugin_data.content
    )
    tags = {info.name.tag for info in experiment.metric_infos}
    assert {"test/accuracy", "val_best/loss"} <= tags <= set(stream.Tags()["scalars"])


def test_each_step_is_logged_once(run_folder):
    lines = events(run_folder)
    keys = [(line["split"], line["step"]) for line in lines]
    assert len(keys) == len(set(keys))
    assert keys[-1][0] == "test"


def test_nan_is_written_as_null(tmp_path):
    log = Log(tmp_path, pytest.fail)
    log.metrics("train", epoch=0, step=1, values={"loss": float("nan")})
    log.close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["loss"] is None


def test_a_resumed_log_drops_the_steps_that_are_repeated(tmp_path):
    log = Log(tmp_path, pytest.fail)
    log.metrics("train", epoch=0, step=1, values={"loss": 1.0})
    offset = log.state_dict()
    log.metrics("train", epoch=0, step=2, values={"loss": 2.0})
    log.close()
    log = Log(tmp_path, pytest.fail, resumed_at=1)
    assert len(events(tmp_path)) == 2  # until the state is known to fit
    log.load_state_dict(offset)
    assert log.state_dict() == offset
    log.metrics("train", epoch=0, step=2, values={"loss": 3.0})
    log.close()
    assert [(e["step"], e["loss"]) for e in events(tmp_path)] == [(1, 1.0), (2, 3.0)]
    accumulator = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in accumulator.Scalars("train/loss")] == [(1, 1.0), (2, 3.0)]


def test_a_restarted_log_drops_everything(tmp_path):
    """A run killed before its first checkpoint repeats the steps it has logged."""
    for _ in range(2):
        log = Log(tmp_path, pytest.fail)
        log.metrics("train", epoch=0, step=1, values={"loss": 1.0})
        log.close()
    assert len(events(tmp_path)) == 1
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_a_full_disk_is_one_warning(tmp_path, monkeypatch):
    warnings = []
    log = Log(tmp_path, warnings.append)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log.stream, "scalars", full)
    for step in range(3):
        log.metrics("train", epoch=0, step=step, values={"loss": 1.0})
    assert len(warnings) == 1
    assert "No space left" in warnings[0]
    assert len(events(tmp_path)) == 3
    assert log.stream is not None
    log.stream.histogram("empty", np.array([np.nan]), 0)
    log.close()
