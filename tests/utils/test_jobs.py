"""Workers: every item once, also when a worker is killed; errors stay with their items; Ctrl-C leaves no process."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hifacegan_lib.names import ParamsError
from hifacegan_lib.utils import jobs


class Odd(Exception):
    """An error that cannot be opened again in another process."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def square(number: int, folder: Path | None = None) -> int:
    """Fails for 3 and 4. In ``folder``, 5 kills its worker the first time, and 6 each time."""
    if number == 3:
        raise ValueError("three is left out")
    if number == 4:
        raise Odd("four", "more")
    if folder and number in (5, 6):
        tries = folder / f"{number}"
        if number == 6 or not tries.exists():
            tries.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def collected(each: jobs.Each, function: Any, items: Any) -> dict[Any, Any]:
    found = {}
    for item, result in each(function, items):
        assert item not in found
        try:
            found[item] = result()
        except Exception as error:
            found[item] = f"{type(error).__name__}: {error}"
    return found


def test_every_item_has_its_value_or_its_error_and_a_killed_worker_loses_none(tmp_path: Path) -> None:
    with jobs.workers(1) as each:
        alone = collected(each, square, range(10))
    assert alone == {n: n * n for n in range(10)} | {3: "ValueError: three is left out", 4: "Odd: four and more"}
    with jobs.workers(2) as each:
        found = collected(each, partial(square, folder=tmp_path), range(10))
        again = list(jobs.ordered(each, square, [9, 1, 8, 0]))  # the same workers
    assert found[6] == "ChildProcessError: its process ended twice, the last time with exit code -9"
    assert found[4] == "RuntimeError: four and more (Odd)"
    assert {n: v for n, v in found.items() if n not in (4, 6)} == {n: v for n, v in alone.items() if n not in (4, 6)}
    assert again == [81, 1, 64, 0]


def test_what_cannot_travel_and_odd_numbers_of_jobs_are_refused() -> None:
    with jobs.workers(2) as each, pytest.raises(ValueError, match="only --jobs 1 computes it"):
        next(each(lambda item: item, [1]))
    for given in ({"jobs": -1}, {"jobs": 2, "scheduler": "tcp://127.0.0.1:9"}):
        with pytest.raises(ParamsError, match=f"--jobs {given['jobs']}: expected"), jobs.workers(**given):
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_survives_its_parent(number: signal.Signals) -> None:
    script = "import time\nfrom hifacegan_lib.utils import jobs\n"
    script += "with jobs.workers(2) as each:\n    for item, result in each(print, range(2)): result(), time.sleep(60)"
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    given["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
    with subprocess.Popen([sys.executable, "-u", "-c", script], **given) as process:  # type: ignore[call-overload]
        assert process.stdout.readline()
        os.kill(process.pid, number)
        errors = process.communicate(timeout=60)[1]  # returns when no process holds the pipes any more
    assert process.returncode == -number and errors.count("Traceback") == (number == signal.SIGINT)


def test_a_cluster_gives_the_same_and_a_lost_worker_s_items_to_others(tmp_path: Path) -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as dask,
        jobs.workers(scheduler=dask.scheduler_address) as each,
    ):
        found = collected(each, partial(square, folder=tmp_path), [0, 1, 2, 3, 5, 7])
    assert found == {0: 0, 1: 1, 2: 4, 3: "ValueError: three is left out", 5: 25, 7: 49}


def test_a_lost_scheduler_is_one_error() -> None:
    script = "import sys\nfrom distributed import LocalCluster\nif __name__ == '__main__':\n    c = LocalCluster("
    script += "n_workers=1, processes=False, protocol='tcp://', dashboard_address=':0')\n"
    script += "    print(c.scheduler_address, flush=True)\n    sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with (
        subprocess.Popen([sys.executable, "-c", script], **pipes) as dask,  # type: ignore[call-overload]
        pytest.raises(ConnectionError, match="the Dask scheduler is lost"),
        jobs.workers(scheduler=dask.stdout.readline().strip()) as each,
    ):
        for _, result in each(time.sleep, [0.2] * 50):
            result()
            dask.kill()


def test_without_dask_or_its_scheduler_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PATIENCE", 0.1)
    with pytest.raises(OSError, match=r"tcp://127\.0\.0\.1:9"), jobs.workers(scheduler="tcp://127.0.0.1:9"):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ImportError, match=r"hifacegan-workbench\[cluster\]"),
        jobs.workers(scheduler="tcp://127.0.0.1:9"),
    ):
        pass


def test_threads_are_shared_where_results_do_not_depend_on_them() -> None:
    with jobs.workers(2) as each:
        share = next(iter(each(os.getenv, [jobs.SHARE])))[1]()
    assert int(share) == max(1, len(os.sched_getaffinity(0)) // 2)
