"""torch.compile: its modes, and the seconds that it has taken in this process."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

MODES = {"true": None, "max-autotune": "max-autotune-no-cudagraphs"}  # setting → torch's mode
CONVOLVED = 16  # rows from which a CPU's convolutions choose another way


class CompileClock:
    """Adds up the wall-clock seconds in which torch compiles, whoever asks for it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.since = 0.0

    def run(self) -> None:
        """Count from now on. Imports the compiler."""
        from torch._dynamo.callback import callback_handler

        if self.begin not in callback_handler.start_callbacks:  # torch.compiler.reset drops them
            callback_handler.register_start_callback(self.begin)
            callback_handler.register_end_callback(self.end)

    def begin(self, _: Any) -> None:
        """Begin to compile."""
        self.since = time.perf_counter()

    def end(self, _: Any) -> None:
        """Have compiled."""
        self.seconds += time.perf_counter() - self.since


CLOCK = CompileClock()


def compiled(
    model: nn.Module, setting: bool | str, *, rows: int, eval_rows: int
) -> Callable[[Tensor], Tensor] | None:
    """Return a model compiled as the setting `compile` asks, None for false.

    What is returned makes one graph in training, for batches of about `rows`, and one without
    gradient, for about `eval_rows`, whatever the number of rows: a few that would need another
    graph are not compiled.
    """
    if setting is False:
        return None
    CLOCK.run()
    graph = torch.compile(model, mode=MODES[str(setting).lower()])
    least = {True: least_of(rows), False: least_of(eval_rows)}

    def run(images: Tensor) -> Tensor:
        if len(images) < (least[torch.is_grad_enabled()] if images.device.type == "cpu" else 2):
            return model(images)
        torch._dynamo.maybe_mark_dynamic(images, 0)
        return graph(images)

    return run


def least_of(rows: int) -> int:
    """The rows from which the graph of a usual batch serves: there is another for one row."""
    return CONVOLVED if rows >= CONVOLVED else 2
