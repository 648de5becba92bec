"""Tools of the benchmarks: rivals that take turns, clocks, figures, tables. Imports no torch."""

import multiprocessing
import os
import platform
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, Self, TypeVar

import numpy as np

T = TypeVar("T")


def milliseconds(
    call: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the milliseconds that a call takes by a clock."""
    began = clock()
    call()
    return (clock() - began) * 1e3


def turns(
    calls: dict[str, Callable[[], T]], repeats: int, *, warm_up: int = 1, swap: bool = False
) -> dict[str, list[T]]:
    """Make each call once per round, so that a drift of the machine affects all of them alike.

    Returns the results of each call, without the first `warm_up` rounds. With `swap`, every second
    round runs in reverse order.
    """
    results: dict[str, list[T]] = {name: [] for name in calls}
    for number in range(warm_up + repeats):
        for name in reversed(calls) if swap and number % 2 else calls:
            results[name].append(calls[name]())
    return {name: values[warm_up:] for name, values in results.items()}


class Timed(Protocol):
    """A rival: built once for a setting, then asked for its speed in each round."""

    def speed(self) -> float:
        """Run an epoch; return images per second."""
        ...


def serve(make: Callable[[Any, Path], Timed], orders: Connection) -> None:
    """Run in a rival's process: rebuild the rival for each setting, run an epoch for each None."""
    rival = None
    with TemporaryDirectory() as folder, suppress(EOFError):
        for number in range(2**31):
            order = orders.recv()
            if order is None and rival is not None:
                orders.send(rival.speed())
            else:
                own = Path(folder) / str(number)
                own.mkdir()
                rival = make(order, own)
                orders.send(None)


class Race:
    """A process for each rival; they take turns, so each has the machine to itself."""

    def __init__(self, rivals: dict[str, Callable[[Any, Path], Timed]]) -> None:
        context = multiprocessing.get_context("spawn")
        self.ends: dict[str, Connection] = {}
        for name, make in rivals.items():
            self.ends[name], other = context.Pipe()
            context.Process(target=serve, args=(make, other)).start()
            other.close()  # so that a rival that dies ends the race

    def run(self, setting: Any, repeats: int) -> dict[str, list[float]]:
        """Return each rival's images per second in each repeat, after an epoch to warm up."""
        for end in self.ends.values():
            ask(end, setting)
        return turns({name: partial(ask, end, None) for name, end in self.ends.items()}, repeats)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self.ends.values():
            end.close()
        for process in multiprocessing.active_children():
            process.join()


def ask(end: Connection, order: Any) -> Any:
    """Send an order to a rival's process and wait for the answer."""
    end.send(order)
    return end.recv()


def ratios(own: Sequence[float], other: Sequence[float]) -> list[float]:
    """Return own / other for each repeat."""
    return [a / b for a, b in zip(own, other, strict=True)]


def spread(values: Sequence[float], form: str) -> str:
    """Format the median with the lowest and highest value: `2.0 (1.0 to 9.0)`."""
    middle, low, high = (format(f(values), form) for f in (statistics.median, min, max))
    return f"{middle} ({low} to {high})"


def quartiles(values: np.ndarray | list[float], form: str) -> str:
    """Format the median with the quartiles: `2.0 [1.5, 5.5]`."""
    low, middle, high = (format(v, form) for v in np.percentile(values, [25, 50, 75]))
    return f"{middle} [{low}, {high}]"


def deviation(values: Sequence[float], form: str) -> str:
    """Format mean ± standard deviation."""
    spread_of = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{format(statistics.mean(values), form)} ± {format(spread_of, form)}"


def row(*cells: object) -> None:
    """Print a row of a Markdown table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def table(heads: Iterable[str], rows: Iterable[Iterable[object]] = ()) -> None:
    """Print a Markdown table, or only its head where the rows follow as they are measured."""
    heads = list(heads)
    print()
    row(*heads)
    row(*["---"] * len(heads))
    for cells in rows:
        row(*cells)


def machine(*packages: str) -> str:
    """Describe the machine and the versions that a figure depends on."""
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    versions = [f"{name} {version(name)}" for name in packages]
    return ", ".join([processor(), load, f"Python {platform.python_version()}", *versions])


def processor() -> str:
    """Name the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(": ")[1]
    return platform.processor() or platform.machine()


def parser(text: str | None, repeats: int | None = None) -> ArgumentParser:
    """Make a parser described by a module's first line; `repeats` is the default of `--repeats`."""
    arguments = ArgumentParser(description=(text or "").splitlines()[0])
    if repeats is not None:
        arguments.add_argument("--repeats", type=int, default=repeats)
    return arguments
