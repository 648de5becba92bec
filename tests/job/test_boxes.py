"""Every job on a run whose labels are boxes in image files."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import CONF, config_of, read_json, train

import trainer
from trainer.cli.execute import execute
from trainer.dataset.coco_folder import Labels
from trainer.dataset.digits_canvas import DigitsCanvas
from trainer.dataset.shared.letterbox import in_files
from trainer.storage import checkpoint

SIZES = ((48, 64), (64, 48), (32, 32))  # height and width of the files


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits on canvases of 64 x 64, cut to several sizes, in YOLO's layout."""
    folder = tmp_path_factory.mktemp("boxes")
    data = DigitsCanvas(target="boxes", size=32, digits=2, examples=30, test_fraction=0.0).open(0)
    (folder / "data.yaml").write_text(f"names: {list(data.classes)}")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for i, boxes in enumerate(data.train.labels.tolist()):
        height, width = SIZES[i % 3]
        canvas = np.zeros((height, width), np.uint8)
        canvas[:32, :32] = data.train.images.read([i])[0, 0]
        Image.fromarray(canvas).save(folder / "images" / f"{i:02}.png")
        rows = [
            f"{k - 1:g} {(x0 + x1) / 2 / width} {(y0 + y1) / 2 / height} {(x1 - x0) / width} "
            f"{(y1 - y0) / height}\n"
            for k, x0, y0, x1, y1 in boxes
            if k
        ]
        (folder / "labels" / f"{i:02}.txt").write_text("".join(rows))
    return folder


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = ("dataset=yolo_folder", f"dataset.root={root}", "dataset.size=64", "model=ssd")
    more = ("dataset.channels=1", "dataset.cache=null", "batch_size=8", "loader.workers=0")
    assert train(folder, *settings, *more, "mining=hard_negative") == 0
    return folder


def run(job: str, folder: Path, trained: Path, *overrides: str) -> Path:
    arguments = [f"job={job}", f"run={trained}", "device=cpu", "quiet=true", *overrides]
    assert execute(config_of(*arguments), folder, arguments, [str(CONF)]) == 0
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_reports_average_precision_and_draws_what_it_finds(trained: Path) -> None:
    result = read_json(trained / "result.json")
    assert {"map", "map_50", "map_75", "map_small", "mar_100"} <= result["test"].keys()
    assert result["test"]["map_large"] is None  # there are no large boxes
    by_class = result["report"]["test"]["classes"]
    assert by_class.keys() == set("0123456789")
    counted = [own["ap"] for own in by_class.values() if own["objects"]]
    assert result["test"]["map"] == pytest.approx(sum(counted) / len(counted))
    for name in ("detections", "precision_recall"):
        with Image.open(trained / f"{name}.png") as picture:
            assert picture.width > 500
    assert read_json(trained / "data.json")["fit"] == "pad"
    events = (trained / "metrics.jsonl").read_text()
    assert '"map"' in events
    state = checkpoint.latest(trained / "checkpoints", pytest.fail)
    assert state is not None
    assert state.config["checkpoint"]["monitor"] == "val/map"


def test_evaluation_has_a_table_by_class_and_pictures(trained: Path, tmp_path: Path) -> None:
    folder = run("evaluate", tmp_path / "e", trained)
    mine, theirs = (read_json(f / "result.json")["test"] for f in (folder, trained))
    assert mine == pytest.approx(theirs, nan_ok=True)
    assert list(rows(folder / "classes.csv")[0]) == [
        *("class", "objects", "ap", "ap_50", "ap_75", "ar_100")
    ]
    assert {"detections.png", "precision_recall.png"} <= {p.name for p in folder.iterdir()}


def test_predictions_are_in_pixels_of_the_files(root: Path, trained: Path, tmp_path: Path) -> None:
    """The table and the JSON say the same; the JSON is one that dataset=coco_folder reads."""
    folder = run("predict", tmp_path / "p", trained, "split=val")
    table, content = rows(folder / "predictions.csv"), read_json(folder / "predictions.json")
    assert len(table) == len(content["annotations"]) > 0
    sizes = {each["id"]: (each["width"], each["height"]) for each in content["images"]}
    for row, each in zip(table, content["annotations"], strict=True):
        x0, y0, x1, y1 = (float(row[name]) for name in ("x0", "y0", "x1", "y1"))
        assert each["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1e-3)
        assert int(row["id"]) == each["image_id"]
        assert row["class"] == content["categories"][each["category_id"] - 1]["name"]
        width, height = sizes[each["image_id"]]
        assert 0 <= x0 <= x1 <= width
        assert 0 <= y0 <= y1 <= height
    for image in content["images"]:
        with Image.open(image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
    read = Labels(folder / "predictions.json")
    assert sum(map(len, read.boxes.values())) == len(table)


def test_edges_in_files_are_those_before_the_letterbox() -> None:
    """A file of 40 x 80 is halved to 20 x 40 and lies 10 rows down."""
    boxes = np.array([[[5.0, 12, 15, 20], [0, 0, 40, 40]]])
    got = in_files(boxes, np.array([[40, 80]]), (40, 40), "pad")
    assert got.tolist() == [[[10, 4, 30, 20], [0, 0, 80, 40]]]


def test_examples_lists_images_objects_and_suspects(trained: Path, tmp_path: Path) -> None:
    """Objects are ranked by their records over the epochs; what the model finds stands beside."""
    folder = run("examples", tmp_path / "x", trained, "job.rows=10")
    objects = rows(folder / "objects.csv")
    assert len(objects) == 10
    losses = [float(row["last_loss"]) for row in objects]
    assert losses == sorted(losses, reverse=True)
    assert all(Path(row["path"]).is_file() for row in objects)
    store = trainer.history.open(trained)
    for row in objects:
        own = store.objects["object_loss"][:, int(row["id"]), int(row["box"])]
        assert float(row["last_loss"]) == pytest.approx(np.nanmean(own.astype(float)), abs=1e-3)
        assert 0 <= float(row["score"]) <= 1
        assert row["lately"] in ("right", "wrong")
    for row in rows(folder / "forgotten.csv"):
        assert int(row["forgotten"]) > 0
    assert (folder / "suspects.csv").is_file()
    assert {"hardest.png", "objects.png", "hardest.csv"} <= {p.name for p in folder.iterdir()}
    found = read_json(folder / "result.json")["boxes"]
    assert found["objects"] == 10
    assert found["forgotten"] >= found["lost"] >= 0


def test_without_a_checkpoint_objects_are_ranked_and_none_suspect(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    folder = run("examples", tmp_path / "x", tmp_path / "run", "job.duplicates=false")
    objects = rows(folder / "objects.csv")
    assert objects
    assert "score" not in objects[0]
    assert not (folder / "suspects.csv").exists()
    assert read_json(folder / "result.json")["boxes"]["suspects"] is None


@pytest.mark.parametrize("arguments", [("job=evaluate",), ("job=predict", "source={root}")])
def test_views_are_refused(
    root: Path,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    named = [each.format(root=root / "images") for each in arguments]
    named += [f"run={trained}", "job.tta=[flip,shift]", "device=cpu", "quiet=true"]
    assert execute(config_of(*named), tmp_path / "e", named, [str(CONF)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("job.tta=[flip,shift] averages class probabilities, which boxes labels")
    assert "leave it out" in error


@pytest.mark.parametrize("setting", ["job.by=aum", "job.window=[0.5,1]", "job.cutoff=5%"])
def test_scores_of_classes_are_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    assert train(tmp_path / "out", "job=examples", f"run={trained}", setting) == 2
    assert setting.partition("=")[0] in capsys.readouterr().err


def test_a_preview_draws_the_boxes(root: Path, tmp_path: Path) -> None:
    settings = ("job=preview", "dataset=yolo_folder", f"dataset.root={root}", "dataset.size=64")
    more = ("dataset.cache=null", "model=ssd", "augmentation=[horizontal_flip]", "device=cpu")
    arguments = [*settings, *more, "quiet=true"]
    assert execute(config_of(*arguments), tmp_path / "v", arguments, [str(CONF)]) == 0
    with Image.open(tmp_path / "v" / "inputs.png") as picture:
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (colours == [60, 200, 60]).all(1).any()
    table = rows(tmp_path / "v" / "classes.csv")
    assert [row["class"] for row in table] == list("0123456789")
    boxes = sum(int(row["boxes"]) for row in table)
    assert boxes == sum(float(row["boxes in an epoch"]) for row in table) > 0


def test_boxes_in_files_without_labels(root: Path, trained: Path, tmp_path: Path) -> None:
    """They are those of the library, and those that the run finds in the same files as a split."""
    source = tmp_path / "new"
    source.mkdir()
    for i in range(3):
        shutil.copy(root / "images" / f"{i:02}.png", source)
    folder = run("predict", tmp_path / "f", trained, f"source={source}")
    table = rows(folder / "predictions.csv")
    assert (folder / "predictions.png").is_file()
    assert len(read_json(folder / "predictions.json")["annotations"]) == len(table)
    model = trainer.load(str(trained))
    for found in (model.predict(source / "00.png"), model.predict([source / "00.png"])[0]):
        own = [row for row in table if row["path"].endswith("00.png")]
        assert len(own) == len(found) > 0  # pyright: ignore
        for row, box in zip(own, found, strict=True):
            assert row["class"] == box.label  # pyright: ignore
            assert float(row["score"]) == pytest.approx(box.probability, abs=1e-4)  # pyright: ignore
            edges = [float(row[name]) for name in ("x0", "y0", "x1", "y1")]
            assert edges == pytest.approx(list(box.edges), abs=1e-2)  # pyright: ignore
