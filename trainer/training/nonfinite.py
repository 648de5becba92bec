"""Skips an update unless the loss and the gradients are finite and at least one row counts.

On the CPU both are checked at each step. On a GPU the step never synchronises: a sticky flag on the
device masks updates (fused optimizers take it as `found_inf`) until `read_flag` is called. Either
way weights, optimizer state and buffers stay as they were before the first bad step.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.core.errors import DivergedError, NonFiniteError
from trainer.core.plan import Plan
from trainer.core.text import count

Policy = Literal["raise", "skip"]
INTEGERS = (torch.int32, torch.int16, torch.uint8)
REMEDY = "lower optimizer.lr, or set clip"


class Snapshot:
    """The values of tensors at one time, as integers in one flat tensor: one kernel serves all.

    The tensors keep their memory while values are taken and restored.
    """

    def __init__(self, tensors: list[Tensor]) -> None:
        dense = [flat for tensor in tensors for flat in in_memory_order(tensor)]
        integer = next(d for d in INTEGERS if all(t.itemsize % d.itemsize == 0 for t in dense))
        self.values = [flat.view(integer) for flat in dense]
        self.kept = torch.cat(self.values) if dense else torch.empty(0)
        self.now = torch.empty_like(self.kept)
        sizes = [len(flat) for flat in self.values]
        self.parts, self.chosen = (
            (self.kept.split(sizes), self.now.split(sizes)) if dense else ((), ())
        )

    def take(self) -> None:
        """Keep the values of now."""
        if self.values:
            torch.cat(self.values, out=self.kept)

    def restore(self) -> None:
        """Bring the values back."""
        if self.values:
            torch._foreach_copy_(self.values, self.parts)

    def restore_where(self, mask: Tensor) -> None:
        """Bring the values back if a scalar mask on the device is true."""
        if not self.values:
            return
        torch.cat(self.values, out=self.now)
        torch.where(mask, self.kept, self.now, out=self.now)
        torch._foreach_copy_(self.values, self.chosen)


def in_memory_order(tensor: Tensor) -> Iterator[Tensor]:
    """Yield flat views that together cover a tensor: one, unless its memory has gaps."""
    if not tensor.numel():
        return
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    ordered = tensor.detach().permute(order)
    if ordered.is_contiguous():
        yield ordered.view(-1)
    else:
        for part in tensor.detach().unbind():
            yield from in_memory_order(part)


class NonFiniteGuard:
    """Guards the updates of one optimizer, and the buffers that a forward pass changes."""

    def __init__(
        self,
        optimizer: Optimizer,
        buffers: list[Tensor],
        *,
        policy: Policy = "raise",
        max_skips: int = 3,
        deferred: bool = False,
        scaler: torch.amp.GradScaler | None = None,
        undo: Callable[[Tensor], None] = lambda _: None,
    ) -> None:
        self.optimizer = optimizer
        self.scaler = scaler or torch.amp.GradScaler(enabled=False)
        self.before = Snapshot(buffers)  # of the last start
        self.undo = undo  # takes back a skipped step's changes of what has no snapshot
        self.policy = policy
        self.max_skips = max_skips
        self.deferred = deferred
        self.in_a_row = 0
        device = optimizer.param_groups[0]["params"][0].device
        self.spoilt = torch.zeros((), device=device)  # NaN from the first bad step on
        self.skip = torch.zeros((), device=device)  # 1 where the optimizer is to take no step
        self.unread: list[tuple[int, Tensor]] = []  # steps, and whether each was masked, a bool []

    def start(self) -> None:
        """Begin a step: clear the gradients and take a snapshot of the buffers."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        self.before.take()

    def restore(self) -> None:
        """Restore what the step has changed, the buffers from the snapshot."""
        self.before.restore()
        self.undo(torch.ones_like(self.spoilt, dtype=torch.bool))

    def update(self, loss: Tensor, norm: Tensor, denominator: Tensor, step: int) -> bool:
        """Take the optimizer's step if loss and gradient are finite and denominator is not 0.

        Returns whether it was taken; a deferred guard cannot know yet and returns True.

        Raises NonFiniteError under `raise`, or after more than `max_skips` bad steps in a row.
        """
        if self.deferred:
            return self.masked_update(loss, norm, denominator, step)
        # Under fp16 an infinite gradient is the scaler's to handle: it skips and scales down.
        bad_gradient = not (math.isfinite(norm.item()) or self.scaler.is_enabled())
        if bad_gradient or not math.isfinite(loss.item()):
            self.restore()
            self.scaler.update()  # without it the next unscale_ raises
            self.count_skip(step, "gradient" if math.isfinite(loss.item()) else "loss")
            return False
        self.in_a_row = 0
        counts = denominator.item() != 0
        if counts:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        return counts

    def count_skip(self, step: int, what: str) -> None:
        """Count a bad step. Raises NonFiniteError unless it may be skipped."""
        self.in_a_row += 1
        if self.policy == "raise":
            raise NonFiniteError(f"the {what} is not finite at step {step}")
        if self.in_a_row > self.max_skips:
            raise NonFiniteError(
                f"the {what} is not finite in {count(self.in_a_row, 'step')} in a row "
                f"(max_skips={self.max_skips}), last at step {step}"
            )

    def masked_update(self, loss: Tensor, norm: Tensor, denominator: Tensor, step: int) -> bool:
        """Like `update`, without synchronising. Under `skip` the flag is not sticky.

        It takes few kernels: 0 · x is NaN unless x is finite, and nothing is greater than NaN.
        """
        both = torch.add(loss, norm, alpha=0)
        if self.policy == "raise":
            self.spoilt.add_(both, alpha=0)
        else:
            self.spoilt = both.mul_(0)
        masked = self.spoilt != 0
        self.unread.append((step, masked))
        self.before.restore_where(masked)
        self.undo(masked)
        torch.logical_not(denominator > self.spoilt, out=self.skip)
        self.optimizer.found_inf = self.skip  # pyright: ignore
        self.optimizer.step()
        return True

    def finite_weights(self) -> bool:
        """Return whether all weights are finite, which synchronises."""
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        return bool(torch.stack([v.isfinite().all() for v in weights]).all())

    def check_weights(self, step: int) -> None:
        """Raise DivergedError unless all weights are finite after `step` steps."""
        if not self.finite_weights():
            raise DivergedError(f"the weights are not finite after step {step}; {REMEDY}")

    def read_flag(self) -> None:
        """Read which steps were masked, which synchronises. Raises NonFiniteError as `update`."""
        if not self.unread:
            return
        steps, masked = zip(*self.unread, strict=True)
        bad = torch.stack(masked).tolist()
        if self.policy == "raise" and any(bad):
            step = steps[bad.index(True)]
            raise NonFiniteError(f"the loss or the gradient is not finite at step {step}", step)
        self.unread = []
        first = steps[0]  # of those in a row
        for step, was_masked in zip(steps, bad, strict=True):
            first = first if self.in_a_row else step
            self.in_a_row = self.in_a_row + 1 if was_masked else 0
            if self.in_a_row > self.max_skips:
                raise NonFiniteError(
                    f"the loss or the gradient is not finite in {count(self.in_a_row, 'step')} in "
                    f"a row (max_skips={self.max_skips}), first at step {first}",
                    first,
                )

    def scaled(self, gradient: Tensor) -> Tensor:
        """Multiply a gradient by fp16's loss scale; unchanged without a scaler."""
        return self.scaler.scale(gradient)

    def reset_scaler(self, device: torch.device) -> None:
        """Start fp16's loss scaling afresh after an interrupted step."""
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.scaler.is_enabled())

    def full_parameters(self) -> list[Tensor]:
        """Return all parameters of the optimizer, unsharded."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are not frozen."""
        groups = self.optimizer.param_groups
        return [p for group in groups for p in group["params"] if p.requires_grad]

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that have a gradient."""
        groups = self.optimizer.param_groups
        return [p for group in groups for p in group["params"] if p.grad is not None]

    def gradients(self) -> tuple[Tensor, list[Tensor]]:
        """Unscale the gradients; return their global 2-norm, a scalar, and the gradients."""
        self.scaler.unscale_(self.optimizer)
        gradients: list[Any] = [p.grad for p in self.trained()]
        return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))), gradients


def located(error: NonFiniteError, plan: Plan, begin: int, epoch: int) -> NonFiniteError:
    """Add the epoch and the candidate example ids to an error that knows only its step.

    `begin` is the step at which the epoch with this plan began. Other errors are returned as is.
    """
    if error.step is None:
        return error
    first, last = plan.bounds[error.step - begin :][:2].tolist()
    ids = plan.ids[first:last].unique().tolist()
    return NonFiniteError(f"{error}, epoch {epoch}, among the examples {ids}")
