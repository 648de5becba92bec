"""Skips an update unless the loss and the gradients are finite and at least one row counts.

On the CPU both are checked at each step. On a GPU the step never synchronises: a sticky flag on the
device masks updates (fused optimizers take it as `found_inf`) until `read_flag` is called. Either
way weights, optimizer state and buffers stay as they were before the first bad step.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.core.errors import DivergedError, NonFiniteError
from trainer.core.plan import Plan
from trainer.core.text import count

Policy = Literal["raise", "skip"]
REMEDY = "lower optimizer.lr, or set clip"


class Snapshot:
    """The values of tensors at one time, flat by dtype: one kernel serves all of them."""

    def __init__(self, tensors: list[Tensor]) -> None:
        by_dtype: dict[torch.dtype, list[Tensor]] = defaultdict(list)
        for tensor in tensors:
            by_dtype[tensor.dtype].append(tensor)
        flat = [torch.cat([t.flatten() for t in alike]) for alike in by_dtype.values()]
        self.parts = [
            (alike, shaped(values, alike), values)
            for alike, values in zip(by_dtype.values(), flat, strict=True)
        ]

    def take(self) -> None:
        """Keep the values of now."""
        for tensors, kept, _ in self.parts:
            torch._foreach_copy_(kept, tensors)

    def restore(self) -> None:
        """Bring the values back."""
        for tensors, kept, _ in self.parts:
            torch._foreach_copy_(tensors, kept)

    def restore_where(self, mask: Tensor) -> None:
        """Bring the values back if a scalar mask on the device is true."""
        for tensors, _, flat in self.parts:
            now = torch.cat([tensor.flatten() for tensor in tensors])
            torch._foreach_copy_(tensors, shaped(torch.where(mask, flat, now), tensors))


def shaped(flat: Tensor, like: list[Tensor]) -> list[Tensor]:
    """Views of a flat tensor, shaped like others of as many elements."""
    parts = flat.split([tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]


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
        self.flag = torch.zeros((), device=device)  # 1 from the first bad step on
        self.bad_step = torch.full((), -1, device=device, dtype=torch.long)

    def start(self) -> None:
        """Begin a step: clear the gradients and take a snapshot of the buffers."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        self.before.take()

    def restore(self) -> None:
        """Restore what the step has changed, the buffers from the snapshot."""
        self.before.restore()
        self.undo(torch.ones_like(self.flag, dtype=torch.bool))

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
        """Like `update`, without synchronising. Under `skip` the flag is not sticky."""
        bad = ~(torch.isfinite(loss) & torch.isfinite(norm))
        first = bad & (self.bad_step < 0)
        self.bad_step = torch.where(first, step, self.bad_step)
        masked = bad if self.policy == "skip" else bad | (self.bad_step >= 0)
        self.flag = torch.where(masked, self.flag + 1, 0.0)  # masked steps in a row
        self.before.restore_where(masked)
        self.undo(masked)
        self.optimizer.found_inf = (masked | (denominator == 0)).float()  # pyright: ignore
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
        """Read the device's flag, which synchronises. Raises NonFiniteError if it was set."""
        if not self.deferred:
            return
        in_a_row, step = int(self.flag.item()), int(self.bad_step.item())
        if self.policy == "raise" and step >= 0:
            raise NonFiniteError(f"the loss or the gradient is not finite at step {step}", step)
        if in_a_row > self.max_skips:
            raise NonFiniteError(
                f"the loss or the gradient is not finite in {count(in_a_row, 'step')} in a row "
                f"(max_skips={self.max_skips}), first at step {step}",
                step,
            )
        self.bad_step.fill_(-1)

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
