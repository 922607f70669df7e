"""A lock on an output folder: two processes never write into one folder at the same time.

The lock is a hidden file of the folder, held by the operating system, and it ends with its process.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

NAME = ".lock"


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a folder. Missing folders are created, and removed at the end if nothing was written into them.

    Raises:
        BlockingIOError: another process, or another thread, holds it; the message names the folder.
    """
    path = Path(folder) / NAME
    new = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"{folder}: another process is writing into this folder; wait until it ends, or choose another folder"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes it when the lock ends
            path.unlink()  # a process that has opened it already sees that it has no name any more, and opens a new one
        lock.release()
        with suppress(OSError):
            for parent in new:
                parent.rmdir()


@contextmanager
def scratch_folder(folder: str | Path) -> Iterator[Path]:
    """An empty folder for files that are not whole yet, below a locked folder; removed at the end.

    Raises:
        BlockingIOError: as :func:`locked`, for the folder above.
    """
    folder = Path(folder)
    with locked(folder.parent):
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
