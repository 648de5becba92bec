"""EDA, and its four operations as options of their own."""

import pytest
import torch
import yaml
from support import CONF
from torch import Tensor

from trainer.augmentation.eda import EVERY, Eda
from trainer.augmentation.random_deletion import RandomDeletion
from trainer.augmentation.random_swap import RandomSwap
from trainer.augmentation.shared.word_augmentation import WordAugmentation
from trainer.config.build import build
from trainer.core.seed import ExampleRandom
from trainer.dataset import Split
from trainer.dataset.shared.texts import Texts

OPTIONS = ("eda", "synonym_replacement", "random_insertion", "random_swap", "random_deletion")
WORDS = ("large", "small", "fish", "the", "tree", "house", "river", "person", "qqq")


@pytest.fixture(scope="module")
def split() -> Split:
    """Texts of 0 to 20 words."""
    texts = [" ".join(WORDS[(i + j) % len(WORDS)] for j in range(i % 21)) for i in range(400)]
    bare = Texts(texts, 24, WORDS)
    vocabulary = WORDS + Eda().words(WORDS)
    source = bare.encoded(vocabulary, 24)
    return Split(source, torch.zeros(400, dtype=torch.int64), torch.arange(400))


def made(name: str, split: Split, **settings: object) -> WordAugmentation:
    node = yaml.safe_load((CONF / "augmentation" / f"{name}.yaml").read_text()) | settings
    augmentation = build(node, f"augmentation.{name}", WordAugmentation)
    augmentation.prepare(split)
    return augmentation


def draws(first: int, last: int, epoch: int = 0) -> ExampleRandom:
    return ExampleRandom(1, epoch, torch.arange(first, last))


def ids_of(split: Split) -> Tensor:
    return split.images.read(range(400))


@pytest.mark.parametrize("name", OPTIONS)
def test_half_a_batch_equals_the_whole_batchs_half(name: str, split: Split) -> None:
    """Though the halves have texts of other lengths; and another epoch changes them anew."""
    augmentation, ids = made(name, split, alpha=0.3), ids_of(split)
    whole = augmentation(ids, draws(0, 400))
    assert torch.equal(augmentation(ids[:200], draws(0, 200)), whole[:200])
    assert torch.equal(augmentation(ids[7:9], draws(7, 9)), whole[7:9])
    assert not torch.equal(augmentation(ids, draws(0, 400, epoch=1)), whole)


@pytest.mark.parametrize("name", OPTIONS)
def test_padding_changes_nothing(name: str, split: Split) -> None:
    """Neither more columns, nor a path without trimming, as on a GPU."""
    augmentation, ids = made(name, split, alpha=0.3), ids_of(split)
    whole = augmentation(ids, draws(0, 400))
    wide = augmentation(torch.nn.functional.pad(ids, (0, 40)), draws(0, 400))
    fits = (whole != 0).sum(1) < 24  # others were cut at their end
    assert torch.equal(wide[fits, :24], whole[fits])
    assert not wide[fits, 24:].any()


@pytest.mark.parametrize("name", OPTIONS)
def test_texts_of_no_or_one_word_and_the_batch_itself_stay_as_they_are(
    name: str, split: Split
) -> None:
    augmentation, ids = made(name, split, probability=1.0), ids_of(split)
    before = ids.clone()
    out = augmentation(ids, draws(0, 400))
    assert torch.equal(ids, before)
    short = (ids != 0).sum(1) < 2
    assert torch.equal(out[short], ids[short])
    assert (out[~short] != ids[~short]).any(1).float().mean() > 0.6
    assert (out.dtype, out.shape) == (ids.dtype, ids.shape)


def test_the_probability_is_that_of_a_change(split: Split) -> None:
    ids = torch.arange(2, 8, dtype=torch.int32).expand(4000, 6)
    for probability in (0.0, 0.3):
        swap = RandomSwap(probability=probability)
        swap.prepare(split)
        changed = (swap(ids, draws(0, 4000)) != ids).any(1)
        assert changed.float().mean() == pytest.approx(probability, abs=0.03)


@pytest.mark.parametrize("operation", EVERY)
def test_operations_are_chosen_by_name(operation: str, split: Split) -> None:
    ids, own = ids_of(split)[40:41].expand(200, -1), made("eda", split, operations=[operation])
    grown = (own(ids, draws(0, 200)) != 0).sum(1) - (ids != 0).sum(1)
    signs = {"replace": {0}, "swap": {0}, "insert": {0, 1}, "delete": {-1, 0}}
    assert set(grown.sign().tolist()) == signs[operation]


def test_each_of_the_four_is_as_likely_as_another(split: Split) -> None:
    """Of 4 words, delete takes some; insert adds one; replace and swap keep the number."""
    ids = torch.tensor([[2, 3, 4, 6]], dtype=torch.int32).expand(8000, 4)
    ids = torch.nn.functional.pad(ids, (0, 8))
    out = made("eda", split, alpha=0.25, probability=1.0)(ids, draws(0, 8000))
    longer = ((out != 0).sum(1) > 4).float().mean()
    assert longer == pytest.approx(0.25, abs=0.02)
    kept = (out.sort(1).values == ids.sort(1).values).all(1) & (out != ids).any(1)
    assert kept.float().mean() == pytest.approx(0.25, abs=0.02)  # swap


def test_the_number_of_words_is_a_part_of_the_length_at_least_one(split: Split) -> None:
    swap = RandomSwap(alpha=0.7)
    swap.prepare(split)
    assert swap.table is not None
    ids = (torch.arange(24) < torch.tensor([[1], [10], [20]])).int()
    words, _, _ = swap.drawn(ids, draws(0, 3), swap.table)
    assert words.number.flatten().tolist() == [1, 7, 14]


def test_synonyms_that_the_texts_lack_become_words() -> None:
    assert "big" in Eda().words(["large"])
    assert RandomDeletion().words(["large"]) == ()
    assert Eda(operations=["swap", "delete"]).words(["large"]) == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.5}, r"augmentation\.eda\.alpha must be in \[0, 1\], got 1.5"),
        ({"probability": -1}, r"augmentation\.eda\.probability must be in \[0, 1\]"),
        ({"operations": []}, r"augmentation\.eda\.operations must list some of replace"),
        ({"operations": ["swap", "swap"]}, "each once, got"),
        ({"synonyms": "absent.txt"}, r"augmentation\.eda\.synonyms must be wordnet or a file"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Eda(**settings)  # pyright: ignore


def test_it_must_be_prepared() -> None:
    with pytest.raises(RuntimeError, match="prepare"):
        Eda()(torch.ones(2, 3, dtype=torch.int32), draws(0, 2))
