"""Stop signals: Ctrl-C, a notebook's stop button, or the SIGTERM of a machine that shuts down.

The signal is recorded and the current step is finished. A second Ctrl-C interrupts at once.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopRequest:
    """``received``: the received signal, or None."""

    received: signal.Signals | None = None


@contextmanager
def record_signals() -> Iterator[StopRequest]:
    """Record SIGINT and SIGTERM inside the block instead of stopping; the former handlers are restored at its end.

    Outside the main thread Python delivers no signals, and nothing is recorded.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def record(number: int, frame: FrameType | None) -> None:
        if request.received is not None and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        request.received = signal.Signals(number)

    former = {number: signal.signal(number, record) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
