"""Checks of image files: each file is read once, on all cores: bytes -> sha256, decoded image -> size, difference hash.

Threads share the work, since decoding and hashing hold no lock of Python. The journal keeps finished checks. So a
preparation that was interrupted does not check the same files again.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from joblib import cpu_count

from hifacegan_lib.data.duplicates import SIDE, Hash, both_hashes
from hifacegan_lib.utils.files import append_line, read_lines
from hifacegan_lib.utils.images import contents, decode_image
from hifacegan_lib.utils.item_guard import reason

SMALLEST_SIDE = 16  # pixels
JOURNAL = ".checked_1.jsonl"
"""The journal, in the data folder until the manifest is written. Its number changes when the same file's check does."""

_LEAST = 8 * SIDE  # pixels of a reduced image; its hash is nearly that of the full image

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Sequence[Item], workers: int = 0) -> Generator[Result]:
    """The results of ``function`` for each item, in the order of the items, by threads; 0: one for each core."""
    threads = ThreadPoolExecutor(workers or cpu_count())
    try:
        yield from threads.map(function, items)
    finally:
        threads.shutdown(cancel_futures=True)


class Check(NamedTuple):
    """The facts of a file: sha256, upright size in pixels, hashes of the image and its mirror image, hexadecimal.

    ``error`` is the reason why the file cannot be used; then the rest is empty.
    """

    sha256: str = ""
    height: int = 0
    width: int = 0
    plain: str = ""
    mirrored: str = ""
    error: str = ""

    @property
    def hashes(self) -> tuple[Hash, Hash]:
        """The hashes of the image and of its mirror image."""
        plain, mirrored = (np.frombuffer(bytes.fromhex(text), np.uint64) for text in (self.plain, self.mirrored))
        return plain, mirrored


def check_face(path: Path) -> Check:
    """Read, hash and decode a file; an exception becomes the check's ``error``."""
    try:
        with contents(path) as data:
            image, (height, width) = decode_image(data, _LEAST)
        if min(height, width) < SMALLEST_SIDE:
            raise ValueError(f"{path}: {width} x {height} pixels, smallest side allowed is {SMALLEST_SIDE}")
        plain, mirrored = (words.tobytes().hex() for words in both_hashes(image))
        return Check(hashlib.sha256(data).hexdigest(), height, width, plain, mirrored)
    except Exception as error:  # MemoryError too
        return Check(error=reason(error, path))


def check_faces(paths: Sequence[Path], journal: Path | None = None, workers: int = 0) -> Iterator[Check]:
    """The check of each file, in the order of ``paths``.

    Args:
        journal: file to which finished checks are added, and whose checks of unchanged files are not made again.
        workers: threads; 0: one for each core.
    """
    stamps = {path: stamp(path) for path in paths}
    known = {path: check for path, (then, check) in _read(journal).items() if stamps.get(path) == then}
    fresh = [path for path in paths if path not in known]
    found = in_order(check_face, fresh, workers)
    for path in paths:
        if path in known:
            yield known[path]
            continue
        check = next(found)
        if journal and not check.error:
            add_check(journal, path, stamps[path], check)
        yield check


def add_check(journal: Path, path: Path, then: tuple[int, int], check: Check) -> None:
    """Add the check of a file, which had the stamp ``then`` before, to a journal."""
    append_line(journal, [str(path), *then, *check])


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change; zeros without a file."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _read(journal: Path | None) -> dict[Path, tuple[tuple[int, int], Check]]:
    lines = read_lines(journal) if journal else ()
    return {Path(name): ((size, changed), Check(*check)) for name, size, changed, *check in lines}
