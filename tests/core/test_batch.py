"""The kind of a target, told from its dtype and shape."""

import pytest
import torch

from trainer.core.batch import Target, target_kind

KINDS: list[tuple[Target, torch.dtype, tuple[int, ...]]] = [
    ("class", torch.int64, (5,)),
    ("multilabel", torch.bool, (5, 3)),
    ("mask", torch.uint8, (5, 4, 4)),
    ("vector", torch.float32, (5,)),
    ("vector", torch.float32, (5, 3)),
    ("image", torch.float32, (5, 1, 4, 4)),
    ("boxes", torch.float32, (5, 3, 5)),
]


@pytest.mark.parametrize(("kind", "dtype", "shape"), KINDS)
def test_the_kind_of_a_target(kind: Target, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    assert target_kind(torch.zeros(shape, dtype=dtype)) == kind


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_five_dimensions_are_no_target(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"labels must be classes, masks.*got torch"):
        target_kind(torch.zeros(1, 1, 1, 1, 1, dtype=dtype))


def test_integers_with_columns_are_no_multi_hot_labels() -> None:
    with pytest.raises(ValueError, match=r"or bool \[N, C\], got torch.int64 \[5, 3\]"):
        target_kind(torch.zeros(5, 3, dtype=torch.int64))
