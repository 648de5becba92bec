"""Signals that end the program: SIGTERM, SIGINT, SIGHUP, and SIGUSR1, which SLURM may send.

Inside `immediate()` a signal raises Interrupted in the main thread. Elsewhere, and inside
`deferred()`, it sets a flag that is checked after each step, so that the state can be saved first.
A second SIGINT ends the program at once.
"""

import _thread
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from trainer.core.errors import Interrupted

NAMES = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")
STOPPING = tuple(signal.Signals[name] for name in NAMES if name in signal.Signals.__members__)
OURS_BY_RIGHT = (signal.SIGTERM, signal.SIGINT)  # of the others, nohup or submitit may dispose
PATIENCE = 4.0  # seconds between an immediate signal and the end of the program, at most
LOOK_EVERY = 0.1  # seconds
AGAIN = 1.0  # seconds after which a signal that was ignored is sent again
IMPORTS = "<frozen importlib._bootstrap>"
END = b"\0"  # no signal has this number


class State:
    """What all signal handling of this process shares."""

    def __init__(self) -> None:
        self.active: list[Signals] = []  # the innermost last
        self.received: int | None = None  # the first signal
        self.raised: float | None = None  # when Interrupted last was, in monotonic seconds
        self.repeated = False  # whether the next signal is `insist`'s
        self.settled = False
        self.immediate = False


class Signals:
    """Context manager that handles the signals; a no-op outside the main thread.

    They are deferred inside it. `last_words(number)` is called before a second SIGINT ends the
    program, and where the program does not end by itself.
    """

    def __init__(self, last_words: Callable[[int], object] = lambda _: None) -> None:
        self.received: int | None = None
        self.previous: dict[int, object] = {}
        self.last_words = last_words

    def agreed_signal(self) -> int | None:
        """Return the signal that ends the run, None if there is none yet.

        With several processes this is a collective: all must call it at the same step.
        """
        return self.received

    def stopped_alone(self) -> bool:
        """Whether a signal has arrived that no other process has to agree on."""
        return self.received is not None

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            self.received = self.received or state.received
            self.immediate_before, state.immediate = state.immediate, False
            state.active.append(self)
            for number in STOPPING:
                if number in OURS_BY_RIGHT or signal.getsignal(number) == signal.SIG_DFL:
                    self.previous[number] = signal.signal(number, handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)  # pyright: ignore
        if self in state.active:
            state.active.remove(self)
            state.immediate = self.immediate_before
        if not state.active:
            state.__init__()

    def receive(self, number: int) -> None:
        """Remember the first signal; a second SIGINT ends the program without saving anything."""
        if number == signal.SIGINT == self.received:
            end_at_once(number)
        self.received = self.received or number

    def raise_if_stopped(self) -> None:
        """Raise Interrupted if a signal has arrived."""
        number = self.agreed_signal()
        if number is not None:
            raise interruption(number)


state = State()


def handle(number: int, frame: FrameType | None = None) -> None:
    """Python's handler of every signal. It does nothing in a fork, whose parent ends it."""
    if not state.active:
        return
    if state.repeated:
        state.repeated = False
    else:
        for outer in state.active[:-1]:
            outer.received = outer.received or number
        state.active[-1].receive(number)
    state.received = state.received or number
    raise_pending(later=frame is not None and frame.f_code.co_filename == IMPORTS)


def raise_pending(*, later: bool = False) -> None:
    """Raise Interrupted where a signal has arrived and nothing has to be saved first.

    It is raised again, by `insist`, until it is settled; with `later` by `insist` alone: inside an
    import, Python would print what a callback raises, and go on.
    """
    if not state.immediate or state.received is None or state.settled:
        return
    if state.raised is None:
        program = state.active[0]
        _thread.start_new_thread(insist, (state.received, program))  # takes none of Python's locks
    elif time.monotonic() - state.raised < AGAIN / 2:
        return
    error = interruption(state.received)
    if not later:
        raise error


def interruption(number: int) -> Interrupted:
    """The error to raise for a signal."""
    state.raised = time.monotonic()
    return Interrupted(number)


def settle() -> None:
    """Record that an interruption, if there was one, has been dealt with."""
    state.settled = state.raised is not None


def cause_of(error: BaseException) -> BaseException:
    """The Interrupted that an error came from: some libraries replace it by errors of their own."""
    if state.raised is None or state.received is None or isinstance(error, Interrupted):
        return error
    return Interrupted(state.received)


@contextlib.contextmanager
def immediate() -> Iterator[None]:
    """Signals raise Interrupted at once, also one that has been waiting."""
    with mode(immediate=True):
        yield


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Signals wait until they are polled for, at the latest until the end of the block."""
    with mode(immediate=False):
        yield


@contextlib.contextmanager
def mode(*, immediate: bool) -> Iterator[None]:
    """Set the mode for a block, in the main thread."""
    if threading.current_thread() is not threading.main_thread() or not state.active:
        yield
        return
    before = state.immediate
    try:
        state.immediate = immediate
        raise_pending()
        yield
    finally:
        state.immediate = before
    raise_pending()


def ignore() -> None:
    """Ignore the signals from here on."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def end_at_once(number: int) -> None:
    """End the program without cleaning up; the status of what was running is written."""
    for one in reversed(state.active):
        with contextlib.suppress(Exception):
            one.last_words(number)
    with contextlib.suppress(OSError):
        os.write(2, f"{Interrupted(number)}\n".encode())
    os._exit(128 + number)


class Deadline:
    """Context manager under which a signal ends a long call into C as well.

    Such a call keeps the handler waiting; a thread learns of the signal nevertheless.
    """

    def __enter__(self) -> "Deadline":
        self.pipe: tuple[int, int] | None = None
        if threading.current_thread() is threading.main_thread():
            self.pipe = os.pipe()
            os.set_blocking(self.pipe[1], False)
            self.previous = signal.set_wakeup_fd(self.pipe[1], warn_on_full_buffer=False)
            self.thread = threading.Thread(target=watch, args=(self.pipe[0],), daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.pipe is not None:
            signal.set_wakeup_fd(self.previous)
            os.write(self.pipe[1], END)
            self.thread.join()
            for end in self.pipe:
                os.close(end)


def watch(source: int) -> None:
    """Read the numbers of the signals until END; after PATIENCE without a handler, exit."""
    number, waited = 0, 0.0
    while waited < PATIENCE:
        ready, _, _ = select.select([source], [], [], LOOK_EVERY if number else None)
        read = os.read(source, 4096) if ready else b""
        if END in read:
            return
        number = number or next((byte for byte in read if byte in STOPPING), 0)
        unheard = number and state.immediate and state.raised is None
        waited = waited + LOOK_EVERY if unheard else 0.0
    end_at_once(number)


def insist(number: int, program: Signals) -> None:
    """Send a signal again where Interrupted was swallowed; after PATIENCE end the program.

    Some libraries go on after any error. Time in which signals are deferred does not count.
    """
    waited = 0.0
    while waited < PATIENCE:
        time.sleep(AGAIN)
        if state.settled or program not in state.active:
            return
        if state.immediate:
            waited += AGAIN
            state.repeated = True
            signal.pthread_kill(threading.main_thread().ident or 0, number)
    end_at_once(number)


def start_over() -> None:
    """Forget, in a forked process, what its parent was doing: the parent ends it."""
    if state.active:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    state.__init__()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=start_over)
