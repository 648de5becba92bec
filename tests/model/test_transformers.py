"""Transformers on word ids; without the extra, what the tests need is skipped."""

from typing import Any

import pytest
import torch

from trainer.core.errors import CheckpointError
from trainer.model import transformers as module
from trainer.model.shared.head import head_of
from trainer.model.transformers import Transformers

SMALL = {"dim": 8, "hidden_dim": 16, "n_layers": 1, "n_heads": 2}
BERT = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def made(name: str = "distilbert", **settings: Any) -> Transformers:
    pytest.importorskip("transformers", reason="the extra text is not installed")
    torch.manual_seed(0)
    settings = {"arguments": SMALL if name == "distilbert" else BERT, **settings}
    return Transformers(shape=(12,), words=30, outputs=3, name=name, **settings).eval()


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"model=transformers needs the text extra: pip install"):
        Transformers(shape=(12,), words=30, outputs=3)


@pytest.mark.parametrize("name", ["distilbert", "bert", "roberta"])
def test_outputs_do_not_depend_on_padding(name: str) -> None:
    model = made(name)
    ids = torch.tensor([[4, 7, 5], [3, 0, 0], [0, 0, 0]], dtype=torch.int32)
    wide = torch.cat([torch.nn.functional.pad(ids, (0, 9)), torch.full((1, 12), 9)])
    assert torch.allclose(model(wide)[:3], model(ids), atol=1e-5)
    assert model(ids).isfinite().all()
    assert head_of(model).startswith("network.classifier")
    assert model.network.get_input_embeddings().weight.shape == (30, 8)


def test_a_config_of_a_folder(tmp_path) -> None:
    made(arguments={**SMALL, "n_layers": 2}).network.config.save_pretrained(tmp_path)
    model = made(str(tmp_path), arguments=None)
    assert len(model.network.distilbert.transformer.layer) == 2


def test_weights_of_a_file_but_for_head_and_words(tmp_path) -> None:
    theirs = made().network
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    torch.manual_seed(1)
    ours = made(pretrained=str(tmp_path / "weights.pth")).network
    same = {n for n, v in ours.state_dict().items() if torch.equal(v, theirs.state_dict()[n])}
    assert "distilbert.transformer.layer.0.ffn.lin1.weight" in same
    with pytest.raises(CheckpointError, match="does not fit the model"):
        made("bert", pretrained=str(tmp_path / "weights.pth"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "distilbret"}, r"model\.name=distilbret is no architecture.*distilbert"),
        ({"arguments": {"n_layer": 2}}, r"model\.arguments\.n_layer: distilbert has no such sett"),
        ({"arguments": {"vocab_size": 2}}, r"model\.arguments\.vocab_size is given by the data"),
    ],
)
def test_mistakes_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**settings)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("t5", {"d_model": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "d_kv": 4}),
        ("deberta-v2", BERT),
    ],
)
def test_what_needs_more_than_word_ids_is_named(name: str, arguments: dict[str, Any]) -> None:
    """T5 needs a first word of its decoder; two settings of DeBERTa's have to be of one size."""
    with pytest.raises(ValueError, match=rf"model\.name={name} cannot classify texts by word ids"):
        made(name, arguments=arguments)


def test_a_network_that_reads_padding_is_refused() -> None:
    """XLNet looks at the last place of a text."""
    arguments = {"d_model": 8, "n_layer": 1, "n_head": 2, "d_inner": 16}
    with pytest.raises(
        ValueError, match=r"model\.name=xlnet reads what stands behind a text's end"
    ):
        made("xlnet", arguments=arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "someone/something"}, r"model\.name=someone/something: .*not cached and cannot"),
        ({"pretrained": True}, r"model\.pretrained=true: .*not cached and cannot be downloaded"),
    ],
)
def test_what_is_offline_is_refused_at_once(
    settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "unreachable", lambda _: "no network")
    with pytest.raises(ValueError, match=message + r".*\(no network\); give"):
        made(**settings)
