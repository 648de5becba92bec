"""FLOPs by hand, peaks of GPUs, and the speed of train steps on a fake clock."""

import pytest
import torch
from support import make_run

from trainer.job.trial.throughput import flops, measure, peak

LINEARS = 2 * (64 * 2 * 2 * 128 + 128 * 10)
CONVOLUTIONS = 2 * (8 * 8 * 32 * 9 + 4 * 4 * 64 * 32 * 9)


@pytest.mark.parametrize(
    ("overrides", "number"),
    [
        (["model=mlp", "model.hidden=[100,50]"], 2 * (64 * 100 + 100 * 50 + 50 * 10)),
        (["model=simple_cnn"], CONVOLUTIONS + LINEARS),
    ],
)
def test_flops_of_an_image_by_hand(tmp_path, overrides, number):
    """2 · in · out of a linear layer; 2 · pixels · out · in · 9 of a convolution."""
    run = make_run(tmp_path, "device=cpu", *overrides)
    fit = run.assemble()
    assert flops(fit, run.sample(1)) == number
    run.log.close()
    assert run.model.training, "the mode is restored"


@pytest.mark.parametrize(
    ("gpu", "precision", "flops_per_second"),
    [
        ("NVIDIA A100-SXM4-80GB", "bf16", 312e12),
        ("NVIDIA A100-SXM4-80GB", "fp32", 156e12),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "bf16", None),
        ("NVIDIA L4", "fp16", 121e12),
        ("NVIDIA L40", "fp16", None),
    ],
)
def test_the_peak_is_known_for_full_names_only(monkeypatch, gpu, precision, flops_per_second):
    assert peak(torch.device("cpu"), precision) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: gpu)
    assert peak(torch.device("cuda"), precision) == flops_per_second


@pytest.mark.parametrize(
    ("overrides", "passes"), [([], 3), (["mining=ohem_two_pass", "mining.keep=0.25"], 1.75)]
)
def test_weights_are_unchanged_and_passes_are_counted(tmp_path, monkeypatch, overrides, passes):
    """A backward pass counts as two forward ones, a scoring pass as one: 1 + 3 · 0.25."""
    ticks = iter(range(100))
    monkeypatch.setattr(
        "trainer.job.trial.throughput.time.perf_counter", lambda: float(next(ticks))
    )
    run = make_run(tmp_path, "device=cpu", "model=mlp", "optimizer=sgd", *overrides)
    fit = run.assemble()
    before = {key: value.clone() for key, value in run.model.state_dict().items()}
    speed = measure(fit, 8, run.sample(1), run.device, "fp32")
    run.log.close()
    after = run.model.state_dict()
    assert all(after[key].equal(value) for key, value in before.items())
    assert speed["images_per_second"] == 5 * 32  # 5 batches in one second of the fake clock
    assert speed["flops_per_second"] == passes * 5 * 32 * flops(fit, run.sample(1))
    assert speed["epoch_seconds"] == len(run.data.train) / (5 * 32) + 1
    assert speed["utilisation"] is None
