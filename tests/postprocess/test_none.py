"""The null postprocessing."""

import torch

from trainer.postprocess.none import NoPostprocess


def test_outputs_pass_through_unchanged():
    outputs = torch.randn(3, 2)
    postprocess = NoPostprocess()
    postprocess.fit(outputs, torch.tensor([0, 1, 1]))
    assert postprocess(outputs) is outputs
    assert not postprocess.needs_val
    assert postprocess.fitted == {}
    assert postprocess.measure(outputs, torch.tensor([0, 1, 1])) == {}
