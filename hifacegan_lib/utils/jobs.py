"""One function on many items: in this process, in several on this machine, or on a Dask cluster.

    with workers(jobs, scheduler) as each:
        for item, result in each(function, items):
            use(item, result())

Items come in the order in which they end; ``result()`` returns the function's value, or raises its error. A worker that
is killed loses nothing: another one takes its item. An item that loses its worker twice fails. Ctrl-C, and an error in
the loop, end the workers.

The values are the same bits for any number of workers. The sums of PyTorch depend on the number of threads, so every
worker has as many as one process alone. ONNX Runtime and OpenCV, whose results do not, share the cores.
"""

import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, contextmanager, suppress
from functools import partial
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any, NamedTuple

from hifacegan_lib.names import ParamsError
from hifacegan_lib.utils.item_guard import reason

Function = Callable[[Any], Any]
Results = Iterator[tuple[Any, Callable[[], Any]]]
Each = Callable[[Function, Iterable[Any]], Results]
"""(function, items) -> each item with its result, as they end. Both must be picklable unless ``jobs`` is 1."""

PATIENCE = 60  # seconds to wait for a cluster's scheduler, and for its first worker
SHARE = "HIFACEGAN_THREADS"  # threads of a worker, for what computes the same with any number of them
_SPAWN = get_context("spawn")
_one_at_a_time = threading.Lock()  # a Dask worker may have several threads; OpenCV's detectors may not


def serial(function: Function, items: Iterable[Any]) -> Results:
    """In this process, in order; an item is computed when its result is asked for."""
    for item in items:
        yield item, partial(function, item)


@contextmanager
def workers(jobs: int = 1, scheduler: str = "") -> Iterator[Each]:
    """A function that applies functions to items; its processes start when they are needed, and end with the block.

    Args:
        jobs: processes on this machine; 1: this process; 0: one for each core.
        scheduler: address of a Dask cluster, whose workers see the same files under the same paths.
    Raises:
        ParamsError: ``jobs`` below 0, or beside ``scheduler``. ImportError: ``scheduler`` without Dask. OSError: no
            scheduler at that address, or no worker; in the loop, the scheduler is lost.
    """
    if jobs < 0 or (scheduler and jobs != 1):
        raise ParamsError(f"--jobs {jobs}: expected 1 or more, 0 for all cores, and no --scheduler beside it")
    if scheduler:
        with cluster(scheduler) as client:
            yield partial(_on_cluster, client)
    elif (jobs or _cores()) == 1:
        yield serial
    else:
        crew = _Crew(jobs or _cores())
        try:
            yield crew
        finally:
            crew.close()


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """The client of a Dask cluster, with one worker at least.

    Raises:
        ImportError, OSError: as :func:`workers`.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError("--scheduler needs Dask: pip install 'hifacegan-workbench[cluster]'") from error
    with Client(address, timeout=PATIENCE) as client:
        client.wait_for_workers(1, timeout=PATIENCE)
        yield client


def ordered(each: Each, function: Function, items: Iterable[Any]) -> Iterator[Any]:
    """The function's values in the order of the items; raises its first error."""
    ended: dict[int, Callable[[], Any]] = {}
    turn = 0
    for (number, _), result in each(partial(_of_second, function), enumerate(items)):
        ended[number] = result
        while turn in ended:
            yield ended.pop(turn)()
            turn += 1


def _of_second(function: Function, numbered: tuple[int, Any]) -> Any:
    return function(numbered[1])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _packed(function: Function, item: Any) -> bytes:
    try:
        return pickle.dumps((function, item))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"this cannot be sent to another process, only --jobs 1 computes it: {error}") from error


class _Worker:
    """A process that computes one item at a time; ``pipe`` ends when it ends."""

    def __init__(self, threads: int) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(theirs, threads), daemon=True)
        self.process.start()
        theirs.close()

    def end(self) -> None:
        self.process.kill()  # files are written under other names first: none is left half
        self.process.join()
        self.pipe.close()


class _Task(NamedTuple):
    """An item, packed with its function; ``second``: the worker that had it first was killed."""

    item: Any
    work: bytes
    second: bool = False


class _Crew:
    """The workers of this machine. Each has one item, so a worker that was killed names its item."""

    def __init__(self, size: int) -> None:
        self.size, self.threads = size, max(1, _cores() // size)
        self.started: list[_Worker] = []
        self.idle: list[_Worker] = []

    def __call__(self, function: Function, items: Iterable[Any]) -> Results:
        fresh, again = (_Task(item, _packed(function, item)) for item in items), deque[_Task]()
        busy: dict[Any, tuple[_Worker, _Task]] = {}  # by the worker's pipe
        try:
            while True:
                while len(busy) < self.size and (task := again.popleft() if again else next(fresh, None)):
                    worker = self._given(task.work)
                    busy[worker.pipe] = worker, task
                if not busy:
                    return
                for pipe in connection.wait(list(busy)):
                    worker, task = busy.pop(pipe)
                    try:
                        answer = worker.pipe.recv_bytes()
                    except (EOFError, OSError):  # killed
                        worker.end()
                        if task.second:
                            yield task.item, partial(_lost, worker.process.exitcode)
                        else:
                            again.append(task._replace(second=True))
                    else:
                        self.idle.append(worker)
                        yield task.item, partial(_opened, answer)
        finally:
            for worker, _ in busy.values():
                worker.end()

    def _given(self, work: bytes) -> _Worker:
        if not self.idle:
            self.idle.append(_Worker(self.threads))
            self.started.append(self.idle[-1])
        worker = self.idle.pop()
        with suppress(OSError):  # it was killed while it was idle: its pipe has ended, which is seen next
            worker.pipe.send_bytes(work)
        return worker

    def close(self) -> None:
        for worker in self.started:
            worker.end()


def _serve(pipe: connection.Connection, threads: int) -> None:
    """Compute in a worker's process until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; the parent ends its workers
    os.environ |= {SHARE: str(threads), "OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait leave the core to others
    import cv2

    cv2.setNumThreads(threads)
    with suppress(EOFError, OSError):  # the parent has ended
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(work: bytes) -> bytes:
    """A function's value or error, packed."""
    try:
        function, item = pickle.loads(work)
        return pickle.dumps((function(item), None))
    except Exception as error:
        with suppress(Exception):  # some errors cannot be packed, or not be opened again
            answer = pickle.dumps((None, error))
            pickle.loads(answer)
            return answer
        return pickle.dumps((None, RuntimeError(reason(error, ""))))


def _opened(answer: bytes) -> Any:
    value, error = pickle.loads(answer)
    if error is not None:
        raise error
    return value


def _lost(code: int | None) -> Any:
    raise ChildProcessError(f"its process ended twice, the last time with exit code {code}")


def _on_cluster(client: Any, function: Function, items: Iterable[Any]) -> Results:
    """On Dask's workers; Dask gives the items of a lost worker to others."""
    import torch
    from distributed import as_completed

    threads, given = torch.get_num_threads(), {}
    try:
        for item in items:
            given[client.submit(_on_worker, _packed(function, item), threads, Path.cwd(), pure=False)] = item
        for future in as_completed(list(given)):
            item = given.pop(future)
            if future.cancelled():
                raise ConnectionError("the Dask scheduler is lost; finished work is kept, the same command continues")
            yield item, partial(_of_future, future)
    finally:
        client.cancel(list(given))


def _of_future(future: Any) -> Any:
    return _opened(future.result())


def _on_worker(work: bytes, threads: int, folder: Path) -> bytes:
    """With as many threads of PyTorch as the process that asks, and in its folder, which relative paths begin at."""
    with _one_at_a_time, chdir(folder):
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        return _answer(work)
