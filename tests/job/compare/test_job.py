"""job=compare on trained runs: files, exit codes, messages."""

import json
from pathlib import Path

import pytest
from support import CONF, config_of, options, read_json, train

from trainer.cli.execute import execute
from trainer.core.errors import ConfigError, DataError
from trainer.job.compare.job import Compare

COSTS = ("epochs", "examples_seen", "backward_passes")  # the same in every run
FEW = ("epochs=1", "dataset.subset=60", "batch_size=30", "dataset.val_fraction=0.01")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two strategies, two seeds."""
    folder = tmp_path_factory.mktemp("sweep")
    for mining in ("none", "ohem"):
        for seed in (0, 1):
            assert train(folder / f"{mining}-{seed}", *FEW, f"mining={mining}", f"seed={seed}") == 0
    return folder


def compared(folder: Path, *overrides: str) -> int:
    arguments = ["job=compare", "quiet=true", "device=cpu", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


def test_a_sweep_is_compared_and_all_files_are_written(sweep: Path, tmp_path: Path) -> None:
    """With two seeds there is no verdict on whether a published difference was replicated."""
    assert compared(tmp_path / "c", f"runs={sweep}", "job.published=[-1,1]") == 0
    files = {path.name for path in (tmp_path / "c").iterdir()}
    assert files >= {"compare.md", "compare.csv", "compare.json", "compare.html", "runs.csv"}
    content = read_json(tmp_path / "c" / "compare.json")
    assert [one["label"] for one in content["groups"]] == ["mining=none", "mining=ohem"]
    assert [one["seeds"] for one in content["groups"]] == [[0, 1], [0, 1]]
    finals = [read_json(sweep / f"none-{s}" / "result.json")["test"]["accuracy"] for s in (0, 1)]
    assert content["tables"][0]["mean"] == pytest.approx(sum(finals) / 2)
    costs = [row["at_equal"] for row in content["tables"]]
    assert costs[:8] == [c for c in (None, *COSTS) for _ in range(2)]
    assert 1 <= costs.count("train_seconds") <= 2, "the slower may have none within"
    result = read_json(tmp_path / "c" / "result.json")
    assert result["verdicts"] == content["verdicts"]
    assert result["replicated"] == {"mining=ohem": None}
    assert "at least 3 seeds" in (tmp_path / "c" / "compare.md").read_text()
    html = (tmp_path / "c" / "compare.html").read_text()
    assert html.count('<img src="data:image/png;base64,') > 0, "thumbnails of disagreements"
    log = (tmp_path / "c" / "train.log").read_text()
    assert content["verdicts"][0] in log
    assert len(list((tmp_path / "c" / "tensorboard").iterdir())) == 4
    recalls = [
        read_json(sweep / f"ohem-{s}" / "result.json")["report"]["test"]["classes"] for s in (0, 1)
    ]
    lowest = min(sum(one[name]["recall"] for one in recalls) / 2 for name in recalls[0])
    (worst,) = (r for r in content["by_class"] if r["worst"] and r["group"] == "mining=ohem")
    assert worst["mean"] == pytest.approx(lowest)
    assert "│ mining=ohem │" in log.partition("and worst class with")[2]
    assert len((tmp_path / "c" / "by_class.csv").read_text().splitlines()) == 1 + 2 * 10


def test_validations_log_the_cost_so_far(sweep: Path) -> None:
    lines = [json.loads(t) for t in (sweep / "ohem-0" / "metrics.jsonl").read_text().splitlines()]
    (val,) = [line for line in lines if line["split"] == "val"]
    result = read_json(sweep / "ohem-0" / "result.json")
    for name in ("examples_seen", "forward_passes", "backward_passes"):
        assert val[name] == result[name]
    assert 0 < val["train_seconds"] <= result["train_seconds"]


def test_a_list_of_runs_with_settings_and_the_bootstrap(sweep: Path, tmp_path: Path) -> None:
    runs = f"runs=[{sweep}/none-0,{sweep}/ohem-0,{sweep}/ohem-1]"
    settings = ["job.metric=test/nll", "job.baseline='mining=ohem'", "compare=bootstrap"]
    assert compared(tmp_path / "c", runs, *settings, "job.examples=0") == 0
    content = read_json(tmp_path / "c" / "compare.json")
    assert (content["metric"], content["mode"]) == ("test/nll", "min")
    assert content["baseline"] == "mining=ohem"
    assert content["interval"]["method"].startswith("bootstrap")
    assert any("mining=none has one seed" in note for note in content["notes"])
    assert "predicted" not in (tmp_path / "c" / "compare.html").read_text()


@pytest.mark.parametrize("published", [[0.01], [0.02, 0.01], [0.1, 0.2, 0.3]])
def test_published_must_be_an_interval(published: list[float]) -> None:
    with pytest.raises(ValueError, match=r"job\.published=\[0"):
        Compare(published=published)


def test_without_the_data_set_there_are_no_images(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: object, seed: int) -> None:
        raise DataError("the disk is <gone>")

    monkeypatch.setattr("trainer.dataset.digits.Digits.open", gone)
    assert compared(tmp_path / "c", f"runs={sweep}") == 0
    html = (tmp_path / "c" / "compare.html").read_text()
    assert "images not shown: the disk is &lt;gone&gt;" in html
    assert "<img" not in html


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "runs must be given"),
        (("runs=SWEEP", "job.metric=test/acc"), "Did you mean test/accu"),
    ],
)
def test_a_mistake_is_reported_in_one_line(
    sweep: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: tuple[str, ...],
    message: str,
) -> None:
    arguments = [override.replace("SWEEP", str(sweep)) for override in overrides]
    assert compared(tmp_path / "c", *arguments) == ConfigError.exit_code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_unfinished_runs_alone_are_a_data_error(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text((sweep / "none-0" / "config.yaml").read_text())
    (folder / "status.json").write_text('{"state": "running"}')
    assert compared(tmp_path / "c", f"runs={tmp_path}/runs") == DataError.exit_code
    assert "no finished training run among 1" in capsys.readouterr().err


def test_the_intervals_are_anytime_bootstrap_and_t() -> None:
    assert options("compare") == ["anytime", "bootstrap", "t"]
