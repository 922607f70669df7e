"""Which processes of a training are still there.

Every process counts up its own key in torchrun's store, and reads those of the others. A process whose count stands
still is lost: it was killed, or its machine or the network is down. A collective call then fails, or waits for half an
hour. In both cases this process ends soon, with an error that names the lost one; the last checkpoint remains.
"""

import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

from torch.distributed import TCPStore

BEAT = 2.0  # seconds between two counts
PATIENCE, SECONDS = "HIFACEGAN_PATIENCE", 60.0  # seconds without a count after which a process is lost
FAILED, ENDED = "failed", "ended"


@contextmanager
def watched(fabric: Any) -> Iterator[None]:
    """Watch the other processes inside the block; does nothing for one process.

    Raises:
        ConnectionError: a collective call failed because another process is lost or failed; the message names it.
    """
    if fabric.world_size == 1:
        yield
        return
    presence = _Presence(fabric.global_rank, fabric.world_size)
    last = FAILED
    try:
        yield
        last = ENDED
    except RuntimeError as error:
        if not (said := presence.missing(3 * BEAT)):
            raise
        raise ConnectionError(said) from error
    finally:
        presence.end(last)


class _Presence:
    """Counts in one thread, and in another notes which process has not counted for too long."""

    def __init__(self, rank: int, world: int) -> None:
        self.key = f"hifacegan/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
        self.rank, self.master = rank, os.environ["MASTER_ADDR"]
        port, patience = int(os.environ["MASTER_PORT"]), float(os.environ.get(PATIENCE, SECONDS))
        self.store = TCPStore(self.master, port, is_master=False, timeout=timedelta(seconds=30), wait_for_workers=False)
        self.over, self.answered = threading.Event(), time.monotonic()  # the end; when the store has answered last
        self.seen = {n: ("", self.answered) for n in range(world) if n != rank}  # process -> its text, and since when
        for work in (self._count, partial(self._guard, patience)):
            threading.Thread(target=work, daemon=True).start()

    def _count(self) -> None:
        for count in itertools.count():
            try:
                self.store.set(f"{self.key}/{self.rank}", f"{count} {socket.gethostname()}")
                for n, (before, _) in self.seen.items():
                    there = self.store.check([f"{self.key}/{n}"])
                    text = self.store.get(f"{self.key}/{n}").decode() if there else ""
                    if text != before or text == ENDED:
                        self.seen[n] = text, time.monotonic()
                self.answered = time.monotonic()
            except RuntimeError:
                pass  # the store is lost
            if self.over.wait(BEAT):
                return

    def _guard(self, patience: float) -> None:
        while not self.over.wait(BEAT):
            if said := self._lost(patience):
                print(f"hifacegan: {said}", file=sys.stderr, flush=True)
                os._exit(1)  # the main thread waits in a collective call, which nothing else interrupts

    def _lost(self, seconds: float) -> str:
        """A sentence about the processes that have not counted for so many seconds; empty if there is none."""
        now, them = time.monotonic(), []
        for n, (text, when) in self.seen.items():
            if now - when > seconds and now - self.answered < seconds:
                host = text.partition(" ")[2]
                them.append(f"process {n}" + (f" on {host}" if host else ""))
        if now - self.answered > seconds:  # nothing is known of the others
            them = [f"process 0 (or torchrun on {self.master})"]
        advice = "the same command continues from the last checkpoint"
        return f"{' and '.join(them)}: lost, nothing was heard for {seconds:.0f} s; {advice}" if them else ""

    def missing(self, seconds: float) -> str:
        """Why a collective call failed, found in so many seconds; empty if the others are there."""
        time.sleep(seconds + BEAT)
        failed = [n for n, (text, _) in self.seen.items() if text == FAILED]
        return f"process {failed[0]}: ended with an error, see its own message" if failed else self._lost(seconds)

    def end(self, last: str) -> None:
        self.over.set()
        with suppress(RuntimeError):
            self.store.set(f"{self.key}/{self.rank}", last)
