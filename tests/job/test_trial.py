import pytest
from support import options, read_json, train

FAST = ("job=trial", "job.batches=5", "model=mlp")


def verdict(folder) -> tuple[str, dict[str, bool]]:
    result = read_json(folder / "result.json")
    return result["verdict"], {check["name"]: check["fine"] for check in result["checks"]}


@pytest.mark.parametrize("mining", sorted(set(options("mining")) - {"rho"}))
def test_a_sound_set_up_is_ready(tmp_path, mining):
    assert train(tmp_path / "t", *FAST, f"mining={mining}") == 0
    words, checks = verdict(tmp_path / "t")
    assert words == "ready to train", checks
    assert len(checks) == 5
    result = read_json(tmp_path / "t" / "result.json")
    assert result["total_seconds"] == pytest.approx(2 * result["epoch_seconds"])
    assert result["images_per_second"] > 0


def test_what_cannot_learn_is_not_ready(tmp_path):
    assert train(tmp_path / "t", *FAST, "init=zeros", "job.overfit_steps=50") == 0
    words, checks = verdict(tmp_path / "t")
    assert words == "not ready: gradients, overfits"
    assert checks["loss at start"]


def test_a_rate_too_large_is_not_ready(tmp_path):
    overrides = ["optimizer=sgd", "optimizer.lr=100", "nonfinite=skip", "max_skips=1000"]
    assert train(tmp_path / "t", *FAST, *overrides, "job.overfit_steps=50") == 0
    assert "overfits" in verdict(tmp_path / "t")[0]
