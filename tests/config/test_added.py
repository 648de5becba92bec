"""Settings that an option has been given since a run was made."""

from typing import Any

from trainer.config.added import with_defaults

OHEM = {"_target_": "trainer.mining.ohem.Ohem", "keep": 0.25}
CANVAS = {"_target_": "trainer.dataset.digits_canvas.DigitsCanvas", "size": 32}


def completed(before: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return with_defaults({"part": before}, {"part": before | settings})["part"]


def test_a_setting_at_its_default_is_no_change() -> None:
    assert completed(OHEM, per="auto") == OHEM | {"per": "auto"}
    assert completed(CANVAS, sides=[10, 18]) == CANVAS | {"sides": [10, 18]}  # a tuple in code


def test_another_value_and_an_unknown_setting_stay_missing() -> None:
    assert completed(OHEM, per="image", sharpness=2) == OHEM
    assert completed(CANVAS, clutter=2) == CANVAS


def test_another_option_is_not_completed() -> None:
    other = {"_target_": "trainer.mining.random.Random"}
    assert with_defaults({"mining": other}, {"mining": OHEM}) == {"mining": other}
    assert with_defaults({"ema": None}, {"ema": {"x": 1}, "seed": 0}) == {"ema": None}


def test_options_inside_options_are_completed() -> None:
    before, now = {"augmentation": {"a": OHEM}}, {"augmentation": {"a": OHEM | {"per": "auto"}}}
    assert with_defaults(before, now) == now
