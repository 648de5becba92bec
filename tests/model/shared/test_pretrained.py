"""Weights from untrusted files, and their adaptation to a model."""

import pickle
import socket
import threading
import time
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from trainer.core.errors import CheckpointError
from trainer.model.shared.pretrained import adapt, load_backbone, read_state_dict, unreachable


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.safetensors"])
def test_a_state_dict_is_read(tmp_path, name):
    state, path = small().state_dict(), tmp_path / name
    (safetensors.torch.save_file if name.endswith("s") else torch.save)(state, path)
    restored = read_state_dict(str(path))
    assert restored.keys() == state.keys()
    assert all(torch.equal(restored[key], value) for key, value in state.items())


@pytest.mark.parametrize("key", ["state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_wrappers_of_training_scripts_are_removed(tmp_path, key, prefix):
    state = small().state_dict()
    content = {key: {prefix + name: value for name, value in state.items()}, "epoch": 3}
    torch.save(content, tmp_path / "weights.pth")
    assert read_state_dict(str(tmp_path / "weights.pth")).keys() == state.keys()


class Malice:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def test_a_pickle_that_executes_code_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.ones(1), "more": Malice()}, "weights.pth")
    Path("plain.pt").write_bytes(pickle.dumps(Malice()))
    for name in ("weights.pth", "plain.pt"):
        with pytest.raises(CheckpointError, match=f"model.pretrained={name} is refused") as caught:
            read_state_dict(name)
        assert "\n" not in str(caught.value)
    assert not Path("executed").exists()


@pytest.mark.parametrize("content", [{}, [1], {"epoch": 3}, {1: torch.ones(1)}, torch.ones(2)])
def test_anything_but_a_state_dict_is_an_error(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="not a state dict"):
        read_state_dict(str(tmp_path / "weights.pth"))


def test_a_damaged_and_a_missing_file_are_reported(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="not a file of plain tensors"):
        read_state_dict(str(tmp_path / "weights.safetensors"))
    with pytest.raises(ValueError, match=r"model\.pretrained=nowhere\.pth: no such file"):
        read_state_dict("nowhere.pth")


def test_all_but_the_head_is_loaded():
    model, state = small(), {k: torch.full_like(v, 2) for k, v in small().state_dict().items()}
    head = model[3].weight.clone()
    load_backbone(model, state | {"3.weight": torch.ones(5, 8), "3.bias": torch.ones(5)}, "3", "x")
    assert torch.equal(model[3].weight, head)
    assert all((model.state_dict()[n] == 2).all() for n in state if not n.startswith("3."))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": torch.ones(2, 3, 3, 3)}, r"0.weight is \[2, 3, 3, 3\], \[2, 1, 3, 3\]"),
        ({"0.bias": None}, r"it lacks 0.bias \(1 missing\)"),
        ({"7.bias": torch.ones(1)}, r"the model has no 7.bias \(1 unknown\)"),
    ],
)
def test_parameters_that_do_not_fit_are_named(change, message):
    state = {k: v for k, v in (small().state_dict() | change).items() if v is not None}
    with pytest.raises(CheckpointError, match=f"^x=y does not fit the model.*{message}"):
        load_backbone(small(), state, "3", "x=y")


def test_a_grey_image_gives_the_same_result_as_in_rgb():
    """One channel gets the sum over the channels; their mean would give a third."""
    torch.manual_seed(0)
    weight, grey = torch.randn(4, 3, 3, 3), torch.randn(2, 1, 6, 6)
    rgb = F.conv2d(grey.expand(-1, 3, -1, -1), weight)
    assert torch.allclose(F.conv2d(grey, adapt(weight, 1)), rgb, atol=1e-5)
    assert not torch.allclose(F.conv2d(grey, weight.mean(1, keepdim=True)), rgb, atol=1e-2)


def test_more_channels_repeat_the_old_ones_in_turn():
    weight = torch.tensor([3.0, 5.0, 7.0]).reshape(1, 3, 1, 1)
    assert adapt(weight, 4).flatten().tolist() == [2.25, 3.75, 5.25, 2.25]  # times 3 / 4
    assert adapt(weight, 2).flatten().tolist() == [4.5, 7.5]
    assert adapt(weight[:, :1], 3).flatten().tolist() == [1.0, 1.0, 1.0]
    assert adapt(weight, 3) is weight


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_weights_are_adapted_as_by_timm(channels):
    timm = pytest.importorskip("timm")
    weight = torch.randn(2, 3, 3, 3)
    theirs = timm.models.adapt_input_conv(channels, weight)
    assert torch.allclose(adapt(weight, channels), theirs, atol=1e-6)


def test_a_silent_server_takes_no_longer_than_the_timeout(monkeypatch):
    end = threading.Event()

    def hang(*_, **__):
        end.wait(60)
        raise URLError("at last")

    monkeypatch.setattr("trainer.model.shared.pretrained.urlopen", hang)
    start = time.perf_counter()
    assert unreachable("https://nowhere.invalid", seconds=0.1) == "no answer within 0.15 s"
    assert time.perf_counter() - start < 5
    end.set()


def test_a_refused_connection_is_the_reason():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]  # bound, but nobody listens
        reason = unreachable(f"http://127.0.0.1:{port}/x")
    assert reason is not None
    assert "Connection refused" in reason


def test_a_server_that_answers_is_reachable(monkeypatch):
    def answer(request, **_):
        raise HTTPError(request.full_url, 403, "Forbidden", Message(), None)

    monkeypatch.setattr("trainer.model.shared.pretrained.urlopen", answer)
    assert unreachable("https://nowhere.invalid") is None
