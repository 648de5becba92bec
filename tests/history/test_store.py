"""The difficulty store: records are read back, and damaged stores are rejected."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import make_run, train

from trainer import history
from trainer.core.errors import DataError, DiskError
from trainer.history.store import DifficultyStore

CPU = torch.device("cpu")
FIELDS = ("confidence", "correct", "prediction")
TINY = ("epochs=1", "model.hidden=[8]")


def records(loss, confidence, correct, prediction):
    return {
        "loss": torch.tensor(loss),
        "confidence": torch.tensor(confidence),
        "correct": torch.tensor(correct),
        "prediction": torch.tensor(prediction),
    }


def test_records_are_read_back_by_id_and_epoch(tmp_path):
    store = DifficultyStore(tmp_path / "examples", 6, FIELDS, CPU)
    store.describe(ids=torch.tensor([1, 3, 4]), labels=torch.arange(6))
    store.add(torch.tensor([4, 1]), records([0.5, 2.0], [0.6, 0.1], [1.0, 0.0], [4, 9]))
    store.flush(0)
    store.add(torch.tensor([3, 3]), records([1.0, 0.25], [0.4, 0.8], [0.0, 1.0], [7, 3]))
    store.flush(1)
    opened = history.open(tmp_path)
    assert opened.epochs == 2
    assert opened.ids.tolist() == [1, 3, 4]
    np.testing.assert_array_equal(opened["loss"], [[2.0, np.nan, 0.5], [np.nan, 0.25, np.nan]])
    np.testing.assert_array_equal(opened["correct"], [[0, 255, 1], [255, 1, 255]])
    np.testing.assert_array_equal(opened["prediction"], [[9, -1, 4], [-1, 3, -1]])
    assert opened.fields["loss"].shape == (2, 6)


def test_more_classes_than_int16_numbers_are_kept(tmp_path):
    """As int16, class 40000 would be read back as −25536."""
    store = DifficultyStore(tmp_path / "examples", 3, ("prediction",), CPU, classes=50_000)
    store.describe(ids=torch.arange(3), labels=torch.arange(3))
    predictions = {"loss": torch.ones(2), "prediction": torch.tensor([40_000, 32_768])}
    store.add(torch.tensor([0, 1]), predictions)
    store.flush(0)
    assert history.open(tmp_path)["prediction"].tolist() == [[40_000, 32_768, -1]]
    assert history.open(tmp_path).latest("prediction")[:2].tolist() == [40_000, 32_768]


@pytest.mark.parametrize(("field", "dtype"), [("loss", "int32"), ("prediction", "O"), ("loss", [])])
def test_a_dtype_that_a_field_cannot_have_is_refused(tmp_path, field, dtype):
    store = DifficultyStore(tmp_path / "examples", 3, ("prediction",), CPU)
    store.describe(ids=torch.arange(3), labels=torch.arange(3))
    path = tmp_path / "examples" / "meta.json"
    meta = json.loads(path.read_text())
    meta["fields"][field] = dtype
    path.write_text(json.dumps(meta))
    with pytest.raises(DataError, match=f"{field} cannot be "):
        history.open(tmp_path)


def test_rewriting_an_epoch_drops_later_ones(tmp_path):
    store = DifficultyStore(tmp_path / "examples", 2, (), CPU)
    store.describe(ids=torch.arange(2), labels=torch.zeros(2))
    for epoch, value in enumerate((1.0, 2.0, 3.0)):
        store.add(torch.arange(2), {"loss": torch.full((2,), value)})
        store.flush(epoch)
    store.add(torch.arange(2), {"loss": torch.full((2,), 9.0)})
    store.flush(1)
    assert history.open(tmp_path)["loss"].tolist() == [[1, 1], [9, 9]]


def test_missing_epochs_are_unseen(tmp_path):
    """Epochs 1 and 2 were never written, and the last row is cut short."""
    store = DifficultyStore(tmp_path / "examples", 2, ("correct",), CPU)
    store.describe(ids=torch.arange(2), labels=torch.zeros(2))
    for epoch in (0, 3):
        store.add(torch.arange(2), {"loss": torch.ones(2), "correct": torch.ones(2)})
        store.flush(epoch)
    opened = history.open(tmp_path)
    np.testing.assert_array_equal(opened["loss"][:, 0], [1, np.nan, np.nan, 1])
    np.testing.assert_array_equal(opened["correct"][:, 0], [1, 255, 255, 1])
    with (tmp_path / "examples" / "loss.bin").open("ab") as file:
        file.write(b"\0")
    assert history.open(tmp_path).epochs == 4
    store.add(torch.arange(2), {"loss": torch.zeros(2), "correct": torch.zeros(2)})
    store.flush(4)
    np.testing.assert_array_equal(history.open(tmp_path)["loss"][3:], [[1, 1], [0, 0]])


def test_a_store_that_cannot_be_written_is_a_disk_error(tmp_path):
    store = DifficultyStore(tmp_path / "absent", 2, (), CPU)
    with pytest.raises(DiskError, match=r"absent/loss\.bin cannot be read or written"):
        store.flush(0)


def test_a_checkpoint_of_another_data_set_is_refused(tmp_path):
    state = DifficultyStore(tmp_path, 3, ("correct",), CPU).state_dict()
    with pytest.raises(DataError, match="records of 3 examples, the data set has 2"):
        DifficultyStore(tmp_path, 2, ("correct",), CPU).load_state_dict(state)


def test_losses_beyond_float16_are_infinite(tmp_path):
    store = DifficultyStore(tmp_path / "examples", 1, (), CPU)
    store.describe(ids=torch.arange(1), labels=torch.zeros(1))
    store.add(torch.tensor([0]), {"loss": torch.tensor([1e6])})
    store.flush(0)
    assert history.open(tmp_path)["loss"][0, 0] == np.inf


def test_a_missing_store_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="no readable difficulty store"):
        history.open(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        {"meta.json": b"{}"},
        {"meta.json": b"not json"},
        {"meta.json": b'{"examples": 0, "fields": {"loss": "float16"}}'},
        {"meta.json": b'{"examples": 4, "fields": {"../../../etc/passwd": "uint8"}}'},
        {"labels.npy": b"\x93NUMPY"},
        {"loss.bin": None},
        {"ids.npy": None},
    ],
)
def test_a_damaged_store_is_a_data_error(tmp_path, damage):
    store = DifficultyStore(tmp_path / "examples", 4, (), CPU)
    store.describe(ids=torch.arange(4), labels=torch.zeros(4))
    store.flush(0)
    assert history.open(tmp_path).epochs == 1
    for name, body in damage.items():
        path = tmp_path / "examples" / name
        path.unlink() if body is None else path.write_bytes(body)
    with pytest.raises(DataError, match="no readable difficulty store"):
        history.open(tmp_path)


def test_ids_beyond_the_source_are_refused(tmp_path):
    store = DifficultyStore(tmp_path / "examples", 4, (), CPU)
    store.describe(ids=torch.tensor([1, 4]), labels=torch.zeros(4))
    store.flush(0)
    with pytest.raises(DataError, match=r"ids\.npy has ids outside \[0, 4\)"):
        history.open(tmp_path)


def test_keys_are_text_and_those_of_another_shape_are_refused(tmp_path):
    store = DifficultyStore(tmp_path / "examples", 3, (), CPU)
    keys = np.array([text.encode() for text in ("a", "é/12", "")], "S")
    encoded = torch.from_numpy(keys.view(np.uint8).reshape(3, -1).copy())
    store.describe(ids=torch.arange(3), labels=torch.zeros(3), keys=encoded)
    store.flush(0)
    assert history.open(tmp_path).keys.tolist() == ["a", "é/12", ""]
    damaged = encoded[:2], encoded.int(), encoded[0], encoded[:, :0]
    for wrong in damaged:
        np.save(tmp_path / "examples" / "keys.npy", wrong.numpy())
        with pytest.raises(DataError, match="no readable difficulty store"):
            history.open(tmp_path)


def test_masks_are_not_described():
    from trainer.dataset import Data, Split
    from trainer.dataset.base import Pixels

    pixels = Pixels(torch.zeros(3, 1, 2, 2, dtype=torch.uint8))
    split = Split(pixels, torch.zeros(3, 2, 2, dtype=torch.int64), torch.arange(3))
    data = Data(split, split, split, (), (0.0,), (1.0,))
    assert set(data.described()) == {"ids"}


def test_a_run_records_every_training_example(tmp_path):
    """Each epoch has a record of each training example, and the fields agree."""
    assert train(tmp_path / "run", "dataset.val_fraction=0.1") == 0
    opened = history.open(tmp_path / "run")
    assert opened["loss"].shape == (2, 1294)
    assert np.isfinite(opened["loss"]).all()
    np.testing.assert_allclose(
        opened["loss"].astype(float), -np.log(opened["confidence"].astype(float)), atol=0.02
    )
    assert opened.labels is not None
    labels = opened.labels[opened.ids]
    np.testing.assert_array_equal(opened["correct"] == 1, opened["prediction"] == labels)
    right = opened["correct"] == 1
    assert (opened["logit_margin"][right] >= 0).all()
    assert (opened["logit_margin"][~right] <= 0).all()
    run = make_run(tmp_path)
    assert set(opened.ids) == set(run.data.train.ids.tolist())


def test_mixed_rows_leave_no_record(tmp_path):
    assert train(tmp_path / "run", "mixer=mixup", *TINY) == 0
    assert np.isnan(history.open(tmp_path / "run")["loss"]).all()


def test_label_noise_and_the_threshold_class_are_in_the_store(tmp_path):
    assert (
        train(tmp_path / "run", "dataset.label_noise=0.1", "dataset.threshold_class=true", *TINY)
        == 0
    )
    opened = history.open(tmp_path / "run")
    assert opened.labels is not None
    assert opened.true_labels is not None
    assert opened.threshold is not None
    assert len(opened.threshold) == 1294 // 11
    assert set(opened.labels[opened.threshold]) == {10}
    assert opened.true_labels.max() == 9
    wrong = (opened.labels != opened.true_labels)[opened.ids]
    assert 117 < wrong.sum() <= 117 + 129


def test_el2n_and_margin_by_hand():
    from trainer.task.classification import Classification

    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    record = Classification().records(logits, torch.tensor([1]))
    assert record["confidence"].item() == pytest.approx(0.3)
    assert record["margin"].item() == pytest.approx(0.3 - 0.6)
    difference = record["logit_margin"].item()
    assert difference == pytest.approx(-0.6931, abs=1e-4)  # ln 0.3 − ln 0.6
    assert 0.3 * (1 - np.exp(-difference)) == pytest.approx(0.3 - 0.6)
    assert record["el2n"].item() == pytest.approx((0.6**2 + 0.7**2 + 0.1**2) ** 0.5)
    assert record["nll"].item() == pytest.approx(-F.log_softmax(logits, 1)[0, 1].item())


def test_smote_records_the_originals(tmp_path):
    """SMOTE's rows are pairs; those with shares 1 and 0 are original examples."""
    assert train(tmp_path / "run", "sampler=smote", "dataset.imbalance=4", *TINY) == 0
    assert np.isfinite(history.open(tmp_path / "run")["loss"]).all()


SEVERAL = ("confidence", "logit_margin", "correct", "doubt")


def several(folder, fields=SEVERAL, **arrays):
    """A store of five examples with three classes each, without an epoch."""
    store = DifficultyStore(folder / "examples", 5, fields, CPU, classes=3)
    store.describe(ids=torch.arange(4), **arrays)
    for name in store.dtypes:
        (folder / "examples" / f"{name}.bin").touch()
    return folder


def test_several_labels_are_stored_by_row(tmp_path):
    labels = torch.arange(15).reshape(5, 3) % 2 == 0
    store = history.open(several(tmp_path, labels=labels))
    assert store.labels is not None
    assert np.array_equal(store.labels, labels.numpy())
    store.check_split(np.arange(4), labels.numpy())
    with pytest.raises(DataError, match="other examples or labels"):
        store.check_split(np.arange(4), ~labels.numpy())


@pytest.mark.parametrize(
    ("fields", "labels", "said"),
    [
        (SEVERAL, torch.zeros(5, dtype=torch.long), r"shape \[5\] have no doubt"),
        (FIELDS, torch.zeros(5, 3, dtype=torch.bool), r"shape \[5, 3\] have no prediction"),
        (SEVERAL, torch.zeros(5, 3), r"labels.npy holds float32s of shape \[5, 3\]"),
        (SEVERAL, torch.zeros(4, 3, dtype=torch.bool), "labels.npy has 4 numbers for 5 examples"),
    ],
)
def test_labels_must_fit_the_fields(tmp_path, fields, labels, said):
    with pytest.raises(DataError, match=said):
        history.open(several(tmp_path, fields, labels=labels))


def test_changed_labels_are_known_by_row(tmp_path):
    """The suspects know an example whose labels differ from the true ones in any class."""
    labels = torch.zeros(5, 3, dtype=torch.bool)
    true = labels.clone()
    true[1, 2] = True
    folder = several(tmp_path, labels=labels, true_labels=true)
    store = DifficultyStore(folder / "examples", 5, SEVERAL, CPU, classes=3)
    margins = {"logit_margin": torch.tensor([2.0, -1.0, 3.0, 1.0])}
    ones = dict.fromkeys(("loss", "confidence", "correct", "doubt"), torch.ones(4))
    store.add(torch.arange(4), ones | margins)
    store.flush(0)
    suspects = history.open(folder).suspects()
    assert suspects.ids.tolist() == [1, 3, 0, 2]
    assert (suspects.flagged, suspects.precision_recall(1)) == (1, (1.0, 1.0))
