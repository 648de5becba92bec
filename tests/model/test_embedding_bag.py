"""The mean of word vectors."""

import pytest
import torch

from trainer.model.embedding_bag import EmbeddingBag


def test_it_is_a_linear_layer_on_the_mean_of_the_words() -> None:
    torch.manual_seed(0)
    model = EmbeddingBag(words=9, outputs=2, dimensions=4)
    ids = torch.tensor([[3, 4, 3, 0], [0, 0, 0, 0]], dtype=torch.int32)
    vectors = model.vectors.weight
    mean = torch.stack([(2 * vectors[3] + vectors[4]) / 3, torch.zeros(4)])
    assert torch.allclose(model(ids), mean @ model.fc.weight.T + model.fc.bias, atol=1e-6)
    bag = torch.nn.functional.embedding_bag(ids, vectors, mode="mean", padding_idx=0)
    assert torch.allclose(bag, mean)


def test_padding_learns_nothing() -> None:
    model = EmbeddingBag(words=9, outputs=2, dimensions=4)
    model(torch.tensor([[3, 0, 0]], dtype=torch.int32)).sum().backward()
    assert model.vectors.weight.grad is not None
    assert model.vectors.weight.grad.any(1).tolist() == [i == 3 for i in range(9)]


@pytest.mark.parametrize(("setting", "value"), [("dimensions", 0), ("dropout", 1.0)])
def test_bad_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"model\.{setting} must be in"):
        EmbeddingBag(words=9, outputs=2, **{setting: value})  # pyright: ignore
