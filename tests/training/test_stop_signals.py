"""A wish to stop is noted, once; who asks twice is obeyed at once."""

import signal
import threading

import pytest

from hifacegan_lib.training import stop_signals


@pytest.mark.parametrize("number", stop_signals.SIGNALS)
def test_a_signal_is_noted_and_the_former_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(n) for n in stop_signals.SIGNALS]
    with stop_signals.record_signals() as received:
        assert received == []
        signal.raise_signal(number)
        assert received == [number]
    assert [signal.getsignal(n) for n in stop_signals.SIGNALS] == before


def test_the_second_ctrl_c_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop_signals.record_signals():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_outside_the_main_thread_nothing_is_noticed_and_nothing_breaks() -> None:
    found = []

    def elsewhere() -> None:
        with stop_signals.record_signals() as received:
            found.append(received)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [[]]
