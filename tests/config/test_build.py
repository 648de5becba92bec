from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

from trainer.config.build import build, check_signature, conform, describe, fits, format_value
from trainer.core.errors import ConfigError

if TYPE_CHECKING:
    from collections import OrderedDict

Mode = Literal["add", "resample"]


class Thing:
    """A component with one setting of each type."""

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        hidden: list[int] | None = None,
        mode: Mode = "add",
        name: str = "x",
        nested: bool = False,
    ) -> None:
        if lr <= 0:
            raise ValueError(f"thing.lr must be in (0, inf), got {lr}")
        if nested:
            raise ValueError("something is wrong")
        self.settings = (shape, lr, betas, hidden, mode, name)


@dataclass(kw_only=True)
class Base:
    """The settings of a dataclass are its fields, inherited ones too."""

    keep: float = 0.5


@dataclass(kw_only=True)
class Kept(Base):
    """A dataclass that adds a field."""

    every: int = 1


class Holder:
    """A component that holds others by name."""

    def __init__(self, *, things: Mapping[str, Base], one: Base | None = None) -> None:
        self.things, self.one = things, one


def function(size: int, **others: Any) -> tuple[int, dict[str, Any]]:
    return size, others


def late(size: "int", other: "OrderedDict[str, int] | None" = None) -> int:
    """A function with an annotation that is imported for the type checker only."""
    return size


def node(target: str, /, **settings: Any) -> dict[str, Any]:
    return {"_target_": f"{__name__}.{target}", **settings}


def test_build_calls_the_target_with_settings_and_the_collaborators_it_asks_for() -> None:
    thing = build(
        node("Thing", lr=1, betas=[0, 0.5], hidden=[3]), "thing", object, shape=(2, 2), model=None
    )
    assert thing.settings == ((2, 2), 1.0, (0.0, 0.5), [3], "add", "x")
    assert type(thing.settings[1]) is float
    assert list(map(type, thing.settings[2])) == [float, float]


def test_build_builds_inner_nodes_first() -> None:
    holder = build(
        node("Holder", things={"a": node("Kept", keep=1)}, one=node("Base")), "holder", object
    )
    assert holder.things == {"a": Kept(keep=1.0)}
    assert holder.one == Base()


@pytest.mark.parametrize(
    ("things", "setting", "fragments"),
    [
        ({"a": node("Kept", kep=1)}, "holder.things.a.kep:", ["Kept", "Did you mean", ".keep?"]),
        ({"a": node("Kept", keep="x")}, "holder.things.a.keep ", ["a number", "got x"]),
        ({"a": 3}, "holder.things.a ", ["a Base", "got 3"]),
        ({"a": {"b": 3}}, "holder.things.a ", ["a Base", "got {'b': 3}"]),
        (3, "holder.things ", ["a mapping", "got 3"]),
    ],
)
def test_settings_of_inner_nodes_are_named(things: Any, setting: str, fragments: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        build(node("Holder", things=things), "holder", object)
    assert str(error.value).startswith(setting)
    assert all(fragment in str(error.value) for fragment in fragments)


def test_an_error_in_an_inner_node_names_its_full_setting() -> None:
    inner = node("Thing", shape=[1, 1], lr=-1)
    with pytest.raises(ConfigError) as error:
        build(node("Holder", things={"a": inner}), "thing", object)
    assert str(error.value).startswith("thing.things.a.lr ")
    assert "got -1.0" in str(error.value)


def test_build_takes_dataclasses_functions_and_any_keywords() -> None:
    assert build(node("Kept", keep=1, every=2), "mining", object) == Kept(keep=1.0, every=2)
    assert build(node("function", size=3, other=[1]), "f", object) == (3, {"other": [1]})
    assert build(node("late", size=3), "f", object) == 3


@pytest.mark.parametrize(
    ("settings", "setting", "fragments"),
    [
        ({"lrr": 1.0}, "lrr:", ["Did you mean thing.lr?"]),
        ({"shape": [1, 2], "lr": 1.0}, "shape:", ["no such setting"]),
        ({}, "lr ", ["must be given"]),
        ({"lr": "abc"}, "lr ", ["a number", "got abc"]),
        ({"lr": None}, "lr ", ["a number", "got null"]),
        ({"lr": True}, "lr ", ["a number", "got true"]),
        ({"lr": float("nan")}, "lr ", ["a number", "got nan"]),
        ({"lr": -1}, "lr ", ["(0, inf)", "got -1.0"]),
        ({"lr": 1, "betas": [0.9]}, "betas ", ["a list of 2 numbers", "got [0.9]"]),
        ({"lr": 1, "hidden": 64}, "hidden ", ["got 64", "Did you mean thing.hidden=[64]?"]),
        ({"lr": 1, "hidden": [1.5]}, "hidden ", ["a list of integers or null", "got [1.5]"]),
        ({"lr": 1, "mode": "resampel"}, "mode ", ["got resampel", "Did you mean resample?"]),
        ({"lr": 1, "mode": 1}, "mode ", ["add or resample", "got 1"]),
        ({"lr": 1, "name": None}, "name ", ["a string", "got null"]),
        ({"lr": 1, "name": ["x"]}, "name ", ["a string", "got [x]"]),
        ({"lr": 1, "nested": 1}, "nested ", ["true or false", "got 1"]),
    ],
)
def test_build_names_the_setting_and_the_value(
    settings: dict[str, Any], setting: str, fragments: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        build(node("Thing", **settings), "thing", object, shape=(2, 2))
    assert str(error.value).startswith(f"thing.{setting}")
    assert all(fragment in str(error.value) for fragment in fragments)


def test_an_error_of_a_constructor_is_given_the_name_of_its_group() -> None:
    with pytest.raises(ConfigError, match=r"^thing: something is wrong$"):
        build(node("Thing", lr=1, nested=True), "thing", object, shape=(2, 2))


@pytest.mark.parametrize(
    ("wrong", "setting", "fragment"),
    [
        (None, "thing ", "got null"),
        (3, "thing ", "got 3"),
        ({}, "thing._target_ ", "got null"),
        ({"_target_": "plain"}, "thing._target_ ", "got plain"),
        ({"_target_": "trainer.nope.X"}, "thing._target_=trainer.nope.X ", "imported"),
        ({"_target_": "trainer.loss.Nope"}, "thing._target_=trainer.loss.Nope ", "'Nope'"),
        ({"_target_": "math.pi"}, "thing._target_=math.pi ", "not callable"),
    ],
)
def test_build_names_a_target_that_cannot_be_imported(
    wrong: Any, setting: str, fragment: str
) -> None:
    with pytest.raises(ConfigError) as error:
        build(wrong, "thing", object)
    assert str(error.value).startswith(setting)
    assert fragment in str(error.value)


def test_build_names_a_package_that_is_not_installed(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more.py").write_text("import surely_not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    line = "needs the package surely_not_installed, which is not installed"
    with pytest.raises(ConfigError, match=line):
        build({"_target_": "needs_more.Thing"}, "thing", object)


def test_check_refuses_keys_and_types_without_building() -> None:
    check_signature(node("Thing", lr=-1.0), "thing", "shape")  # a range is for the constructor
    with pytest.raises(ConfigError, match=r"thing\.lr must be a number, got abc"):
        check_signature(node("Thing", lr="abc"), "thing", "shape")
    with pytest.raises(ConfigError, match=r"thing\.shape must be given"):
        check_signature(node("Thing", lr=1.0), "thing")


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, int, True),
        (3.0, int, False),
        (True, int, False),
        (3, float, True),
        (True, float, False),
        (float("inf"), float, True),
        (float("nan"), float, False),
        ("x", str, True),
        (2026, str, True),
        (True, str, False),
        (None, str, False),
        (None, str | None, True),
        (1, bool, False),
        ("a", Literal["a", 1], True),
        (True, Literal["a", 1], False),
        ([], list[int], True),
        ([1, None], list[int | None], True),
        ([1, "a"], list[int], False),
        ((1,), list[int], False),
        ("ab", list[str], False),
        ([1, 2], tuple[int, int], True),
        ([1, 2, 3], tuple[int, int], False),
        ([1, 2, 3], tuple[int, ...], True),
        ([], tuple[int, ...], True),
        ({"a": 1}, dict[str, int], True),
        ({"a": "b"}, dict[str, int], False),
        ([1], list, True),
        (object(), Any, True),
        (3, "a name", True),
    ],
)
def test_fits(value: Any, annotation: Any, expected: bool) -> None:
    assert fits(value, annotation) is expected


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, float, 3.0),
        (3, float | None, 3.0),
        (3, int | float, 3),
        (3, float | int, 3),
        (3.5, int | float, 3.5),
        (3, str, "3"),
        (3, str | int, 3),
        (3, str | float, 3.0),
        (3, str | None, "3"),
        ([1, 2], list[float], [1.0, 2.0]),
        ([1, 2], tuple[float, int], (1.0, 2)),
        ([[1], [2]], list[list[float]], [[1.0], [2.0]]),
        ("balanced", list[float] | Literal["balanced"] | None, "balanced"),
        ([1], list[float] | Literal["balanced"] | None, [1.0]),
        (None, list[float] | Literal["balanced"] | None, None),
    ],
)
def test_conform(value: Any, annotation: Any, expected: Any) -> None:
    converted = conform("x", value, annotation)
    assert converted == expected
    assert type(converted) is type(expected)
    if isinstance(expected, (list, tuple)):
        assert list(map(type, converted)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "an integer"),
        (float | None, "a number or null"),
        (bool, "true or false"),
        (Literal["a", "b", 1], "a, b or 1"),
        (list[float] | Mode | None, "a list of numbers, add or resample or null"),
        (list[str], "a list of strings"),
        (list[list[int]], "a list of values"),
        (tuple[int, int], "a list of 2 integers"),
        (tuple[float, ...], "a list of numbers"),
        (dict[str, int], "a mapping"),
    ],
)
def test_describe(annotation: Any, text: str) -> None:
    assert describe(annotation) == text


def test_values_are_formatted_as_they_are_typed() -> None:
    values = [None, True, False, 1, 1e-3, "abc", [0.9, None, [1]]]
    assert list(map(format_value, values)) == [
        "null", "true", "false", "1", "0.001", "abc", "[0.9,null,[1]]",
    ]  # fmt: skip
