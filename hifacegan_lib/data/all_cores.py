"""Work on all cores: a function of each item, computed by processes, with the results in the order of the items.

joblib starts the processes (threads would wait for each other at each page of new memory). Starting them takes about a
second, so short work is done by the calling process.
"""

import warnings
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

import cv2
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor

SHORT = 6.0  # seconds of work

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int = 0, seconds: float = 0
) -> Generator[Result]:
    """The results of ``function``, one for each item, in the order of the items.

    Args:
        function: of a module, so that a process can import it.
        workers: processes; 0: one for each core that this process may use, or none for short work.
        seconds: about how long one core needs for all items.
    """
    workers = min(workers or (cpu_count() if seconds > SHORT else 1), len(items))
    if workers < 2:
        yield from map(function, items)
        return
    parallel: Any = Parallel(workers, "loky", return_as="generator")
    results = parallel(delayed(_alone)(function, item) for item in items)
    try:
        for result in results:  # noqa: UP028 - `yield from` would close joblib's generator outside of the block below
            yield result
    finally:
        with warnings.catch_warnings(action="ignore"):  # joblib's, of results that nobody waits for any more
            results.close()
        get_reusable_executor().shutdown()  # no process is left over


def _alone(function: Callable[[Item], Result], item: Item) -> Result:
    cv2.setNumThreads(1)  # the processes share the cores
    return function(item)
