"""The predictions that a run keeps of its test split."""

from pathlib import Path

import numpy as np
import pytest

from trainer.core.errors import CheckpointError, DiskError
from trainer.storage import predicted

IDS = np.array([7, 3])
CLASSES = {
    "label": np.array([1, 0]),
    "prediction": np.array([1, 2]),
    "confidence": np.array([0.75, 0.25], np.float32),
    "correct": np.array([1.0, 0.0], np.float32),
    "loss": np.array([0.3, 1.4], np.float32),
}


def test_a_classifier_keeps_label_prediction_and_p_y(tmp_path: Path) -> None:
    path = predicted.write(tmp_path, IDS, CLASSES)
    assert path == tmp_path / "predictions" / "test.npy"
    assert path.stat().st_size == 192 + 2 * 20, "a header and 20 bytes an example"
    rows = predicted.read(tmp_path)
    assert rows is not None
    assert rows.tolist() == [(7, 1, 1, 0.75), (3, 0, 2, 0.25)]
    assert rows.dtype.names == ("id", "label", "prediction", "p_y")


def test_other_tasks_keep_what_their_metrics_are_means_of(tmp_path: Path) -> None:
    """Labels [N, C] are no vector; of masks the ids alone are kept."""
    two = np.zeros((2, 3))
    several = CLASSES | {"label": two, "label_accuracy": np.array([1.0, 0.5], np.float32)}
    names = {
        "several": several,
        "numbers": {"absolute_error": np.ones(2), "squared_error": np.ones(2), "loss": np.ones(2)},
        "masks": {"union": two, "loss": np.ones(2)},
    }
    found = {}
    for name, records in names.items():
        (tmp_path / name).mkdir()
        predicted.write(tmp_path / name, IDS, records)
        rows = predicted.read(tmp_path / name)
        found[name] = rows is not None and rows.dtype.names
    assert found == {
        "several": ("id", "correct", "label_accuracy", "p_y"),
        "numbers": ("id", "absolute_error", "squared_error"),
        "masks": ("id",),
    }


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    path = predicted.write(tmp_path, IDS, CLASSES)
    before = path.read_bytes()

    def full(file, _rows):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DiskError, match=r"test\.npy"):
        predicted.write(tmp_path, IDS + 1, CLASSES)
    assert path.read_bytes() == before


def test_old_runs_have_none_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert predicted.read(tmp_path) is None
    path = predicted.write(tmp_path, IDS, CLASSES)
    whole = path.read_bytes()
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([print, None]), allow_pickle=True)
    for damaged in (whole[:-1], b"", objects.read_bytes(), whole.replace(b"(2,)", b"(9,)")):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"predictions/test\.npy cannot be read"):
            predicted.read(tmp_path)
    np.save(path, np.zeros(3))
    with pytest.raises(CheckpointError, match="holds float64 of shape"):
        predicted.read(tmp_path)
    path.unlink()
    path.symlink_to(objects)
    with pytest.raises(CheckpointError, match="is a link"):
        predicted.read(tmp_path)
