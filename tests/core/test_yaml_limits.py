from pathlib import Path

import pytest
import yaml

from trainer.core.errors import ConfigError
from trainer.core.yaml_limits import DEEPEST, check_folder, exceeded_limit


def bomb(levels: int) -> str:
    """Write a YAML text in which each level refers to the one before nine times."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(rows)


def nodes(value: object) -> int:
    """Count the nodes of a loaded document, aliases expanded."""
    if isinstance(value, dict):
        return 1 + sum(1 + nodes(item) for item in value.values())
    return 1 + sum(map(nodes, value)) if isinstance(value, list) else 1


def test_an_alias_counts_as_the_nodes_it_refers_to(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{bomb(3)}\nb: &b {{c: 1, d: [2, 3]}}\ne: [*b, *b]\n"
    count = nodes(yaml.safe_load(text))
    monkeypatch.setattr("trainer.core.yaml_limits.LARGEST", count)
    assert exceeded_limit(text) == ""
    monkeypatch.setattr("trainer.core.yaml_limits.LARGEST", count - 1)
    assert exceeded_limit(text) == f"its aliases expand to more than {count - 1:,} nodes"


def test_an_alias_bomb_and_deep_nesting_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "experiment" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(bomb(30))
    with pytest.raises(ConfigError, match=rf"{path}: its aliases expand to more than 100,000"):
        check_folder(tmp_path)
    path.write_text(f"a: {'[' * 100_000}")
    with pytest.raises(ConfigError, match=rf"{path}: nested more than {DEEPEST} deep"):
        check_folder(tmp_path)
    path.write_text("a: &a [*a]")
    with pytest.raises(ConfigError, match=rf"{path}: \*a is inside the node that it refers to"):
        check_folder(tmp_path)


@pytest.mark.parametrize("text", ["", "a: [1", "- !!python/object:os.x {}", "\0"])
def test_files_that_hydra_reports_itself_are_skipped(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    (tmp_path / "y.yaml").write_bytes(b"\xff\xfe")
    for folder in (tmp_path, tmp_path / "absent"):
        assert check_folder(folder) is None
