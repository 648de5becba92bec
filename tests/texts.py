"""Short texts about three things, as a table; each has words of its own, and EDA synonyms."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import CONF, config_of

from trainer.cli import launch
from trainer.cli.execute import execute
from trainer.core.errors import TrainerError

ABOUT = {
    "animal": "animal fish bird dog horse insect tail wing fur snake",
    "food": "bread soup salt meat cheese taste sugar meal dish fruit",
    "place": "city river lake island country sea mountain coast town valley",
}
ANY = ["a", "the", "small", "large", "old", "of", "with", "in", "having", "used"]
GROUPS = ("dataset=text_csv", "model=embedding_bag")
ALWAYS = ("model.dimensions=8", "dataset.max_length=16", "device=cpu", "quiet=true")


def sentences(number: int) -> list[tuple[str, str]]:
    """Texts with their labels, cyclic: half of a text's words are about it."""
    rng, classes = random.Random(0), list(ABOUT)
    own = {name: words.split() for name, words in ABOUT.items()}

    def text(name: str) -> str:
        words = [rng.choice(pair) for _ in range(5) for pair in (ANY, own[name])]
        return " ".join(words[: rng.randint(5, 10)])

    return [(text(name), name) for name in (classes[i % 3] for i in range(number))]


def write_texts(
    path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = ("text", "label")
) -> Path:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def do(folder: Path, *overrides: str, **nodes: dict[str, Any]) -> int:
    """Run a job in this process; return its exit code, with errors on stderr.

    `nodes` are groups that are composed already.
    """
    try:
        return execute(config_of(*overrides) | nodes, folder, list(overrides), [str(CONF)])
    except TrainerError as error:
        return launch.report_error(error, overrides, debug=False)


def metrics(result: dict[str, Any]) -> list[float]:
    """The metrics of test in a result, those per class too."""
    return [value for value in result["test"].values() if isinstance(value, float)]
