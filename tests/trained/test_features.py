"""Features from a finished run's model, and SMOTE on them."""

import pytest
import torch
from support import make_run, read_json, train
from torch import nn

from trainer.core.errors import ConfigError
from trainer.storage import checkpoint

SMALL = ("model=mlp", "device=cpu", "dataset.val_fraction=0.8", "batch_size=64", "epochs=1")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "run"
    assert train(folder, *SMALL, "model.hidden=[24]") == 0
    return folder


def test_features_are_the_inputs_of_the_last_layer(reference, tmp_path):
    """The last layer maps them to the model's outputs, in the order of the split's ids."""
    run = make_run(tmp_path, *SMALL, "model.hidden=[7]", "eval_batch_size=50")
    split = run.data.train
    features = run.restore(str(reference), "sampler.reference").features(split)
    assert features.shape == (len(split), 24)
    restored = make_run(reference, *SMALL, "model.hidden=[24]")
    best = checkpoint.step_folder(
        reference / "checkpoints", read_json(reference / "result.json")["best_step"]
    )
    restored.model.load_state_dict(checkpoint.load(best).model)
    feed = restored.loader.open(restored.data.train, restored.device)
    outputs = [out for _, out in restored.evaluator.passes(feed, split.ids, lambda: None)]
    *_, last = (module for module in restored.model.modules() if isinstance(module, nn.Linear))
    torch.testing.assert_close(last(features).detach(), torch.cat(outputs))


def test_smote_trains_with_neighbours_by_features(reference, tmp_path):
    settings = ["sampler=smote", "sampler.space=feature", "sampler.k=3", *SMALL]
    assert train(tmp_path / "run", *settings, f"sampler.reference={reference}") == 0


def test_a_missing_run_is_named(tmp_path):
    run = make_run(tmp_path, *SMALL)
    with pytest.raises(ConfigError, match=r"sampler\.reference=nowhere: no run there"):
        run.restore("nowhere", "sampler.reference")
