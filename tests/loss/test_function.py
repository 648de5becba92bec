import re
import sys
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from support import make_run

from trainer.core.duration import Clock
from trainer.core.errors import ConfigError
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.loss.cross_entropy import CrossEntropy
from trainer.loss.function import Function

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 5, generator=RNG)
LABELS = torch.arange(6) % 5
MAPS = torch.randn(3, 5, 4, 6, generator=RNG)
MASKS = torch.randint(0, 5, (3, 4, 6), generator=RNG)
VOID = MASKS.masked_fill(torch.rand(3, 4, 6, generator=RNG) < 0.3, 255)
CROSS_ENTROPY = "torch.nn.functional.cross_entropy"
UNREDUCED = F.cross_entropy(LOGITS, LABELS, reduction="none")


def branching(output, target):
    """Return one number by control flow that depends on values, which vmap does not support."""
    loss = F.cross_entropy(output, target)
    return loss if loss < 1e6 else loss * 0


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch):
    """Make a loss of a user's function, imported from a module."""
    module = ModuleType("users_losses")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def make(function, **arguments) -> Function:
        vars(module)["f"] = function
        return Function(function="users_losses.f", arguments=arguments)

    return make


def test_by_hand(user):
    """The mean square of each of the rows (3, 4) and (1, 0), not of all four numbers."""
    loss = user(lambda output, target: ((output - target) ** 2).mean())
    values = loss.score(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.zeros(2, 2))
    assert values.tolist() == [12.5, 0.5]


@pytest.mark.parametrize("rows", [1, 2, 6])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_scalar_and_per_example_functions(rows, reduction):
    """The first batch may have a single example."""
    loss = Function(function=CROSS_ENTROPY, arguments={"reduction": reduction})
    torch.testing.assert_close(loss.score(LOGITS[:rows], LABELS[:rows]), UNREDUCED[:rows])
    torch.testing.assert_close(loss.score(LOGITS, LABELS), UNREDUCED)
    assert torch.equal(loss.count(LABELS), torch.ones(6))


def test_the_arguments_are_passed_on():
    loss = Function(function=CROSS_ENTROPY, arguments={"label_smoothing": 0.2})
    expected = CrossEntropy(label_smoothing=0.2).score(LOGITS, LABELS)
    torch.testing.assert_close(loss.score(LOGITS, LABELS), expected)


def test_a_function_that_cannot_be_vectorised_is_called_per_example(user):
    calls = []

    def counted(output, target):
        calls.append(len(output))
        return branching(output, target)

    loss = user(counted)
    torch.testing.assert_close(loss.score(LOGITS, LABELS), UNREDUCED)
    calls.clear()
    torch.testing.assert_close(loss.score(LOGITS, LABELS), UNREDUCED)
    assert calls == [1] * 6


def test_a_vectorisable_function_is_called_once(user):
    calls = []

    def counted(output, target):
        calls.append(len(output))
        return F.cross_entropy(output, target)

    loss = user(counted)
    loss.score(LOGITS, LABELS)
    calls.clear()
    loss.score(LOGITS, LABELS)
    assert calls == [1]


def test_a_function_that_vmap_only_loops_over_does_not_warn():
    """torch's own warning about a missing batching rule is suppressed."""
    loss = Function(function="torch.nn.functional.multi_margin_loss")
    expected = F.multi_margin_loss(LOGITS, LABELS, reduction="none")
    torch.testing.assert_close(loss.score(LOGITS, LABELS), expected)


@pytest.mark.parametrize("function", [F.cross_entropy, branching])
def test_each_example_has_its_own_gradient(user, function):
    logits, weight = LOGITS.clone().requires_grad_(), torch.linspace(0, 2, 6)
    (weight * user(function).score(logits, LABELS)).sum().backward()
    expected = LOGITS.clone().requires_grad_()
    (weight * F.cross_entropy(expected, LABELS, reduction="none")).sum().backward()
    torch.testing.assert_close(logits.grad, expected.grad)


def test_a_one_element_result_counts_as_a_scalar(user):
    loss = user(lambda output, target: F.cross_entropy(output, target).reshape(1))
    torch.testing.assert_close(loss.score(LOGITS, LABELS), UNREDUCED)


def test_a_batch_of_one_may_be_squeezed(user):
    loss = user(lambda output, target: F.cross_entropy(output, target, reduction="none").squeeze())
    assert loss.score(LOGITS[:1], LABELS[:1]).shape == (1,)
    torch.testing.assert_close(loss.score(LOGITS, LABELS), UNREDUCED)


@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_one_value_per_class_is_not_mistaken_for_one_per_example(user, classes):
    """[C] has the shape of a result [B] for a batch of C examples."""
    loss = user(lambda output, target: output.mean(0) + 0 * target.sum())
    logits, labels = LOGITS[:classes, :classes], LABELS[:classes] % classes
    if classes == 1:
        assert loss.score(logits, labels).shape == (1,)
        return
    with pytest.raises(ConfigError, match=rf"for two examples it returned \[{classes}\]"):
        loss.score(logits, labels)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda output, target: output.sum().item(), "must return a tensor, got float"),
        (lambda output, target: torch.nn.MSELoss(), "must return a tensor, got MSELoss"),
        (lambda output, target: output, "must return one number, [B], or [B, H, W] for masks; for"),
        (lambda output, target: output @ output, "fails on outputs [2, 5] and labels [2]: mm:"),
    ],
)
def test_functions_that_are_not_losses_are_refused(user, function, text):
    with pytest.raises(ConfigError, match=r"^loss\.function=users_losses\.f " + re.escape(text)):
        user(function).score(LOGITS, LABELS)


def test_per_element_values_are_refused():
    """With float targets a loss has one number per example."""
    loss = Function(function="torch.nn.functional.mse_loss", arguments={"reduction": "none"})
    with pytest.raises(ConfigError, match=r"for two examples it returned \[2, 5, 4, 6\]"):
        loss.score(MAPS, MAPS)


def test_a_failed_import_is_reported():
    for path, text in {
        "nowhere.f": r"loss\.function=nowhere\.f cannot be imported",
        "torch.nowhere": r"loss\.function=torch\.nowhere cannot be imported: module 'torch' has no",
        "torch.pi": r"loss\.function=torch\.pi is not callable",
        "mse": r"loss\.function must be an import path, got mse",
    }.items():
        with pytest.raises(ConfigError, match=text):
            Function(function=path)


def test_determining_the_form_leaves_the_random_state(user):
    """A resumed run determines the form again and must continue with the same random numbers."""
    loss = user(lambda output, target: F.cross_entropy(F.dropout(output, 0.5), target))
    torch.manual_seed(0)
    first = loss.score(LOGITS, LABELS)
    torch.manual_seed(0)
    assert torch.equal(loss.score(LOGITS, LABELS), first)
    assert len({value.item() for value in loss.score(LOGITS[:1].expand(6, 5), LABELS * 0)}) > 1


def masked(**arguments) -> Function:
    """torch's cross entropy as a function loss that ignores the label 255."""
    loss = Function(function=CROSS_ENTROPY, arguments=arguments)
    loss.ignore_index = 255
    return loss


def test_per_pixel_functions():
    loss = masked(reduction="none")
    values = loss(MAPS, VOID)
    kept = VOID != 255
    expected = F.cross_entropy(MAPS, MASKS, reduction="none")
    torch.testing.assert_close(values[kept], expected[kept])
    assert loss.pixelwise
    assert loss.count(VOID).shape == VOID.shape
    assert values.shape == VOID.shape


def test_per_image_functions_of_masks():
    """The function leaves out ignored pixels; a fully ignored image has loss 0 and count 0."""
    loss, masks = masked(ignore_index=255), VOID.clone()
    masks[1] = 255
    logits = MAPS.clone().requires_grad_()
    values = loss.score(logits, masks)
    values.sum().backward()
    pairs = zip(MAPS[::2].split(1), VOID[::2].split(1), strict=True)
    expected = [F.cross_entropy(z, y, ignore_index=255) for z, y in pairs]
    torch.testing.assert_close(values[::2], torch.stack(expected))
    assert values[1] == 0
    assert logits.grad.isfinite().all()
    assert loss.count(masks).tolist() == [1, 0, 1]
    assert not loss.pixelwise


@pytest.mark.parametrize("mixer", ["none", "mixup"])
@pytest.mark.parametrize("mining", ["none", "ohem"])
def test_trains_like_the_built_in_loss(tmp_path, mixer, mining):
    weights = []
    for loss in ("function", "cross_entropy"):
        overrides = [f"loss={loss}", f"mixer={mixer}", f"mining={mining}", "model=mlp"]
        run = make_run(tmp_path / loss, *overrides, "accumulate=3", "device=cpu")
        step = run.assemble_step(Clock(3, 3)).step
        feed = run.loader.open(run.data.train, run.device)
        for i, batch in enumerate(feed.batches(Plan.of(run.data.train.ids[:60], 20))):
            step(batch, StepId(0, 0, i), 20 * i)
        weights.append([p.detach() for p in run.model.parameters()])
    torch.testing.assert_close(*weights)


def test_prepare_determines_the_form_for_masks():
    """The step excludes ignored pixels from mining, so it must know `pixelwise` beforehand."""
    loss = masked(reduction="none")
    loss.prepare(torch.ones(5))
    assert loss.ignores
    assert (loss(MAPS, VOID)[VOID == 255] == 0).all()
    assert torch.equal(loss.denominator(VOID), (VOID != 255).float())
    loss = masked(reduction="none", weight=torch.ones(7))  # not for five classes
    loss.prepare(torch.ones(5))
    with pytest.raises(
        ConfigError, match=r"fails on outputs \[2, 5, 4, 6\] and labels \[2, 4, 6\]"
    ):
        loss(MAPS, VOID)


@pytest.mark.parametrize("arguments", [{"reduction": "none"}, {"ignore_index": 255}])
def test_ignored_pixels_are_0_from_the_first_call_on(arguments):
    loss = masked(**arguments)
    masks = VOID.clone()
    masks[1] = 255
    values, counts = loss(MAPS, masks), loss.denominator(masks)
    assert values.shape == counts.shape
    assert (values[counts == 0] == 0).all()
    assert (counts == 0).sum() == (masks == 255).sum() if loss.pixelwise else counts[1] == 0
