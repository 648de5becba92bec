import csv

import pytest
import torch
from support import make_run, read_json, train

from trainer.core.batch import Batch
from trainer.core.errors import DataError
from trainer.core.seed import StepId
from trainer.mining.base import Epoch
from trainer.mining.rho import Rho
from trainer.report.csv_file import write_csv

LABELS = torch.tensor([0, 1, 1, 0, 1])
TABLE = """\
id,label,loss,seen,p_cat,p_dog
4,dog,0.25,0,0.5,0.5
0,cat,1.5,0,0.5,0.5
2,dog,3,1,0.5,0.5
1,dog,0.125,0,0.5,0.5
"""


def epoch(ids: list[int]) -> Epoch:
    return Epoch(number=0, total=4, batch_size=2, seed=0, ids=torch.tensor(ids), labels=LABELS)


@pytest.fixture
def made(tmp_path):
    """Make a miner with a reference file of the given text."""

    def make(text: str = TABLE, labels: torch.Tensor = LABELS, **options) -> Rho:
        (tmp_path / "predictions.csv").write_text(text)
        miner = Rho(reference=str(tmp_path), **options)
        miner.prepare(labels)
        return miner

    return make


def batch_of(ids: list[list[int]], shares: list[list[float]]) -> Batch:
    index = torch.tensor(ids)
    ones = torch.ones(len(ids))
    images = torch.arange(float(len(ids))).view(-1, 1, 1, 1)
    return Batch(images, LABELS[index], torch.tensor(shares), index, ones, ones)


def test_the_largest_reducible_losses_are_selected(made):
    """Losses 1.75, 1, 0.5 minus 1.5, 0.125, 0.25: 0.25, 0.875, 0.25; the tie goes to the first."""
    batch = batch_of([[0], [1], [4]], [[1.0]] * 3)
    ranks = torch.tensor([1.75, 1.0, 0.5])
    one = made(keep=0.3).select(batch, lambda rows: ranks, StepId(0, 0, 0))
    assert one.index.tolist() == [[1]]
    two = made(keep=0.7).select(batch, lambda rows: ranks, StepId(0, 0, 0))
    assert two.index.tolist() == [[0], [1]]
    assert two.weight.tolist() == two.count.tolist() == [1, 1]


def test_a_mixed_image_has_the_share_weighted_irreducible_loss(made):
    batch = batch_of([[0, 4], [1, 0]], [[0.6, 0.4], [1.0, 0.0]])
    reducible = made().reducible(torch.tensor([2.0, 2.0]), batch)
    torch.testing.assert_close(reducible, torch.tensor([2 - 0.6 * 1.5 - 0.4 * 0.25, 2 - 0.125]))


def test_a_mask_is_one_example(made):
    batch = batch_of([[0], [4]], [[1.0]] * 2)
    ranks = torch.tensor([[[2.0, 4.0]], [[1.0, 2.0]]])  # means 3 and 1.5
    reducible = made().reducible(ranks, batch)
    assert reducible.tolist() == [[[0.5, 2.5]], [[0.75, 1.75]]]


def test_the_reference_is_a_folder_or_a_file(made, tmp_path):
    by_folder = made()
    by_file = Rho(reference=str(tmp_path / "predictions.csv"))
    by_file.prepare(LABELS)
    assert torch.equal(by_folder.irreducible.nan_to_num(9), by_file.irreducible.nan_to_num(9))
    assert by_file.irreducible.nan_to_num(9).tolist() == [1.5, 0.125, 9, 9, 0.25]


def test_id_and_loss_are_enough(made):
    assert made("loss,id\n0.5,3\n").irreducible[3] == 0.5


def test_every_training_example_must_have_a_loss(made):
    miner = made()
    miner.refresh(epoch([4, 0, 1]), pytest.fail)
    with pytest.raises(DataError, match=r"1 of the 3 training examples"):
        miner.refresh(epoch([0, 1, 3]), pytest.fail)


def test_examples_seen_by_the_reference_have_no_irreducible_loss(made):
    """The loss of a model on its own training data underestimates the irreducible loss."""
    with pytest.raises(DataError, match=r"1 of the 2 training examples"):
        made().require(torch.tensor([0, 2]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column id or loss"),
        ("id,label\n1,cat\n", "no column loss"),
        ("id,loss\n1,high\n", "'high'"),
        ("id,loss\n1.5,1\n", "'1.5'"),
        ("id,loss\n1\n", "predictions"),
        ("id,loss\n5,1\n", "do not fit"),
        ("id,loss\n-1,1\n", "do not fit"),
        ("id,loss\n1,nan\n", "do not fit"),
        ("id,loss\n1,2\n1,3\n", "do not fit"),
        (TABLE.replace("4,dog", "4,cat"), "1 of its 4 labels"),
        (TABLE.replace("4,dog", "4,bird"), "1 of its 4 labels"),
    ],
)
def test_a_malformed_file_is_a_data_error(made, text, message):
    with pytest.raises(DataError, match=rf"mining\.reference=.*{message}"):
        made(text)


def test_a_class_that_is_escaped_in_the_file_is_still_itself(tmp_path):
    """As job=predict writes it: a cell `=1` has an apostrophe, the header `p_=1` has none."""
    write_csv(tmp_path / "p.csv", [["id", "label", "loss", "p_=1"], [0, "=1", 0.5, 1.0]])
    miner = Rho(reference=str(tmp_path / "p.csv"))
    miner.prepare(torch.tensor([0]))
    assert miner.irreducible.tolist() == [0.5]


def test_a_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match=r"predictions\.csv .*conf/mining/rho\.yaml"):
        Rho(reference=str(tmp_path)).prepare(LABELS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"mining\.reference must be .*job=predict"),
        ({"reference": "x", "keep": 0.0}, r"mining\.keep"),
        ({"reference": "x", "score": "el2n"}, r"mining\.score must be loss, got el2n"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Rho(**options)


@pytest.fixture(scope="module")
def irreducible(tmp_path_factory):
    """The first two commands of conf/mining/rho.yaml."""
    runs = tmp_path_factory.mktemp("runs")
    assert train(runs / "reference", "dataset.val_fraction=0.8", "epochs=10") == 0
    predict = ["job=predict", f"run={runs / 'reference'}", "split=train"]
    assert train(runs / "irreducible", *predict, "dataset.val_fraction=0.2") == 0
    return runs / "irreducible"


def test_the_commands_in_the_config_work(irreducible, tmp_path):
    overrides = ["mining=rho", f"mining.reference={irreducible}", "batch_size=320", "epochs=3"]
    assert train(tmp_path / "run", *overrides, "dataset.val_fraction=0.2") == 0
    result = read_json(tmp_path / "run" / "result.json")
    assert result["examples_seen"] == 3 * 1150
    assert result["backward_passes"] == 3 * (3 * 32 + 19)  # batches of 320, 320, 320 and 190
    assert result["forward_passes"] == result["examples_seen"] + result["backward_passes"]


def test_the_reference_is_trained_on_the_validation_split_of_the_run(irreducible, tmp_path):
    reference = make_run(tmp_path, "dataset.val_fraction=0.8").data
    run = make_run(tmp_path, "dataset.val_fraction=0.2").data
    assert torch.equal(reference.train.ids, run.val.ids)
    with (irreducible / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == run.train.ids.tolist()
    assert {row["seen"] for row in rows} == {"0"}


def test_a_reference_of_another_split_is_refused(irreducible, tmp_path, capsys):
    overrides = ["mining=rho", f"mining.reference={irreducible}", "seed=1"]
    assert train(tmp_path / "run", *overrides, "dataset.val_fraction=0.2") == DataError.exit_code
    assert "of the 1150 training examples" in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoints").exists(), "refused before the first step"
