"""Fitted values are saved with the run and restored."""

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

FITTED = {
    "temperature": Temperature,
    "platt": Platt,
    "isotonic": Isotonic,
    "prior_correction": PriorCorrection,
    "threshold": Threshold,
}


def test_every_option_is_tested():
    assert {*FITTED, "none"} == set(options("postprocess"))


@pytest.mark.parametrize("name", FITTED)
def test_a_restored_fit_corrects_outputs_to_the_same_bits(name, many, tmp_path):
    outputs, labels = many
    fitted, restored = FITTED[name](), FITTED[name]()
    fitted.prepare(labels.bincount(minlength=5))
    fitted.fit(outputs, labels)
    assert not restored.load(tmp_path, {"a": 1}, "step-3"), "no file"
    fitted.save(tmp_path, {"a": 1}, "step-3")
    assert not restored.load(tmp_path, {"a": 2}, "step-3"), "other settings"
    assert not restored.load(tmp_path, {"a": 1}, "step-4"), "another checkpoint"
    assert restored.load(tmp_path, {"a": 1}, "step-3")
    corrected = fitted(outputs)
    assert corrected.dtype == outputs.dtype
    assert not torch.equal(corrected, outputs)
    assert torch.equal(corrected, restored(outputs))
    assert torch.isfinite(corrected).all()


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", json.dumps({"settings": {}, "of": "", "fitted": 3})]
)
def test_a_damaged_file_is_reported(tmp_path, text):
    (tmp_path / "postprocess.json").write_text(text)
    with pytest.raises(
        CheckpointError, match=r"postprocess\.json (cannot be read|does not contain a mapping)"
    ):
        Temperature().load(tmp_path, {}, "")
