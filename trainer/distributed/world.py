"""Communication between processes that train together. `World`, the default, is a single process.

`Group` connects them through torch.distributed: gloo for CPU tensors and Python objects, nccl for
GPU tensors. Sums and gathered values are identical in every process, and so are all decisions.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainer.core.errors import ConfigError, Interrupted, NonFiniteError
from trainer.core.text import count
from trainer.distributed import torchrun

T = TypeVar("T")
Shard = Callable[[nn.Module, torch.device, int], None]  # (model, device, number of processes)

BUCKET = 2**26  # bytes per all-reduce
LOST = "another process of the run has ended"
FAILED = "trainer/failed"  # store key of the first failure
LISTEN_EVERY = 1.0  # seconds between checks for another process's failure
WAIT_FOR_OTHERS = 3.0  # seconds to wait for the process that caused an error to report it
LET_FINISH = 5.0  # seconds a process has to exit on its own after another has failed


class World:
    """A single process: the null object, and the base class of `Group`."""

    rank, size, is_main, sharded, alone = 0, 1, True, False, True

    def on_failure(self, write: Callable[[int, str], None]) -> None:
        """Call `write(exit code, text)` before this process is ended by another's failure."""

    def all_reduce(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""

    def gather_rows(self, parts: list[Tensor], sizes: list[int]) -> list[Tensor]:
        """Concatenate each tensor [n, ...] over the processes, which have `sizes` rows each."""
        return parts

    def broadcast(self, value: T) -> T:
        """Return rank 0's value in every process."""
        return value

    def gather_objects(self, value: T) -> list[T]:
        """Return the values of all processes in rank order."""
        return [value]

    def highest(self, number: int) -> int:
        """Return the maximum of a number over the processes."""
        return number

    def wait(self) -> None:
        """Wait until all processes have called this."""

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the body in each machine's first process, then in the others: one downloads."""
        yield

    def verdict(self, error: BaseException, code: int, text: str) -> tuple[int, str, bool]:
        """Return exit code and message of a failed run, and whether this process prints it."""
        return code, text, True

    def agreed(self, error: BaseException) -> bool:
        """Return whether all processes raise this error together."""
        return True

    def place(self, model: nn.Module, shard: Shard | None = None) -> nn.Module:
        """Distribute the model over the processes; `shard` splits its weights among them."""
        return model


class Group(World):
    """Several processes connected through torch.distributed; see `World` for the methods."""

    alone = False

    def __init__(self, place: torchrun.Place, device: str, *, sharded: bool) -> None:
        self.rank, self.size, self.is_main = place.rank, place.size, place.is_main
        self.local_rank = place.local_rank
        self.sharded = sharded
        cuda = device in ("auto", "cuda") and torch.cuda.is_available()
        if cuda:
            if place.local_size > torch.cuda.device_count():
                gpus = count(torch.cuda.device_count(), "GPU")
                raise ConfigError(
                    f"{place.local_size} processes but {gpus} on "
                    "this machine; lower torchrun --nproc-per-node, or set device=cpu"
                )
            torch.cuda.set_device(place.local_rank)
        self.device = torch.device("cuda" if cuda else "cpu")
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "cpu:gloo")
        self.store = dist.distributed_c10d._get_default_store()
        self.write_failure: Callable[[int, str], None] = lambda *_: None
        threading.Thread(target=self.listen, daemon=True).start()

    def on_failure(self, write: Callable[[int, str], None]) -> None:
        """Call `write(exit code, text)` before this process is ended by another's failure."""
        self.write_failure = write

    def all_reduce(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        for bucket in buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            sums = flat.split([tensor.numel() for tensor in bucket])
            pairs = zip(sums, bucket, strict=True)
            torch._foreach_copy_(bucket, [part.view(tensor.shape) for part, tensor in pairs])

    def gather_rows(self, parts: list[Tensor], sizes: list[int]) -> list[Tensor]:
        """Concatenate each tensor [n, ...] over the processes, which have `sizes` rows each.

        The tensors are packed side by side as bytes, so that one collective suffices.
        """
        flat = [part.detach().unsqueeze(1).flatten(1).contiguous() for part in parts]
        raw = torch.cat([part.view(torch.uint8) for part in flat], 1)
        room = raw.new_zeros((max(sizes), raw.shape[1]))
        room[: len(raw)] = raw
        gathered = [torch.empty_like(room) for _ in sizes]
        dist.all_gather(gathered, room)
        whole = torch.cat([rows[:size] for rows, size in zip(gathered, sizes, strict=True)])
        columns = whole.split([part.shape[1] * part.element_size() for part in flat], 1)
        return [
            column.contiguous().view(part.dtype).view(len(whole), *part.shape[1:])
            for column, part in zip(columns, parts, strict=True)
        ]

    def broadcast(self, value: T) -> T:
        """Return rank 0's value in every process."""
        objects: list[Any] = [value]
        dist.broadcast_object_list(objects, src=0, device=torch.device("cpu"))
        return objects[0]

    def gather_objects(self, value: T) -> list[T]:
        """Return the values of all processes in rank order."""
        objects: list[Any] = [None] * self.size
        dist.all_gather_object(objects, value)
        return objects

    def highest(self, number: int) -> int:
        """Return the maximum of a number over the processes."""
        highest = torch.tensor(number)
        dist.all_reduce(highest, dist.ReduceOp.MAX)
        return int(highest)

    def wait(self) -> None:
        """Wait until all processes have called this."""
        self.highest(0)

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the body in each machine's first process, then in the others: one downloads."""
        if self.local_rank:
            self.wait()
            yield
        else:
            yield
            self.wait()

    def place(self, model: nn.Module, shard: Shard | None = None) -> nn.Module:
        """Copy rank 0's weights to every process, then split them by `shard`, if given."""
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)
        if shard is not None:
            shard(model, self.device, self.size)
        return model

    def verdict(self, error: BaseException, code: int, text: str) -> tuple[int, str, bool]:
        """Return exit code and message of a failed run, and whether this process prints it.

        Rank 0 prints an error that all processes raise, otherwise the first process that failed.
        """
        if self.agreed(error):
            return code, text, self.is_main
        if connection_lost(error):
            code, text = 1, f"{LOST}; continue the run with resume=auto"
        seconds = 0.0 if self.is_main and not connection_lost(error) else WAIT_FOR_OTHERS
        failure = self.first_failure(seconds)
        if failure is None:
            self.report_failure(code, text)
            failure = self.first_failure(0.0)
        if failure is None or failure[0] == self.rank:
            return code, text if self.is_main else f"rank {self.rank}: {text}", True
        rank, code, text = failure
        return code, f"rank {rank}: {text}", False

    def agreed(self, error: BaseException) -> bool:
        """Return whether all processes raise this error together."""
        return isinstance(error, (Interrupted, NonFiniteError))

    def report_failure(self, code: int, text: str) -> None:
        """Tell the others that this process has failed, unless another has reported before."""
        with contextlib.suppress(Exception):
            self.store.compare_set(FAILED, "", f"{self.rank} {code} {text}")

    def first_failure(self, seconds: float) -> tuple[int, int, str] | None:
        """Return rank, exit code and message of the first failure; None after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(Exception):
                if self.store.check([FAILED]):
                    rank, code, text = self.store.get(FAILED).decode().split(" ", 2)
                    return int(rank), int(code), text
            if time.monotonic() >= end:
                return None
            time.sleep(0.1)

    def listen(self) -> None:
        """Exit when another process has failed and this one does not stop on its own.

        It may be blocked in a collective that never completes and does not react to signals.
        """
        while True:
            time.sleep(LISTEN_EVERY)
            failure = self.first_failure(0.0)
            if failure is not None:
                time.sleep(LET_FINISH)
                rank, code, text = failure
                with contextlib.suppress(Exception):
                    self.write_failure(code, f"rank {rank}: {text}")
                os._exit(code)

    def leave(self) -> None:
        """Wait for all processes, then close the connection."""
        self.wait()
        dist.destroy_process_group()


ALONE = World()
joined: list[Group] = []  # at most one


def current() -> World:
    """Return the world this process has joined, a single process by default."""
    return joined[0] if joined else ALONE


def join(strategy: str, device: str) -> World:
    """Join the other processes that torchrun started, if any; return this process's world."""
    here = torchrun.place()
    sharded = strategy == "fsdp"
    if joined or not (here.size > 1 or (here.started and sharded)):
        return current()
    joined.append(Group(here, device, sharded=sharded))
    return joined[0]


def leave(code: int, *, agreed: bool) -> None:
    """Disconnect from the other processes, waiting for them if all end in agreement.

    After an error exit at once: shutting down the interpreter would take seconds.
    """
    if not joined:
        return
    if agreed:
        joined.pop().leave()
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def connection_lost(error: BaseException) -> bool:
    """Return whether a collective failed because another process has ended."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(name in text for name in ("gloo", "nccl"))


def buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Group tensors in order into buckets of one dtype and about `BUCKET` bytes."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or size > BUCKET):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket
