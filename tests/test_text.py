"""Texts through the whole program: the parts and jobs that images have, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support import CONF, digest, fitted, make_run, options, read_json
from texts import ALWAYS, GROUPS, do, rows_of, sentences, write_texts

import trainer
from trainer import history
from trainer.config.build import locate
from trainer.dataset.shared.texts import Texts
from trainer.storage.trained_on import TrainedOn


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Settings of runs on 96 texts."""
    table = write_texts(tmp_path_factory.mktemp("texts") / "texts.csv", sentences(96))
    return *GROUPS, *ALWAYS, f"dataset.file={table}", "optimizer.lr=0.05"


@pytest.fixture(scope="module")
def always(few: tuple[str, ...]) -> tuple[str, ...]:
    """The same with EDA."""
    return *few, "epochs=6", "augmentation=eda"


@pytest.fixture(scope="module")
def run(always: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on texts, a part of which have wrong labels, with EDA."""
    folder = tmp_path_factory.mktemp("text") / "run"
    settings = ("dataset.label_noise=0.2", "loader=stream", "loader.workers=0")
    assert do(folder, *always, *settings) == 0
    return folder


def test_it_learns_and_keeps_what_it_learned_by(run: Path) -> None:
    about = read_json(run / "data.json")
    assert about["shape"] == [16]
    assert (about["mean"], about["std"]) == ([], [])
    assert len(about["vocabulary"]) == len(set(about["vocabulary"])) > 100
    (best, *_) = sorted((run / "checkpoints").iterdir())
    assert read_json(best / "data.json") == about
    assert "data.json" in read_json(best / "manifest.json")
    assert read_json(run / "result.json")["test"]["accuracy"] > 0.5  # a guess has 0.33


def test_the_vocabulary_is_of_training_rows_and_their_synonyms(
    few: tuple[str, ...], run: Path
) -> None:
    """Wrong labels and validation do not matter; a vocabulary without EDA is smaller."""
    plain = make_run(run.parent / "plain", *few).data
    source = plain.train.images
    assert isinstance(source, Texts)
    trained = {word for i in plain.train.ids.tolist() for word in source.words[i]}
    words = read_json(run / "data.json")["vocabulary"]
    assert set(plain.vocabulary) == trained
    assert words[: len(trained)] == list(plain.vocabulary)
    assert set(words) > trained


def test_the_store_has_a_record_of_every_text(run: Path) -> None:
    store = history.open(run)
    assert len(store.ids) == 69
    assert store.epochs == 6


def test_examples_lists_texts(few: tuple[str, ...], run: Path, tmp_path: Path) -> None:
    assert do(tmp_path / "e", "job=examples", f"run={run}", "quiet=true", "device=cpu") == 0
    hardest, suspects = (
        rows_of(tmp_path / "e" / f"{name}.csv") for name in ("hardest", "suspects")
    )
    assert len(hardest) == 69
    assert list(hardest[0])[-1] == list(suspects[0])[-1] == "text"
    source = make_run(tmp_path / "r", *few).data.train.images
    assert isinstance(source, Texts)
    assert all(row["text"] == source.texts[int(row["id"])] for row in hardest)
    assert (tmp_path / "e" / "data_map.png").is_file()
    assert not (tmp_path / "e" / "hardest.png").exists()
    assert (tmp_path / "e" / "duplicates.csv").is_file()


def test_review_has_cards_with_text(run: Path, tmp_path: Path) -> None:
    assert do(tmp_path / "r", "job=review", f"run={run}", "job.number=5", "quiet=true") == 0
    page = (tmp_path / "r" / "review.html").read_text("utf-8")
    data = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert len(data["cards"]) == 5
    assert not data["images"]
    for card in data["cards"]:
        assert len(data["texts"][str(card["id"])].split()) > 3
        assert card["neighbours"]
        assert all(str(near["id"]) in data["texts"] for near in card["neighbours"])
        assert any("nearest training texts" in reason for reason in card["reasons"])


def test_predict_reads_a_table_or_a_line_a_text(run: Path, tmp_path: Path) -> None:
    table, lines = tmp_path / "new.csv", tmp_path / "new.txt"
    table.write_text('id,text\n1,"a small fish, of rivers"\n2,a person who writes\n', "utf-8")
    lines.write_text("a small fish, of rivers\n\na person who writes\n", "utf-8")
    found = []
    for name, source in (("a", table), ("b", lines)):
        common = ("job=predict", f"run={run}", "quiet=true", "device=cpu")
        assert do(tmp_path / name, *common, f"source={source}") == 0
        found.append(rows_of(tmp_path / name / "predictions.csv"))
        assert not (tmp_path / name / "predictions.png").exists()
    assert found[0] == found[1]
    assert [row["text"] for row in found[0]] == ["a small fish, of rivers", "a person who writes"]
    model = trainer.load(run)
    for row in found[0]:
        label, probability = model.predict(row["text"])
        assert label == row["prediction"]
        assert probability == pytest.approx(float(row["probability"]), abs=1e-6)


def test_predict_names_a_line_without_text(run: Path, tmp_path: Path, capsys) -> None:
    table = tmp_path / "new.csv"
    table.write_text("id,text\n1,fine\n2,\n", "utf-8")
    assert do(tmp_path / "p", "job=predict", f"run={run}", f"source={table}", "quiet=true") == 3
    assert "line 3: text is empty; job.corrupt=skip leaves" in capsys.readouterr().err
    skip = ("job.corrupt=skip", "quiet=true", "device=cpu")
    assert do(tmp_path / "q", "job=predict", f"run={run}", f"source={table}", *skip) == 0
    assert "1 text cannot be read" in capsys.readouterr().err
    assert [row["text"] for row in rows_of(tmp_path / "q" / "predictions.csv")] == ["fine"]
    (empty,) = rows_of(tmp_path / "q" / "unreadable.csv")
    assert empty == {"path": f"{table}, line 3", "reason": "text is empty"}
    for source in (tmp_path, tmp_path / "photo.png"):
        assert do(tmp_path / "s", "job=predict", f"run={run}", f"source={source}", *skip) == 3
        assert "the model reads texts; give a CSV file" in capsys.readouterr().err


def test_a_loaded_model_takes_texts_alone(run: Path) -> None:
    model = trainer.load(run)
    assert model.preprocess(["an unheardofword", ""]).shape == (2, 16)
    assert model.preprocess("an unheardofword")[0, :3].tolist()[1:] == [1, 0]
    assert model.probabilities(["fish", "tree"]).sum(1).tolist() == pytest.approx([1, 1])
    with pytest.raises(TypeError, match="a text is a string"):
        model.predict(torch.zeros(3, 8, 8, dtype=torch.uint8))


def test_evaluate_and_an_ensemble_read_by_each_runs_own_vocabulary(
    few: tuple[str, ...], run: Path, tmp_path: Path
) -> None:
    """The other run is on other rows, without EDA: its ids are not those of the first."""
    other = tmp_path / "other"
    assert do(other, *few, "dataset.subset=40", "epochs=4") == 0
    common = ("job=evaluate", "quiet=true", "device=cpu")
    assert do(tmp_path / "one", *common, f"run={run}") == 0
    accuracy = read_json(tmp_path / "one" / "result.json")["test"]["accuracy"]
    assert accuracy == read_json(run / "result.json")["test"]["accuracy"]
    assert do(tmp_path / "both", *common, f"runs=[{run},{other}]") == 0
    assert read_json(tmp_path / "both" / "result.json")["test"]["accuracy"] > 0.5


def test_a_teacher_reads_the_students_words_as_its_own(
    few: tuple[str, ...], run: Path, tmp_path: Path
) -> None:
    """Its outputs for the student's ids are those for the same texts by its own vocabulary."""
    student = make_run(tmp_path / "s", *few, "distill=soft_target", f"distill.teacher={run}")
    student.distiller.prepare(student.forward, student.data)
    (teacher,) = student.distiller.teachers  # pyright: ignore
    assert student.data.vocabulary != teacher.vocabulary
    ids = student.data.train.ids[:20].tolist()
    source = student.data.train.images
    assert isinstance(source, Texts)
    model = trainer.load(run)
    expected = model(model.preprocess([source.texts[i] for i in ids]))
    assert torch.allclose(teacher(source.read(ids)), expected, atol=1e-6)


def test_fine_tuning_keeps_the_sources_words(
    few: tuple[str, ...], run: Path, tmp_path: Path
) -> None:
    tuned = make_run(tmp_path / "f", *few, f"finetune.source={run}")
    assert tuned.data.vocabulary == tuple(read_json(run / "data.json")["vocabulary"])
    weights = trainer.load(run).network.state_dict()["vectors.weight"]
    assert torch.equal(tuned.model.state_dict()["vectors.weight"], weights)


def test_a_run_that_is_stopped_and_resumed_is_bit_identical(
    always: tuple[str, ...], tmp_path: Path
) -> None:
    parts = ("mining=selective_backprop", "mining.mode=two_pass", "model.dropout=0.5")
    model = ("model=text_cnn", "model.filters=4", "batch_size=8", "dataset.val_fraction=0.1")
    own = (*always, *model, *parts, "epochs=2")
    whole = fitted(tmp_path / "whole", *own)
    with pytest.raises(BaseException, match="stopped by signal"):
        fitted(tmp_path / "half", *own, stop_after=7)
    assert digest(fitted(tmp_path / "half", *own)) == digest(whole)


OF_TEXTS = {
    "augmentation": {
        *("none", "eda", "synonym_replacement"),
        *("random_insertion", "random_swap", "random_deletion"),
    },
    "mixer": {"none"},
    "model": {"text_cnn", "embedding_bag", "transformers"},
    "sampler": {*options("sampler")} - {"smote"},
}


@pytest.mark.parametrize("group", OF_TEXTS)
def test_options_say_what_they_are_for(group: str) -> None:
    """Presets of augmentation are lists of the others."""
    nodes = {
        each: yaml.safe_load((CONF / group / f"{each}.yaml").read_text()) for each in options(group)
    }
    kinds = {
        name: getattr(locate(node, group), "inputs", ("image",))
        for name, node in nodes.items()
        if "_target_" in node
    }
    assert {name for name, inputs in kinds.items() if "text" in inputs} == OF_TEXTS[group]


REFUSED = {
    "mixer=mixup": "mixer=mixup is not for texts; take mixer=none",
    "augmentation=[eda,light]": "augmentation=random_crop is not for texts; take augmentation=eda",
    "model=mlp": "model=mlp is not for texts; take model=text_cnn",
    "sampler=smote": "sampler=smote is not for texts; take sampler=oversample",
    "channels_last=true": "channels_last=true is for images, not for texts",
    "dataset.noise_type=instance": "dataset.noise_type=instance is for images",
}


@pytest.mark.parametrize(("setting", "line"), REFUSED.items(), ids=list(REFUSED))
def test_what_is_for_images_is_refused_in_one_line(
    setting: str, line: str, few: tuple[str, ...], tmp_path: Path, capsys
) -> None:
    replaced = [each for each in few if not each.startswith("model")] if "model" in setting else few
    assert do(tmp_path / "r", *replaced, setting) == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith(line)


@pytest.mark.parametrize("setting", ["model=text_cnn", "augmentation=eda"])
def test_what_is_for_texts_is_refused_on_images(setting: str, tmp_path: Path, capsys) -> None:
    assert do(tmp_path / "r", "quiet=true", "device=cpu", setting) == 2
    assert "is not for images; take" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (("job=export",), "job=export is for models of images"),
        (("job=evaluate", "job.tta=flip"), "job.tta=flip is for images, not for texts"),
        (("job=evaluate", "dataset=digits"), "was trained on texts, the data are images"),
    ],
)
def test_jobs_that_are_for_images_say_so(run: Path, job: Any, line: str, tmp_path: Path, capsys):
    assert do(tmp_path / "j", *job, f"run={run}", "quiet=true", "device=cpu") == 2
    assert line in capsys.readouterr().err


def test_previews_and_pictures_show_words(
    always: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: None
) -> None:
    assert do(tmp_path / "p", *always, "job=preview") == 0
    shown = rows_of(tmp_path / "p" / "inputs.csv")
    assert list(shown[0]) == ["text", "label", "id"]
    assert not (tmp_path / "p" / "inputs.png").exists()
    texts: dict[str, str] = {}

    def show(_: object, method: str, tag: str, value: Any, *rest: object, **named: object) -> None:
        if method == "text":
            texts[tag] = value

    monkeypatch.setattr("trainer.report.log.Log.show", show)
    assert do(tmp_path / "t", *always, "epochs=1") == 0
    assert texts["inputs"].count("\n1. ") == 31
    assert "| --- | --- | --- | --- |" in texts["examples/hardest"]


def test_a_damaged_record_is_refused(run: Path, tmp_path: Path) -> None:
    about = read_json(run / "data.json")
    for change in (
        {"vocabulary": ["a", "a"]},
        {"shape": [3, 4]},
        {"vocabulary": [1]},
        {"shape": [1, 8, 8], "mean": [0.5], "std": [0.5]},
    ):
        (tmp_path / "data.json").write_text(json.dumps(about | change))
        with pytest.raises(Exception, match="cannot be read"):
            TrainedOn.read(tmp_path)


def test_images_records_have_no_vocabulary(tmp_path: Path) -> None:
    data = make_run(tmp_path, "device=cpu").data
    assert "vocabulary" not in TrainedOn.of(data, tmp_path, data.class_counts()).record()
