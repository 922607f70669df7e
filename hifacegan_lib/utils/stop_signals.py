"""Asked to stop between two steps: Ctrl-C, a notebook's stop button, or the SIGTERM of a machine that is taken away.

The signal is noted and the step that is under way ends. Who asked twice wants it now: the second Ctrl-C interrupts.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Request:
    """``came``: the signal, None until then."""

    came: signal.Signals | None = None


@contextmanager
def noticed() -> Iterator[Request]:
    """Note SIGINT and SIGTERM instead of obeying them at once; the former handlers come back at the end.

    Outside the main thread Python delivers no signals, and nothing is noticed.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request.came is not None and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        request.came = signal.Signals(number)

    former = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def workers_leave_it_to_the_loop() -> None:
    """In a loader's worker: Ctrl-C reaches the whole group of processes, and only the loop is to answer it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how the loader ends its workers
