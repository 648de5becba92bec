"""The processes that train together. Alone, every method gives back what it is given.

`Group` joins them by torch.distributed: gloo between CPUs, nccl between GPUs, and gloo for what is
agreed upon by the CPUs of either. What is summed and gathered is the same in every process, so that
every decision is.
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
from trainer.distributed import torchrun

T = TypeVar("T")
Shard = Callable[[nn.Module, torch.device, int], None]  # of a model, among so many processes

BUCKET = 2**26  # bytes that are summed at once
LOST = "another process of the run has ended"
FAILED = "trainer/failed"  # the key under which the first failure is told
LISTEN_EVERY = 1.0  # seconds
WAIT_FOR_OTHERS = 3.0  # seconds in which another process may tell what has ended this one
LET_FINISH = 5.0  # seconds that a process has to end by itself after another has failed


class World:
    """One process, alone; the base of several."""

    rank, size, is_main, sharded, alone = 0, 1, True, False, True
    last_words: Callable[[int, str], None]

    def all_reduce(self, tensors: list[Tensor]) -> None:
        """Put the sum over the processes in place of each tensor."""

    def gather_rows(self, parts: list[Tensor], sizes: list[int]) -> list[Tensor]:
        """Each tensor [n, ...] with the rows of all processes, `sizes` of each, in order."""
        return parts

    def broadcast(self, value: T) -> T:
        """What rank 0 has, in every process."""
        return value

    def gather_objects(self, value: T) -> list[T]:
        """What each process has, in order."""
        return [value]

    def highest(self, number: int) -> int:
        """The highest of the numbers that the processes have."""
        return number

    def wait(self) -> None:
        """Wait for all."""

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """The first process of each machine alone, then its others: one downloads for all."""
        yield

    def verdict(self, error: Exception, code: int, text: str) -> tuple[int, str, bool]:
        """Exit code and text of a run that ends by an error, and whether this process says so."""
        return code, text, True

    def agreed(self, error: Exception) -> bool:
        """Whether all processes come to an error together."""
        return True

    def place(self, model: nn.Module, shard: Shard | None = None) -> nn.Module:
        """The model as the processes hold it; `shard` splits its weights among them."""
        return model


class Group(World):
    """Several processes."""

    alone = False

    def __init__(self, place: torchrun.Place, device: str, *, sharded: bool) -> None:
        self.seat = place
        self.rank, self.size, self.is_main = place.rank, place.size, place.is_main
        self.sharded = sharded
        cuda = device in ("auto", "cuda") and torch.cuda.is_available()
        if cuda:
            if place.local_size > torch.cuda.device_count():
                raise ConfigError(
                    f"{place.local_size} processes and {torch.cuda.device_count()} GPUs on this "
                    "machine; torchrun --nproc-per-node must not be more, or device=cpu"
                )
            torch.cuda.set_device(place.local_rank)
        self.device = torch.device("cuda" if cuda else "cpu")
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "cpu:gloo")
        self.store = dist.distributed_c10d._get_default_store()
        self.last_words: Callable[[int, str], None] = lambda *_: None
        threading.Thread(target=self.listen, daemon=True).start()

    def all_reduce(self, tensors: list[Tensor]) -> None:
        """Put the sum over the processes in place of each tensor."""
        for bucket in buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            sums = flat.split([tensor.numel() for tensor in bucket])
            pairs = zip(sums, bucket, strict=True)
            torch._foreach_copy_(bucket, [part.view(tensor.shape) for part, tensor in pairs])

    def gather_rows(self, parts: list[Tensor], sizes: list[int]) -> list[Tensor]:
        """Each tensor [n, ...] with the rows of all processes, `sizes` of each, in order.

        They travel side by side as bytes, so that one message does.
        """
        flat = [part.detach().unsqueeze(1).flatten(1).contiguous() for part in parts]
        raw = torch.cat([part.view(torch.uint8) for part in flat], 1)
        room = raw.new_zeros((max(sizes), raw.shape[1]))
        room[: len(raw)] = raw
        held = [torch.empty_like(room) for _ in sizes]
        dist.all_gather(held, room)
        whole = torch.cat([part[:size] for part, size in zip(held, sizes, strict=True)])
        columns = whole.split([part.shape[1] * part.element_size() for part in flat], 1)
        return [
            column.contiguous().view(part.dtype).view(len(whole), *part.shape[1:])
            for column, part in zip(columns, parts, strict=True)
        ]

    def broadcast(self, value: T) -> T:
        """What rank 0 has, in every process."""
        held: list[Any] = [value]
        dist.broadcast_object_list(held, src=0, device=torch.device("cpu"))
        return held[0]

    def gather_objects(self, value: T) -> list[T]:
        """What each process has, in order."""
        held: list[Any] = [None] * self.size
        dist.all_gather_object(held, value)
        return held

    def highest(self, number: int) -> int:
        """The highest of the numbers that the processes have."""
        held = torch.tensor(number)
        dist.all_reduce(held, dist.ReduceOp.MAX)
        return int(held)

    def wait(self) -> None:
        """Wait for all."""
        self.highest(0)

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """The first process of each machine alone, then its others: one downloads for all."""
        if self.seat.local_rank:
            self.wait()
            yield
        else:
            yield
            self.wait()

    def place(self, model: nn.Module, shard: Shard | None = None) -> nn.Module:
        """The model with rank 0's weights in every process, then split by `shard`, if given."""
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)
        if shard is not None:
            shard(model, self.device, self.size)
        return model

    def verdict(self, error: Exception, code: int, text: str) -> tuple[int, str, bool]:
        """Exit code and text of a run that ends by an error, and whether this process says so.

        Of an error that all processes agree upon rank 0 speaks, otherwise the first that fails.
        """
        if self.agreed(error):
            return code, text, self.is_main
        if lost(error):
            code, text = 1, f"{LOST}; go on with resume=auto"
        seconds = 0.0 if self.is_main and not lost(error) else WAIT_FOR_OTHERS
        failure = self.first_failure(seconds)
        if failure is None:
            self.tell_failure(code, text)
            failure = self.first_failure(0.0)
        if failure is None or failure[0] == self.rank:
            return code, text if self.is_main else f"rank {self.rank}: {text}", True
        rank, code, text = failure
        return code, f"rank {rank}: {text}", False

    def agreed(self, error: Exception) -> bool:
        """Whether all processes come to an error together."""
        return isinstance(error, (Interrupted, NonFiniteError))

    def tell_failure(self, code: int, text: str) -> None:
        """Tell the others that this process ends, unless another has done so before."""
        with contextlib.suppress(Exception):
            self.store.compare_set(FAILED, "", f"{self.rank} {code} {text}")

    def first_failure(self, seconds: float) -> tuple[int, int, str] | None:
        """Rank, exit code and text of the first process that has failed, within so many seconds."""
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
        """End this process when another has failed and it does not do so by itself.

        It may wait in a collective that never ends, where no signal is heard.
        """
        while True:
            time.sleep(LISTEN_EVERY)
            failure = self.first_failure(0.0)
            if failure is not None:
                time.sleep(LET_FINISH)
                rank, code, text = failure
                with contextlib.suppress(Exception):
                    self.last_words(code, f"rank {rank}: {text}")
                os._exit(code)

    def leave(self) -> None:
        """Part in peace: all have come to the end."""
        self.wait()
        dist.destroy_process_group()


ALONE = World()
joined: list[Group] = []  # at most one


def current() -> World:
    """The world of this process."""
    return joined[0] if joined else ALONE


def join(strategy: str, device: str) -> World:
    """Join the other processes, where torchrun has started some."""
    here = torchrun.place()
    sharded = strategy == "fsdp"
    if joined or not (here.size > 1 or (here.started and sharded)):
        return current()
    joined.append(Group(here, device, sharded=sharded))
    return joined[0]


def leave(code: int, *, agreed: bool) -> None:
    """Part from the other processes: in peace where all have come to the end together.

    After an error the process ends here and now: the interpreter would take seconds to.
    """
    if not joined:
        return
    if agreed:
        joined.pop().leave()
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def lost(error: BaseException) -> bool:
    """Whether an error is that of a collective whose other processes are gone."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(name in text for name in ("gloo", "nccl"))


def buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in order, those of one type together, as many as a bucket holds."""
    held: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if held and (tensor.dtype != held[0].dtype or size > BUCKET):
            yield held
            held, size = [], 0
        held.append(tensor)
        size += tensor.nbytes
    if held:
        yield held
