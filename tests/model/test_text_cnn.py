"""Convolutions over words."""

import pytest
import torch
import torch.nn.functional as F

from trainer.model.text_cnn import TextCnn


@pytest.fixture(scope="module")
def model() -> TextCnn:
    torch.manual_seed(0)
    return TextCnn(words=20, outputs=3, dimensions=6, filters=4, widths=[2, 3]).eval()


def test_by_a_loop_over_windows(model: TextCnn) -> None:
    """Of each window with a word in it: ReLU of its vectors times the filter; then the largest."""
    ids = torch.tensor([[4, 7, 5, 0, 0], [3, 0, 0, 0, 0]], dtype=torch.int32)
    rows = []
    for text in ([4, 7, 5], [3]):
        features = []
        for layer, width in zip(model.convolutions, (2, 3), strict=True):
            padded = F.pad(model.vectors.weight[text], (0, 0, width - 1, width - 1))
            windows = padded.unfold(0, width, 1)  # [W, D, width]
            maps = torch.einsum("wdk,fdk->wf", windows, layer.weight) + layer.bias
            features.append(maps.relu().amax(0))
        rows.append(model.fc(torch.cat(features)))
    assert torch.allclose(model(ids), torch.stack(rows), atol=1e-6)


def test_outputs_do_not_depend_on_padding(model: TextCnn) -> None:
    """Nor do those of an empty text, which has none but padding."""
    ids = torch.tensor([[4, 7, 5], [3, 0, 0], [0, 0, 0]], dtype=torch.int32)
    longer = torch.tensor([[9] * 30], dtype=torch.int32)
    wide = torch.cat([F.pad(ids, (0, 27)), longer])
    assert torch.allclose(model(wide)[:3], model(ids), atol=1e-6)
    assert model(ids[2:]).isfinite().all()


def test_number_of_parameters() -> None:
    model = TextCnn(words=50, outputs=3)
    own = 50 * 100 + 100 * 100 * (3 + 4 + 5) + 300 + 300 * 3 + 3
    assert sum(p.numel() for p in model.parameters()) == own
    assert not model.vectors.weight[0].any()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("dimensions", 0), ("filters", 0), ("widths", [3, 0]), ("widths", []), ("dropout", 1.0)],
)
def test_bad_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"model\.{setting} must"):
        TextCnn(words=9, outputs=2, **{setting: value})  # pyright: ignore
