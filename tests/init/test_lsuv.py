"""Layer-sequential unit variance."""

from pathlib import Path

import pytest
import torch
from support import make_run
from torch import Tensor, nn

from trainer.init.lsuv import Lsuv
from trainer.init.orthogonal import Orthogonal


class Backwards(nn.Module):
    """Layers run in another order than they are defined, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(16, 5)
        self.idle = nn.Linear(3, 3)
        self.shared = nn.Linear(16, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.5)
        self.first = nn.Conv2d(2, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.first(images).relu().flatten(1)
        hidden = self.shared(self.shared(hidden).relu())
        return self.last(self.drop(self.norm(hidden)))


def outputs_of(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The first outputs of each layer."""
    made: dict[str, Tensor] = {}
    hooks = []
    for name, layer in model.named_modules():

        def hook(layer: nn.Module, inputs: object, output: Tensor, name: str = name) -> None:
            made.setdefault(name, output)

        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            hooks.append(layer.register_forward_hook(hook))
    model.eval()
    model(images)
    for handle in hooks:
        handle.remove()
    return made


@pytest.fixture
def images() -> Tensor:
    """Far from standardised, so that no layer is right by chance."""
    return 3 + 5 * torch.randn(64, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def test_every_output_has_variance_1(images: Tensor) -> None:
    torch.manual_seed(0)
    model = Backwards()
    init = Lsuv(tolerance=0.01)
    init(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = outputs_of(model, images)["first"].var().item()
    assert first > 10
    init.calibrate(model, images)
    for name, out in outputs_of(model, images).items():
        assert out.var().item() == pytest.approx(1, abs=0.01), name
    after = model.state_dict()
    assert torch.allclose(after["first.weight"], before["first.weight"] / first**0.5)  # by hand
    left = [n for n in after if n.startswith(("norm", "idle")) or n.endswith("bias")]
    assert all(torch.equal(after[name], before[name]) for name in left)


def test_weights_are_scaled_orthogonal_matrices(images: Tensor) -> None:
    model, reference = Backwards(), Backwards()
    for init, made in ((Lsuv(), model), (Orthogonal(), reference)):
        torch.manual_seed(1)
        init(made)
    assert torch.equal(model.first.weight, reference.first.weight)
    Lsuv().calibrate(model, images)
    ratio = model.last.weight / reference.last.weight
    assert torch.allclose(ratio, ratio[0, 0].expand_as(ratio))


def test_modes_are_restored_and_hooks_removed(images: Tensor) -> None:
    model = Backwards()
    model.norm.eval()
    Lsuv().calibrate(model, images)
    assert (model.training, model.norm.training, model.drop.training) == (True, False, True)
    assert not any(layer._forward_hooks for layer in model.modules())


def test_only_named_modules_change(images: Tensor) -> None:
    model = Backwards()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    init = Lsuv()
    init(model, only={"last"})
    init.calibrate(model, images, only={"last"})
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"last.weight", "last.bias"}
    assert outputs_of(model, images)["last"].var().item() == pytest.approx(1, abs=0.1)


def test_a_dead_layer_is_unchanged() -> None:
    layer = nn.Linear(3, 2)
    init = Lsuv()
    init(layer)
    before = layer.weight.clone()
    init.calibrate(layer, torch.zeros(4, 3))
    assert torch.equal(layer.weight, before)


def test_a_run_calibrates_on_its_training_images_reproducibly(tmp_path: Path) -> None:
    """Every pass with the images of the run, standardised, has variance 1; the seed decides."""
    overrides = ["model=simple_cnn", "init=lsuv", "init.batch=300", "init.tolerance=0.02"]
    run, again = (make_run(tmp_path, *overrides, "device=cpu") for _ in range(2))
    images = run.sample(300)
    assert images.shape == (300, 1, 8, 8)
    assert images.mean().item() == pytest.approx(0, abs=0.05)
    assert images.std().item() == pytest.approx(1, abs=0.05)
    assert run.data.train.labels[run.data.train.ids][:300].unique().numel() == 10
    made = outputs_of(run.model, images)
    assert set(made) == {"conv1", "conv2", "fc1", "fc2"}
    assert all(out.var().item() == pytest.approx(1, abs=0.02) for out in made.values())
    both = zip(run.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in both)


@pytest.mark.parametrize(
    ("setting", "value"), [("batch", 1), ("tolerance", 0.0), ("max_trials", 0)]
)
def test_bad_settings_are_named(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"init\.{setting} must be in"):
        Lsuv(**{setting: value})  # pyright: ignore
