"""The file of out-of-fold predictions, of a run and of a sweep."""

from pathlib import Path

import numpy as np
import pytest

from trainer.core.errors import CheckpointError
from trainer.storage import out_of_fold

HEADER = ["run", "settings", "id", "fold", "loss", "label", "prediction", "p_y", "p_a"]


def sweep(folder: Path) -> Path:
    """Two folds for each of two seeds, an example each."""
    rows = [
        [f"{job}", f"seed={seed}", 10 + job, fold, 0.5, "a", "=b", 0.25, 0.1]
        for job, (seed, fold) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)])
    ]
    out_of_fold.write_rows(folder, HEADER, rows)
    return folder


def test_the_runs_of_the_same_settings_are_pooled(tmp_path: Path) -> None:
    found = out_of_fold.pooled(sweep(tmp_path) / "1")
    assert found is not None
    assert found.ids.tolist() == [10, 11]
    assert found.folds.tolist() == [0, 1]
    assert (found.labels, found.predictions) == (["a", "a"], ["'=b", "'=b"])
    assert found.p_y.tolist() == [0.25, 0.25]
    assert found.loss.tolist() == [0.5, 0.5]


def test_a_run_of_no_sweep_has_none(tmp_path: Path) -> None:
    assert out_of_fold.pooled(tmp_path / "run") is None
    assert out_of_fold.pooled(sweep(tmp_path) / "other") is None


def test_a_task_without_classes(tmp_path: Path) -> None:
    out_of_fold.write_rows(tmp_path, ["id", "fold", "loss"], [[3, 0, 1.5]])
    found = out_of_fold.parsed(tmp_path, out_of_fold.read(tmp_path))
    assert (found.ids.tolist(), found.labels, found.loss.tolist()) == ([3], [""], [1.5])
    assert np.isnan(found.p_y).all()


@pytest.mark.parametrize(
    "text",
    ["id,fold,loss\n1,0\n", "id,fold,loss\n1,0,x\n", "id,fold\n1,0\n", "id,fold,loss\n1,0,1,2\n"],
)
def test_damaged_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / out_of_fold.FILE).write_text(text)
    with pytest.raises(CheckpointError, match=r"out_of_fold.csv cannot be read"):
        out_of_fold.parsed(tmp_path, out_of_fold.read(tmp_path))


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    sweep(tmp_path)
    (tmp_path / "a" / out_of_fold.FILE).symlink_to(tmp_path / out_of_fold.FILE)
    with pytest.raises(CheckpointError, match="is a link"):
        out_of_fold.read(tmp_path / "a")


def test_an_unfinished_file_is_never_seen(tmp_path: Path) -> None:
    before = (sweep(tmp_path) / out_of_fold.FILE).read_text()

    def rows():
        yield [1, 2, 3]
        raise OSError(28, "No space left on device")

    with pytest.raises(Exception, match="No space left"):
        out_of_fold.write_rows(tmp_path, HEADER, rows())
    assert (tmp_path / out_of_fold.FILE).read_text() == before
