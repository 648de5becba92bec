"""Statistics of activations and gradients, and identical units, computed by hand."""

import math

import pytest
import torch
from torch import nn

from trainer.core.batch import Batch
from trainer.core.forward import Forward
from trainer.job.diagnose.findings import Limits, findings
from trainer.job.diagnose.probe import Probe, add_updates, count_identical, identical_units, observe
from trainer.loss.mse import MeanSquaredError

LIMITS = Limits(ratio=1000.0, dead=0.9)


def probed(model: nn.Module, head: str, images: torch.Tensor, targets: torch.Tensor) -> Probe:
    """Probe a model on unscaled images under the mean squared error."""
    forward = Forward(model, mean=(0.0,), std=(1 / 255,), device=torch.device("cpu"))
    ones = torch.ones(len(images))
    ids = torch.arange(len(images))[:, None]
    batch = Batch(images, targets[:, None], ones[:, None], ids, ones, ones)
    return observe(forward, head, MeanSquaredError(), batch)[0]


def two_layers() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Two inputs, two hidden units of which the second is dead, one output; two examples."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))
        model[1].bias.zero_()
        model[3].weight.copy_(torch.tensor([[2.0, 5.0]]))
        model[3].bias.zero_()
    images = torch.tensor([[1.0, 0.0], [1.0, 2.0]]).view(2, 1, 1, 2)
    return model, images, torch.tensor([[0.0], [4.0]])


def test_statistics_by_hand():
    """Outputs 2 and 6, errors 2 and 2: L = 4, dL/dy = 2·2/2 = 2 for both examples."""
    model, images, targets = two_layers()
    probe = probed(model, "3", images, targets)
    first, relu, last = probe.rows
    assert [row.layer for row in probe.rows] == ["1", "1", "3"]
    assert [row.kind for row in probe.rows] == ["Linear", "ReLU", "Linear"]
    assert [row.units for row in probe.rows] == [2, 2, 1]
    assert (first.mean, first.deviation) == (0.0, pytest.approx(math.sqrt(5)))  # ±1, ±3
    assert (relu.mean, relu.deviation) == (1.0, pytest.approx(math.sqrt(1.5)))  # 1, 0, 3, 0
    assert (first.dead, relu.dead, last.dead) == (0.0, 0.5, 0.0)
    assert (last.gradient_mean, last.gradient_deviation) == (2.0, 0.0)
    assert last.gradient_norm == pytest.approx(math.sqrt(8))
    assert relu.gradient_mean == pytest.approx((4 + 10) / 2)
    assert (first.gradient_mean, first.gradient_norm) == (2.0, pytest.approx(math.sqrt(32)))
    assert first.weight_deviation == 1.0
    # 4·(1, 0) + 4·(1, 2) for the live unit, 0 for the dead one.
    assert first.weight_gradient_mean == (8 + 8) / 4
    assert first.weight_gradient_norm == pytest.approx(math.sqrt(128))
    assert last.weight_gradient_norm == pytest.approx(2 * 1 + 2 * 3)
    assert (relu.active, first.active) == (True, False)
    assert probe.end.deviation == relu.deviation
    assert probe.end.gradient_norm == relu.gradient_norm


def test_the_update_ratio_is_of_the_optimizers_step():
    """SGD of lr 0.1 changes the first weight, of norm 2, by 0.1 · √128."""
    model, images, targets = two_layers()
    rows = probed(model, "3", images, targets).rows
    add_updates(rows, model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert rows[0].update_ratio == pytest.approx(0.1 * math.sqrt(128) / 2)
    assert math.isnan(rows[1].update_ratio)


def test_a_module_that_runs_twice_has_two_rows():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.relu, self.last = nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)
            nn.init.constant_(self.layer.weight, 0.5)

        def forward(self, images):
            hidden = self.relu(self.layer(images.flatten(1)))
            return self.last(self.relu(self.layer(hidden)))

    _, images, targets = two_layers()
    rows = probed(Twice(), "last", images, targets).rows
    assert [row.layer for row in rows] == ["layer", "layer", "layer#2", "layer#2", "last"]
    assert rows[0].weight_gradient_norm == rows[2].weight_gradient_norm > 0


def test_an_inplace_activation_does_not_change_the_layers_statistics():
    torch.manual_seed(0)
    _, images, targets = two_layers()
    rows = {}
    for inplace in (False, True):
        torch.manual_seed(0)
        layers = nn.Linear(2, 8), nn.ReLU(inplace), nn.Linear(8, 1)
        rows[inplace] = probed(nn.Sequential(nn.Flatten(), *layers), "3", images, targets).rows
    assert repr(rows[True]) == repr(rows[False])


def test_identical_rows_are_counted():
    rows = torch.tensor([[1.0, 9.0], [5.0, 5.0], [1.4, 8.6], [9.0, 1.0], [9.0, 1.0], [9.0, 1.1]])
    assert count_identical(10 * rows) == 3
    assert count_identical(rows) == 5
    assert count_identical(rows[:2]) == 0
    assert count_identical(rows[:1]) == 0


def with_gradients(layer: nn.Module, gradient: torch.Tensor) -> nn.Module:
    """A model of a layer with the gradient of its weight."""
    layer.weight.grad = gradient
    return nn.Sequential(layer)


def test_units_are_identical_if_weights_biases_and_gradients_are():
    layer = nn.Linear(3, 4)
    nn.init.constant_(layer.weight, 0.5)
    nn.init.zeros_(layer.bias)
    ramp = torch.arange(4.0)[:, None].expand(4, 3)
    assert identical_units(with_gradients(layer, torch.ones(4, 3)), "") == {"0": (4, 4)}
    assert identical_units(with_gradients(layer, ramp), "") == {}, "the gradients differ"
    assert identical_units(with_gradients(layer, torch.ones(4, 3)), "0") == {}, (
        "the head is left out"
    )
    layer.bias.data[0] = 0.1
    assert identical_units(with_gradients(layer, torch.ones(4, 3)), "") == {"0": (3, 4)}
    nn.init.normal_(layer.weight)
    assert identical_units(with_gradients(layer, torch.zeros(4, 3)), "") == {}, (
        "dead, but not identical"
    )


def test_units_of_a_transposed_convolution_are_its_outputs():
    """[in, out / groups, k, k]: the units of one group are identical, those of the other not."""
    layer = nn.ConvTranspose2d(4, 6, 2, groups=2, bias=False)
    with torch.no_grad():
        layer.weight[:2] = torch.randn(2, 1, 2, 2)
        layer.weight[2:] = torch.randn(2, 3, 2, 2)
    assert identical_units(with_gradients(layer, torch.zeros_like(layer.weight)), "") == {
        "0": (3, 6)
    }


def deep(scale: float, layers: int = 8) -> nn.Module:
    """Linear layers of one weight each: every layer multiplies by `scale`."""
    model = nn.Sequential(nn.Flatten(), *(nn.Linear(1, 1, bias=False) for _ in range(layers)))
    for layer in model[1:]:
        nn.init.constant_(layer.weight, scale)
    return model


@pytest.mark.parametrize(
    ("scale", "kinds"),
    [
        (0.3, ["vanishing activations", "vanishing gradients"]),  # 0.3^6 = 1 / 1372
        (0.35, []),  # 1 / 544
        (2.8, []),
        (3.2, ["exploding activations", "exploding gradients"]),
    ],
)
def test_a_factor_of_a_thousand_from_the_first_layer_to_the_head(scale, kinds):
    images = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1)
    probe = probed(deep(scale), "8", images, torch.zeros(3, 1))
    found = findings(probe, {}, "8", LIMITS)
    assert [finding.kind for finding in found] == kinds
    first = math.sqrt(2 / 3) * scale
    if scale == 0.3:
        for part in (f"{first:.2g} after 1", f"{first * 0.3**6:.2g} before 8", "0.3 per layer"):
            assert part in found[0].text


def test_an_overflow_is_reported_at_its_layer():
    images = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
    probe = probed(deep(1e12), "8", images, torch.zeros(2, 1))
    found = findings(probe, {}, "8", LIMITS)
    assert found[0].kind == "exploding activations"
    assert "4 (Linear)" in found[0].text


def test_a_head_of_zeros_is_no_fault_but_one_that_never_learns_is():
    model, images, targets = two_layers()
    nn.init.zeros_(model[3].weight)
    probe = probed(model, "3", images, targets)
    assert probe.end.gradient_norm == 0
    assert findings(probe, {}, "3", LIMITS) == []
    model, images, targets = two_layers()
    nn.init.zeros_(model[3].weight)
    nn.init.zeros_(model[1].weight)
    probe = probed(model, "3", images, targets)
    kinds = [finding.kind for finding in findings(probe, {}, "3", LIMITS)]
    assert kinds == ["vanishing activations", "vanishing gradients", "dead units"]


def test_dead_units_over_the_limit_are_reported():
    model, images, targets = two_layers()
    probe = probed(model, "3", images, targets)
    assert findings(probe, {}, "3", Limits(1000.0, 0.5)) == []
    found = findings(probe, {}, "3", Limits(1000.0, 0.49))
    assert [finding.kind for finding in found] == ["dead units"]
    assert "50% of the units after 1 are dead" in found[0].text
