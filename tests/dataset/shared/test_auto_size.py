"""What `dataset.size=auto` stands for."""

from pathlib import Path

import pytest
import yaml
from PIL import Image
from support import CONF, config_of, train

from trainer.cli.execute import execute
from trainer.core.errors import ConfigError, DataError
from trainer.dataset.shared import auto_size
from trainer.dataset.shared.auto_size import auto_side


def image(path: Path, width: int, height: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)
    return str(path)


def test_it_is_the_median_short_side(tmp_path: Path) -> None:
    sizes = [(300, 30), (20, 25), (40, 90), (50, 41), (10, 11)]
    paths = [image(tmp_path / f"{i}.png", *size) for i, size in enumerate(sizes)]
    assert auto_side(paths) == 30  # of 10 20 30 40 41
    assert auto_side(paths[:4]) == 30  # the lower of two
    assert auto_side([image(tmp_path / "large.png", 300, 390)]) == 224


def test_the_sample_is_spread_over_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def header(path: str, *, skip: bool) -> tuple[int, int]:
        read.append(path)
        return (8, 8) if skip else (1, 1)

    monkeypatch.setattr(auto_size, "header_size", header)
    assert auto_side([str(i) for i in range(1000)]) == 8
    assert read == [str(i) for i in range(0, 1000, 5)]


def test_only_headers_are_read(tmp_path: Path) -> None:
    path = Path(image(tmp_path / "x.png", 60, 50))
    path.write_bytes(path.read_bytes()[:-30])  # its pixels are missing
    assert auto_side([str(path)]) == 50


def test_unreadable_files_do_not_count(tmp_path: Path) -> None:
    damaged = tmp_path / "a.png"
    damaged.write_text("none")
    assert auto_side([str(damaged), image(tmp_path / "x.png", 6, 5)]) == 5
    with pytest.raises(DataError, match="none of the images can be read"):
        auto_side([str(damaged)])


def photos(root: Path, side: int = 9) -> Path:
    for name in ("a", "b"):
        for i in range(8):
            image(root / name / f"{i}.png", side + i, side + i)
    return root


def test_it_is_printed_and_resolved_in_the_config(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root, run = photos(tmp_path / "photos"), tmp_path / "run"
    data = ("dataset=image_folder", f"dataset.root={root}", "quiet=false", "epochs=1")
    assert train(run, *data) == 0
    assert "dataset.size=12 (auto, decided by the images)\n" in capfd.readouterr().out
    assert yaml.safe_load((run / "config.yaml").read_text())["dataset"]["size"] == 12
    photos(root, side=40)  # later, the photos are larger
    arguments = ["job=evaluate", f"run={run}"]
    assert execute(config_of(*arguments), tmp_path / "evaluated", arguments, [str(CONF)]) == 0
    with pytest.raises(ConfigError, match=r"dataset\.size: 12 → 43 differs from the run's"):
        train(run, *data, "resume=auto")
