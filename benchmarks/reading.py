"""Claim: two threads read images 1.8 times as fast as one, on two idle cores: reading holds no lock.

`load_image` and `read_photo` read the same photographs of the astronaut (public domain, in scikit-image) by one
thread, by two threads and by two processes, by turns; a ratio is the median over the rounds. Two processes share no
lock, so they are the measure for two threads on a busy machine. The allocator keeps its memory (MALLOC_...): otherwise
each image has new pages, and page faults of one process wait for each other, most of all in a virtual machine.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import tifffile
from _bench import finish, machine, options, table
from skimage import data

from hifacegan_lib.restoration.photo_files import read_photo
from hifacegan_lib.utils.images import load_image, save_image

SIDE, FILES = 768, 8
SETTINGS = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}


def main() -> int:
    if not SETTINGS.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SETTINGS)  # malloc reads them at its start
    choice = options(__doc__, "python benchmarks/reading.py --quick").parse_args()
    rounds = 3 if choice.quick else 25
    cv2.setNumThreads(1)
    rows, ratios = [], {}
    photo = cv2.resize(data.astronaut(), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
        for name in ("jpg", "png", "16-bit tif"):
            paths = [Path(folder) / f"{number}.{name.split()[-1]}" for number in range(FILES)]
            for path in paths:
                if name == "16-bit tif":
                    tifffile.imwrite(path, photo.astype(np.uint16) * 257, photometric="rgb", compression="zlib")
                else:
                    save_image(path, photo)
            for kind, read in (("load_image", load_image), ("read_photo", read_photo)):
                ways = [partial(_read, read, path) for path in paths]
                times = [_turns(ways, threads, processes) for _ in range(rounds + 1)][1:]  # the first reads the disk
                one, two, apart = (median(seconds) for seconds in zip(*times, strict=True))
                rows.append([f"{name}, {kind}", FILES / one, FILES / two, FILES / apart])
                mark = f"{kind}_{name.split()[-1]}_threads_vs"
                ratios[f"{mark}_one"] = median(one / two for one, two, _ in times)
                ratios[f"{mark}_processes"] = median(apart / two for _, two, apart in times)
    print(table(["images/s", "one thread", "two threads", "two processes"], rows))
    known = machine("numpy", "pillow", "tifffile", "opencv-python-headless")
    finish(choice.out, ratios, machine=known, quick=choice.quick, load=os.getloadavg()[0])
    return 0


def _read(read: Callable[[Path], object], path: Path) -> None:
    read(path)  # nothing goes back to another process


def _call(way: Callable[[], None]) -> None:
    way()


def _turns(ways: list[Callable[[], None]], *pools: Executor) -> list[float]:
    """Seconds of one thread, and of each pool."""
    start = time.perf_counter()
    for way in ways:
        way()
    seconds = [time.perf_counter() - start]
    for pool in pools:
        start = time.perf_counter()
        list(pool.map(_call, ways))
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
