"""Stop signals: Ctrl-C, a notebook's stop button, or the SIGTERM of a machine that shuts down.

The signal is recorded and the current step is finished. A second Ctrl-C interrupts at once.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def record_signals() -> Iterator[list[signal.Signals]]:
    """Append each SIGINT and SIGTERM inside the block to a list instead of stopping; then restore the former handlers.

    Outside the main thread Python delivers no signals, and the list stays empty.
    """
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def record(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        received.append(signal.Signals(number))

    former = {number: signal.signal(number, record) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
