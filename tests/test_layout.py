"""The four laws of the layout, checked in the code; trainer/README.md has a table of the floors."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each room imports only rooms on lower floors. Those of one floor do not import each other.
FLOORS = [
    {"core"},
    {"report", "config", "dataset", "init", "early_stopping", "warmup", "compare"},
    {"storage", "task", "loss", "loader", "augmentation", "schedule"},
    {"history", "model", "mixer", "mining"},
    {"optimizer", "sampler", "distill"},
    {"training"},
    {"distributed", "postprocess"},
    {"run"},
    {"trained"},
    {"job", "cli"},
    {"sweep"},
    {"__main__"},
]
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
READ_THE_CONFIG = {"cli", "config", "sweep", "run", "__main__"}
CONTRACT = {"base", "__init__"}


@cache
def modules() -> dict[str, ast.Module]:
    """Parse every module of the package, by dotted name; `__init__` goes by its package's."""
    paths = sorted((ROOT / "trainer").rglob("*.py"))
    names = (".".join(p.relative_to(ROOT).with_suffix("").parts) for p in paths)
    return {
        name.removesuffix(".__init__"): ast.parse(path.read_text())
        for name, path in zip(names, paths, strict=True)
    }


def imports_of(module: str) -> set[str]:
    """Return the modules that a module imports, also inside functions or under TYPE_CHECKING."""
    names = set()
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in modules() else node.module)
    return {name for name in names if name in modules() and name != module}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "trainer"


@cache
def groups() -> list[str]:
    """The config groups that have a package."""
    folders = (path.name for path in (ROOT / "conf").iterdir() if path.is_dir())
    return sorted(
        name for name in folders if name != "sweep" and (ROOT / "trainer" / name).is_dir()
    )


def test_rooms_import_only_lower_floors() -> None:
    upward = [
        f"{module} -> {target}"
        for module in modules()
        for target in imports_of(module)
        if "trainer" not in (room_of(module), room_of(target))
        and room_of(module) != room_of(target)
        and FLOOR[room_of(module)] <= FLOOR[room_of(target)]
    ]
    assert not upward, "\n".join(sorted(upward))


@pytest.mark.parametrize("group", groups())
def test_in_a_group_a_file_is_an_option(group: str) -> None:
    options = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
    code = ROOT / "trainer" / group
    files = {path.stem for path in code.glob("*.py")} - CONTRACT
    folders = {path.name for path in code.iterdir() if (path / "__init__.py").is_file()}
    assert {name.rstrip("_") for name in files} | folders - {"shared"} <= options


def test_imports_have_no_cycles() -> None:
    state: dict[str, str] = defaultdict(str)
    cycles = []

    def visit(module: str, trail: list[str]) -> None:
        if state[module] == "open":
            cycles.append(" -> ".join([*trail[trail.index(module) :], module]))
        if state[module]:
            return
        state[module] = "open"
        for target in sorted(imports_of(module)):
            visit(target, [*trail, module])
        state[module] = "done"

    for module in modules():
        visit(module, [])
    assert not cycles, "\n".join(cycles)


def test_only_cli_config_run_and_sweep_index_the_config() -> None:
    places = [
        f"{module}:{node.lineno}"
        for module, tree in modules().items()
        if room_of(module) not in READ_THE_CONFIG
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and ast.unparse(node.value).rpartition(".")[2] in ("config", "settings")
    ]
    assert not places, "\n".join(places)


def test_the_top_level_has_few_entries() -> None:
    entries = {path.name for path in (ROOT / "trainer").iterdir()}
    assert len(entries - {"README.md", "__pycache__"}) <= 31


def test_no_function_is_longer_than_45_lines() -> None:
    long = [
        f"{module}:{node.lineno} {node.name}: {length} lines"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := node.end_lineno - node.lineno + 1) > 45  # pyright: ignore
    ]
    assert not long, "\n".join(long)
