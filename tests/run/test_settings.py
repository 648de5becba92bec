"""Which settings stand for a run."""

from support import config_of

from trainer.run.settings import on_the_line

LINE = ["mining=ohem", "optimizer.lr=0.5", "epochs=3", "++mining.keep=0.25"]


def test_options_are_named_as_typed_and_settings_have_their_values() -> None:
    config = config_of("mining=ohem", "optimizer.lr=0.5", "epochs=3", "mining.keep=0.25")
    every = {"mining": "ohem", "optimizer.lr": 0.5, "epochs": 3, "mining.keep": 0.25}
    assert on_the_line(config, LINE, []) == every
    assert on_the_line(config, LINE, ["mining", "optimizer.lr"]) == {
        "mining": "ohem",
        "optimizer.lr": 0.5,
    }
