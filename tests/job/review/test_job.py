"""job=review on a real run: the cards, their images, and that the corrections apply."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import CONF, config_of, read_json, train

from trainer import history
from trainer.cli.execute import execute
from trainer.core.errors import ConfigError
from trainer.dataset.digits import Digits
from trainer.dataset.shared.image_files import ImageFiles
from trainer.dataset.shared.split import Pixels
from trainer.dataset.shared.texts import Texts
from trainer.job.review.images import LARGEST, data_uris, fitting, texts_of
from trainer.job.review.job import classes_of
from trainer.report.csv_file import write_csv


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits of which a fifth of the training labels are wrong."""
    folder = tmp_path_factory.mktemp("runs") / "noisy"
    assert train(folder, "dataset.label_noise=0.2", "dataset.subset=500", "epochs=4") == 0
    return folder


def run_job(folder: Path, *overrides: str) -> int:
    arguments = ["job=review", "quiet=true", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


def review(folder: Path, *overrides: str) -> dict[str, Any]:
    """Run the job and return what its page holds."""
    assert run_job(folder, *overrides) == 0
    text = (folder / "review.html").read_text(encoding="utf-8")
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


def test_the_cards_are_the_most_suspect_labels(noisy: Path, tmp_path: Path) -> None:
    shown = review(tmp_path / "r", f"run={noisy}", "job.number=40")
    store = history.open(noisy)
    assert store.labels is not None
    assert store.true_labels is not None
    assert shown["classes"] == list("0123456789")
    assert read_json(tmp_path / "r" / "result.json")["cards"] == len(shown["cards"]) == 40
    right = 0
    for card in shown["cards"]:
        assert card["label"] == str(store.labels[card["id"]])
        assert card["suggested"] != card["label"]
        right += card["suggested"] == str(store.true_labels[card["id"]])
        assert len(card["neighbours"]) == 3
        for near in card["neighbours"]:
            assert near["label"] == str(store.labels[near["id"]])
            assert near["id"] in store.ids
            assert near["id"] != card["id"]
            assert str(near["id"]) in shown["images"]
    assert right > 20  # measured: 34
    rows = [(c["id"], c["suggested"], "relabel") for c in shown["cards"]]
    write_csv(tmp_path / "corrections.csv", [("id", "label", "action"), *rows])
    corrected = tmp_path / "corrected"
    settings = (f"dataset.corrections={tmp_path / 'corrections.csv'}", "epochs=1")
    assert train(corrected, "dataset.label_noise=0.2", "dataset.subset=500", *settings) == 0
    labels = history.open(corrected).labels
    assert labels is not None
    assert [str(labels[c["id"]]) for c in shown["cards"]] == [row[1] for row in rows]


def test_other_tasks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    multi = ("dataset=digits_canvas", "dataset.target=labels", "task=multilabel", "loss=bce")
    assert train(tmp_path / "m", *multi, "dataset.examples=40", "epochs=1") == 0
    assert run_job(tmp_path / "r", f"run={tmp_path / 'm'}") == 2
    assert "job=review needs one class per image" in capsys.readouterr().err


def opened(uri: str) -> Image.Image:
    head, data = uri.split(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_files_are_shown_upright_and_larger_than_the_model_sees_them(tmp_path: Path) -> None:
    wide = Image.fromarray(np.zeros((200, 1000, 3), np.uint8))
    exif = wide.getexif()
    exif[274] = 6  # to be turned by 90 degrees
    wide.save(tmp_path / "a.jpg", exif=exif)
    images = ImageFiles([tmp_path / "a.jpg"], (32, 32), 3)
    assert opened(data_uris(images, [0])[0]).size == (64, 320)


def test_small_images_are_exact() -> None:
    pixels = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    uris = data_uris(Pixels(pixels), [1, 1])
    assert list(uris) == [1]
    assert (np.asarray(opened(uris[1])) == pixels[1, 0].numpy()).all()


def test_the_threshold_class_is_no_label_to_choose() -> None:
    data = Digits(threshold_class=True).open(0)
    assert data.classes[-1] == "threshold"
    assert classes_of(data) == list("0123456789")


def test_more_images_than_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.job.review.images.LARGEST", 100)
    pixels = Pixels(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ConfigError, match=r"2 images of 64 pixels .*; lower job.number or"):
        data_uris(pixels, [0, 1])


def test_of_long_texts_the_beginning_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.job.review.images.LARGEST", 240)
    shown = texts_of(Texts(["\U0001f600" * 10, "\U0001f600" * 11], 1), [0, 1, 1])
    assert shown == {0: "\U0001f600" * 10, 1: "\U0001f600" * 9 + "…"}
    assert len(json.dumps([*shown.values()])) <= 240 + len('["", ""]')


def test_images_are_as_large_as_fits() -> None:
    assert fitting([1, 2], lambda _: "x" * (LARGEST // 2)) != {}
    assert fitting([1, 2, 3], lambda _: "x" * (LARGEST // 2)) == {}
