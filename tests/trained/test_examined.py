"""What a run's model sees of its splits, in one pass."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support import make_run, train

from trainer.core.errors import CheckpointError
from trainer.trained.examined import Examined, compared, examine

SMALL = ("model=mlp", "model.hidden=[24]", "dataset.val_fraction=0.8", "batch_size=64", "epochs=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train(folder, *SMALL) == 0
    return folder


def test_outputs_features_and_pixels(run: Path, tmp_path: Path) -> None:
    outer = make_run(tmp_path, "device=cpu", "eval_batch_size=50")
    seen = examine(outer, str(run), "run", ("train", "test"))
    assert list(seen) == ["train", "test"]
    restored = outer.restore(str(run), "run")
    split = make_run(tmp_path, *SMALL, "device=cpu").data.train
    train_split: Examined = seen["train"]
    assert train_split.ids.tolist() == split.ids.tolist()
    np.testing.assert_array_equal(train_split.features, restored.features(split).numpy())
    *_, last = (m for m in restored.model.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        outputs = last(torch.from_numpy(train_split.features)).numpy()
    np.testing.assert_allclose(train_split.outputs, outputs, atol=1e-5)
    assert train_split.thumbnails.shape == (len(split), 64)
    assert len(set(train_split.digests)) > len(split) - 5


def test_thumbnails_and_digests_of_batches() -> None:
    images = torch.randint(0, 256, (3, 3, 32, 8), dtype=torch.uint8)
    images[2] = images[0]
    small, digests = compared(images)
    assert small.shape == (3, 3 * 16 * 8)
    assert small[0, 0] == images[0, 0, :2, 0].float().mean().round()
    assert digests[0] == digests[2] != digests[1]


def test_a_run_without_a_checkpoint_is_named(run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.yaml", "data.json"):
        (bare / name).write_bytes((run / name).read_bytes())
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        examine(make_run(tmp_path / "o", "device=cpu"), str(bare), "run", ("train",))
