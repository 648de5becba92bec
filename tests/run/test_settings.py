"""Which settings stand for a run, and how they are written."""

import pytest
import yaml
from support import config_of

from trainer.run.run import yaml_of
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


@pytest.mark.parametrize(
    "text", ["plain", "café 漢字", "😀", "\udce9", "\U000e0001", "a: b\n- c", "word " * 60]
)
def test_libyamls_writer_changes_no_letter(text: str) -> None:
    config = {"run": text, "nested": {text: [1e-3, None, [text], {}]}}
    assert yaml_of(config) == yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
