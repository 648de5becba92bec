"""A single row in BatchNorm: refused before training where the sizes are known, and by name."""

import pytest
import torch
from support import make_run, train
from torch import nn

from trainer.core.batch import Batch
from trainer.core.errors import ConfigError
from trainer.training.single_row import chunk_sizes, single_rows_explained, try_one_row

NETWORK = (
    *("model=torchvision", "model.name=shufflenet_v2_x0_5"),
    *("dataset.subset=16", "epochs=1", "batch_size=8"),
)


@pytest.mark.parametrize(
    ("settings", "message", "early"),
    [
        (("accumulate=8",), "accumulate=8 leaves of a batch of 8 at step 0; lower acc", True),
        (
            ("accumulate=4", "dataset.subset=10", "batch_size=all"),
            "accumulate=4 leaves of a batch of 10",
            True,
        ),
        (("batch_size=1",), "the whole batch of step 0; raise batch_size", True),
        (("mining=ohem_two_pass", "mining.keep=0.1"), "mining leaves of 8 at step 0;", False),
        (
            ("swa=1ep", "epochs=3", "eval_batch_size=1"),
            "in evaluation; raise eval_batch_size",
            False,
        ),
        (("job=find_batch_size", "accumulate=8"), "accumulate=8 leaves of a batch of 8", None),
        (("job=find_lr", "dataset.val_fraction=0.0005"), "loss is measured on; raise", None),
        (("job=trial", "batch_size=1"), "the whole batch of step 0; raise batch_size", None),
    ],
    ids=str,
)
def test_the_setting_and_the_way_out_are_named(tmp_path, capsys, settings, message, early):
    code = train(tmp_path / "run", *NETWORK, *settings)
    error = capsys.readouterr().err
    assert code == ConfigError.exit_code, error
    assert error.startswith("BatchNorm cannot train on a single row, ")
    assert message in error
    assert error.count("\n") == 1
    if early is not None:  # of job=train
        assert early is not (tmp_path / "run" / "data.json").exists()


@pytest.mark.parametrize("model", ["mlp", "resnet_cifar"])
def test_models_that_can_train_on_one_row_do(tmp_path, model):
    """Without BatchNorm, and with it on larger maps."""
    more = ("model.depth=8",) if model == "resnet_cifar" else ()
    settings = ("dataset.subset=10", "epochs=1", "batch_size=5", "accumulate=5")
    assert train(tmp_path / "run", *settings, f"model={model}", *more) == 0


def test_the_try_leaves_no_trace(tmp_path):
    run = make_run(tmp_path, "model=resnet_cifar", "model.depth=8")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    state = torch.get_rng_state()
    try_one_row(run.model, run.data.shape, run.device)
    assert all(torch.equal(run.model.state_dict()[name], value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), state)
    assert run.model.training


def test_other_errors_stay_as_they_are():
    with pytest.raises(ValueError, match="something else") as caught, single_rows_explained("x"):
        raise ValueError("something else")
    assert not isinstance(caught.value, ConfigError)
    with pytest.raises(ConfigError, match="a single row, x"), single_rows_explained("x"):
        nn.BatchNorm1d(2)(torch.zeros(1, 2))


@pytest.mark.parametrize("rows", range(1, 12))
@pytest.mark.parametrize("accumulate", [1, 2, 3, 5, 8])
def test_chunk_sizes_are_those_of_a_batch(rows, accumulate):
    images = torch.zeros(rows, 1, 1, 1)
    batch = Batch.of(images, torch.zeros(rows, dtype=torch.long))
    sizes = [len(chunk) for chunk in batch.chunks(accumulate)]
    assert chunk_sizes(rows, accumulate) == sizes
