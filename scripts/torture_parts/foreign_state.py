"""Tensors of a checkpoint replaced by others, under a manifest that matches them."""

import hashlib
import io
import json
import random
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torture_parts.child import Child, steps, uninterrupted
from torture_parts.outcome import Outcome
from trainer.storage import checkpoint

CASES = {
    "adam, hard_example": ["mining=hard_example", "mining.warmup_epochs=0"],
    "sgd, ema, importance": ["optimizer=sgd", "ema=0.9", "mining=importance"],
    "adabound, infobatch, superloss": ["optimizer=adabound", "mining=infobatch", "loss=superloss"],
}
PARTS = ("optimizer", "meter", "history", "saver", "progress", "data", "log")  # of every run
NONSENSE = (None, -1, 2.5, "x", [1])
ANY_LENGTH = "window"  # of selective_backprop
Place = tuple[Any, ...]

WRONG: dict[str, Callable[[Tensor], Any]] = {
    "one element": lambda value: torch.full((1,), 10_000).to(value.dtype),  # as an id, of no row
    "three bools": lambda _: torch.zeros(3, dtype=torch.bool),
    "no memory": lambda value: value.new_zeros(()).expand(value.shape or (2,)),
    "one less": lambda value: value.new_zeros(max(value.numel() - 1, 0), 2),
    "twice as many": lambda value: torch.cat([value.reshape(-1)] * 2).reshape(2, -1),
    "another dtype": lambda value: value.to(torch.complex64),
    "sparse": lambda value: torch.zeros(value.shape or (2,)).to_sparse(),
    "a number": lambda _: 1,
    "a text": lambda _: "x",
}


def foreign_states(folder: Path, options: Namespace) -> Iterator[Outcome]:
    """Yield a row for each case: parts and tensors of its state are replaced, and it is resumed."""
    rng = random.Random(options.seed)
    for number, (name, case) in enumerate(CASES.items()):
        run = folder / str(number)
        uninterrupted(run, *case)
        yield forged(name, run, case, options.forgeries, rng)


def forged(name: str, run: Path, case: list[str], number: int, rng: random.Random) -> Outcome:
    """Expect exit 5 and one line for each forgery, and the resumed run to be the same after it."""
    outcome = Outcome(f"a part or a tensor of the state replaced, {name}")
    step = checkpoint.step_folder(run / "checkpoints", steps(run)[0])
    body = (step / "state.pt").read_bytes()
    state = torch.load(step / "state.pt", weights_only=True)
    for about, changed in forgeries(state, number, rng):
        forge(step, "state.pt", saved(changed))
        child = Child(run, *case, "epochs=3")
        code, error = child.wait(), child.errors.read_text()
        outcome.tried += 1
        one_line = error.count("\n") == 1 and str(step) in error
        outcome.expect(code == 5 and one_line, f"{about}: exit {code}: {error}")
        if outcome.failures:
            return outcome  # the run may have gone on, and its files be others
    forge(step, "state.pt", body)
    outcome.expect(Child(run, *case, "epochs=3").wait() == 0, "the state restored is not resumed")
    outcome.found = f"exit 5, named: {outcome.tried} of {outcome.tried}"
    return outcome


def forgeries(state: Any, number: int, rng: random.Random) -> Iterator[tuple[str, Any]]:
    """Yield states with a part that is nonsense, then `number` with another tensor somewhere."""
    for part in PARTS:
        for value in NONSENSE:
            yield f"{part} = {value!r}", {**state, part: value}
    places = list(tensors(state))
    for _ in range(number):
        place, wrong = rng.choice(places), rng.choice(list(WRONG))
        yield f"{wrong} at {place}", replaced(state, place, WRONG[wrong])


def tensors(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the keys that lead to each tensor of a nested state."""
    if isinstance(value, Tensor):
        yield place
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key != ANY_LENGTH:
            yield from tensors(inner, (*place, key))


def replaced(state: Any, place: Place, change: Callable[[Tensor], Any]) -> Any:
    """Return the state with the tensor at a place changed."""
    if not place:
        return change(state)
    return {**state, place[0]: replaced(state[place[0]], place[1:], change)}


def saved(value: object, **options: Any) -> bytes:
    """Return what torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def forge(step: Path, name: str, data: bytes) -> None:
    """Put a file into a checkpoint, with a manifest that matches it."""
    (step / name).write_bytes(data)
    manifest = json.loads((step / "manifest.json").read_text())
    manifest[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (step / "manifest.json").write_text(json.dumps(manifest))
