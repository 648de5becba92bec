"""The four operations on words: what each changes, and what it leaves."""

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.augmentation.shared.synonyms import Array, SynonymIds
from trainer.augmentation.shared.word_edits import OPERATIONS, Operation, Words
from trainer.core.seed import ExampleRandom

ROWS = 4000
VOCABULARY = tuple("abcdefgxyz")  # ids 2 to 11
A, B, C, D, E, X, Y, Z = 2, 3, 4, 5, 6, 9, 10, 11
SYNONYMS: Mapping[str, list[str]] = {"a": ["x", "y"], "c": ["z"]}
TEXT = [A, B, C, D, E]
WIDTH = 9

Apply = Callable[..., Tensor]


def edited(name: Operation, given: Sequence[Array], alpha: float, xp: ModuleType) -> Array:
    """The words as an operation leaves them, by NumPy, or by torch as on a GPU."""
    ids, length, number, each, once, *changes, rows, places = given
    table = SynonymIds(SYNONYMS, VOCABULARY)
    if xp is torch:
        table.become_tensors(torch.device("cpu"))
    words = Words(ids, length, number, each, once, changes, rows, places, alpha, table)
    return OPERATIONS[name](words)


@pytest.fixture
def apply() -> Apply:
    """A function that applies an operation to copies of a text."""

    def made(
        name: Operation, text: list[int] = TEXT, *, number: int = 1, alpha: float = 0.1
    ) -> Tensor:
        ids = torch.zeros(ROWS, WIDTH, dtype=torch.int32)
        ids[:, : len(text)] = torch.tensor(text, dtype=torch.int32)
        draws = ExampleRandom(0, 0, torch.arange(ROWS))
        given = [
            ids,
            (ids != 0).sum(1, keepdim=True),
            torch.full((ROWS, 1), number),
            *(draws.uniforms(n) for n in (WIDTH, 1, number, number, number)),
            torch.arange(ROWS)[:, None],
            torch.arange(WIDTH),
        ]
        out = edited(name, [each.numpy() for each in given], alpha, np)
        assert torch.equal(torch.from_numpy(out), edited(name, given, alpha, torch))
        out = torch.from_numpy(out)
        assert (out.dtype, out.shape) == (torch.int32, ids.shape)
        padded = out == 0
        assert (padded.int().diff(dim=1) >= 0).all(), "padding is behind the words"
        return out

    return made


def shares(values: Tensor) -> list[float]:
    """How often each value occurs, of all."""
    return (values.bincount().float() / len(values)).tolist()


def test_exactly_one_word_is_replaced_by_one_of_its_own_synonyms(apply: Apply) -> None:
    out = apply("replace")
    changed = out[:, :5] != torch.tensor(TEXT)
    assert (changed.sum(1) == 1).all()
    assert not changed[:, [1, 3, 4]].any()
    assert set(out[:, 0].tolist()) == {A, X, Y}
    assert set(out[:, 2].tolist()) == {C, Z}
    assert changed[:, 0].float().mean() == pytest.approx(0.5, abs=0.03)
    assert (out[:, 0] == X).float().mean() == pytest.approx(0.25, abs=0.03)


def test_a_word_that_stands_twice_is_replaced_in_one_place(apply: Apply) -> None:
    """The authors' code replaces both."""
    out = apply("replace", [C, C, B])
    assert ((out[:, :2] == Z).sum(1) == 1).all()
    both = apply("replace", [C, C, B], number=2)
    assert (both[:, :3] == torch.tensor([Z, Z, B])).all()


def test_more_words_than_have_synonyms_are_not_replaced(apply: Apply) -> None:
    out = apply("replace", number=4)
    assert ((out[:, :5] != torch.tensor(TEXT)).sum(1) == 2).all()
    assert (apply("replace", [B, D])[:, :2] == torch.tensor([B, D])).all()


def test_an_insertion_is_uniform_over_the_places(apply: Apply) -> None:
    """Length + 1 of them, the last one too; the other words keep their order."""
    out = apply("insert")
    assert ((out != 0).sum(1) == 6).all()
    new = (out == X) | (out == Y) | (out == Z)
    assert (new.sum(1) == 1).all()
    assert (out[:, :6][~new[:, :6]].view(ROWS, 5) == torch.tensor(TEXT)).all()
    assert shares(new.int().argmax(1)) == pytest.approx([1 / 6] * 6, abs=0.02)
    inserted = out[new]
    assert (inserted == Z).float().mean() == pytest.approx(0.5, abs=0.03)


def test_nothing_is_inserted_without_synonyms_and_a_full_row_loses_its_end(apply: Apply) -> None:
    assert ((apply("insert", [B, D]) != 0).sum(1) == 2).all()
    full = [A, *[B] * 7, D]
    out = apply("insert", full, number=2)
    assert ((out != 0).all(1)).all()
    new = (out == X) | (out == Y)
    ends = new.sum(1)
    assert set(ends.tolist()) <= {0, 1, 2}
    assert (ends == 2).float().mean() > 0.5
    assert ((out == D).sum(1) == (ends == 0)).all()  # the last word is the first to be cut off


def test_a_swap_changes_two_places_and_keeps_the_words(apply: Apply) -> None:
    out = apply("swap")
    changed = out[:, :5] != torch.tensor(TEXT)
    assert (changed.sum(1) == 2).all()
    assert (out.sort(1).values == apply("swap").sort(1).values).all()
    assert (out[:, :5].sort(1).values == torch.tensor(sorted(TEXT))).all()
    assert changed.float().mean(0).tolist() == pytest.approx([0.4] * 5, abs=0.03)
    several = apply("swap", number=3)
    assert (several[:, :5].sort(1).values == torch.tensor(sorted(TEXT))).all()
    assert ((several[:, :5] != torch.tensor(TEXT)).sum(1) > 2).any()


def test_deletion_is_binomial_and_never_leaves_nothing(apply: Apply) -> None:
    out = apply("delete", alpha=0.5)
    left = (out != 0).sum(1)
    binomial = [1 / 32 * n for n in (0, 1 + 5, 10, 10, 5, 1)]  # of none, one is spared
    assert shares(left) == pytest.approx(binomial, abs=0.025)
    for row in out[:200].tolist():
        words = [word for word in row if word]
        assert words == [word for word in TEXT if word in words]
    spared = apply("delete", alpha=1.0)
    assert ((spared != 0).sum(1) == 1).all()
    assert shares(spared[:, 0] - 2) == pytest.approx([0.2] * 5, abs=0.03)
