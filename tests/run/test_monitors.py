"""What may be monitored is known before there is a metric."""

from pathlib import Path

import pytest
from support import make_run, train

from trainer.core.errors import ConfigError
from trainer.run.monitors import metric_names
from trainer.training.fit import by_split

TASKS = {
    "classification": ["model=mlp"],
    "segmentation": [
        "task=segmentation",
        "dataset=digits_canvas",
        "dataset.examples=40",
        "model=unet",
        "model.width=2",
        "batch_size=16",
    ],
    "regression": [
        "task=regression",
        "dataset=digits_canvas",
        "dataset.target=box",
        "dataset.digits=1",
        "dataset.examples=40",
        "loss=mse",
    ],
    "without val": ["model=mlp", "dataset.val_fraction=0"],
}


@pytest.mark.parametrize("overrides", TASKS.values(), ids=TASKS)
def test_the_names_are_those_of_an_epochs_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    from trainer.early_stopping.none import NoEarlyStopping

    seen: list[str] = []

    def update(_: NoEarlyStopping, metrics: dict[str, float]) -> bool:
        seen.extend(metrics)
        return True

    monkeypatch.setattr(NoEarlyStopping, "update", update)
    assert train(tmp_path / "run", *overrides, "epochs=1") == 0
    run = make_run(tmp_path / "r", *overrides)
    assert metric_names(run.task, run.data) == seen
    assert by_split("train", {"loss": 0.0}).keys() <= set(seen)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["checkpoint.monitor=val/acc"], "checkpoint.monitor=val/acc is not a metric of this "
         "run. Did you mean val/accuracy? Metrics: train/loss, "),
        (["checkpoint.monitor=val_loss"], "checkpoint.monitor=val_loss is not a metric of this "
         "run. Did you mean val/loss? "),
        (["checkpoint.monitor=train/acuracy"], "checkpoint.monitor=train/acuracy is not a metric "
         "of this run. Did you mean train/accuracy? "),
        (["early_stopping=patience", "early_stopping.monitor=val/iou"],
         "early_stopping.monitor=val/iou is not a metric of this run. "),
        (["schedule=plateau", "schedule.monitor=val/los"],
         "schedule.monitor=val/los is not a metric of this run. Did you mean val/loss? "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_an_unknown_one_is_refused_before_there_is_a_folder(
    tmp_path: Path, overrides: list[str], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        train(tmp_path / "run", *overrides)
    assert str(caught.value).startswith(said)
    assert not (tmp_path / "run").exists()


def test_without_val_what_the_best_are_chosen_by_is_not_asked_for(tmp_path: Path) -> None:
    run = make_run(tmp_path, "checkpoint.monitor=val/x", "dataset.val_fraction=0")
    run.validate()
    assert not any(name.startswith("val/") for name in metric_names(run.task, run.data))
