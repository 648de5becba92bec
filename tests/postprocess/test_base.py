"""What is fitted is kept with the run and read back."""

import json

import pytest
import torch
from support import options

from trainer.core.errors import CheckpointError
from trainer.postprocess.isotonic import Isotonic
from trainer.postprocess.platt import Platt
from trainer.postprocess.prior_correction import PriorCorrection
from trainer.postprocess.temperature import Temperature
from trainer.postprocess.threshold import Threshold

MADE = {
    "temperature": Temperature,
    "platt": Platt,
    "isotonic": Isotonic,
    "prior_correction": PriorCorrection,
    "threshold": Threshold,
}


def test_all_are_here():
    assert {*MADE, "none"} == set(options("postprocess"))


@pytest.mark.parametrize("name", MADE)
def test_what_is_read_back_does_the_same(name, many, tmp_path):
    outputs, labels = many
    first, again = MADE[name](), MADE[name]()
    first.prepare(labels.bincount(minlength=5))
    first.fit(outputs, labels)
    assert not again.load(tmp_path, {"a": 1}, "step-3")
    first.save(tmp_path, {"a": 1}, "step-3")
    assert not again.load(tmp_path, {"a": 2}, "step-3"), "other settings"
    assert not again.load(tmp_path, {"a": 1}, "step-4"), "another checkpoint"
    assert again.load(tmp_path, {"a": 1}, "step-3")
    found = first(outputs)
    assert found.dtype == outputs.dtype
    assert torch.equal(found, again(outputs))
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", json.dumps({"settings": {}, "of": "", "fitted": 3})]
)
def test_a_damaged_file_is_one_line(tmp_path, text):
    (tmp_path / "postprocess.json").write_text(text)
    with pytest.raises(
        CheckpointError, match=r"postprocess\.json (cannot be read|does not contain a mapping)"
    ):
        Temperature().load(tmp_path, {}, "")
