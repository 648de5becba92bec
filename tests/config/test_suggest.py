import pytest
from trainer.core.suggest import suggest

KNOWN = [
    "loss",
    "loss.gamma",
    "loss.label_smoothing",
    "optimizer.lr",
    "optimizer.weight_decay",
    "epochs",
    "batch_size",
    "checkpoint.keep",
    "checkpoint.every",
    "log.every",
    "mining.keep",
    "model.padding",
    "hydra.run.dir",
    "hydra.job.name",
]


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("loss.gama", ["loss.gamma"]),
        ("loss.lable_smoothing", ["loss.label_smoothing"]),
        ("lr", ["optimizer.lr"]),
        ("LR", ["optimizer.lr"]),
        ("loss.lr", ["optimizer.lr"]),
        ("learning-rate", ["optimizer.lr"]),
        ("optimizer.wd", ["optimizer.weight_decay"]),
        ("Batch-Size", ["batch_size"]),
        ("bs", ["batch_size"]),
        ("keep", ["checkpoint.keep", "mining.keep"]),
        ("mining.kep", ["mining.keep"]),
        ("log.evry", ["log.every"]),
        ("every", ["checkpoint.every", "log.every"]),
        ("hydra.run.dr", ["hydra.run.dir"]),
        ("dir", []),
        ("loss.bar", []),
        ("zzz", []),
    ],
)
def test_the_nearest_names(word: str, nearest: list[str]) -> None:
    assert suggest(word, KNOWN) == nearest


def test_nothing_is_near_where_nothing_is_known() -> None:
    assert suggest("lr", []) == []
