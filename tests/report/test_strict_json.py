"""JSON that any reader takes."""

import json

import numpy as np
import pytest

from trainer.report.strict_json import dumps, finite


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_what_is_not_finite_is_null_at_any_depth():
    value = {"a": float("nan"), "b": [1.5, float("inf"), {"c": (-float("inf"), 2, "NaN", True)}]}
    text = dumps(value, indent=2)
    assert json.loads(text, parse_constant=refuse) == {
        "a": None,
        "b": [1.5, None, {"c": [None, 2, "NaN", True]}],
    }
    assert finite(np.float64("nan")) is None


def test_it_is_what_json_writes_of_finite_values():
    value = {"a": [0.1, 1, None, "é"], "b": {"c": False}}
    assert dumps(value) == json.dumps(value)
    assert dumps(value, ensure_ascii=False) == json.dumps(value, ensure_ascii=False)


def test_other_objects_are_refused_as_json_does():
    with pytest.raises(TypeError, match="not JSON serializable"):
        dumps({"a": object()})
    assert dumps({"a": object()}, default=lambda _: "x") == '{"a": "x"}'
