"""Claims: two threads prepare at least 1.8 times as fast as one; from shards come 5 times the pairs of PNG files.

The faces are the photograph of the astronaut (public domain, in scikit-image) at 1,024 pixels with a little noise, so
that its PNG is as large as one of FFHQ (1.4 MB), moved by some pixels for each file; further files are hard links.

`prepare` reads, hashes, decodes and compares them, with one thread and with one for each core. The measure for one
thread is one plain pass: read, sha256 and decode, nothing else. The pairs are those of training, made by one
process: a crop of at least 0.9 of the side, damaged by `face_renov`. Contestants take turns; a ratio is the median.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from _bench import finish, machine, options, table
from skimage import data

from hifacegan_lib.data.face_loader import FaceLoader, LoaderConfig
from hifacegan_lib.data.manifest import Manifest
from hifacegan_lib.data.preparation import prepare
from hifacegan_lib.data.shards import write_shards
from hifacegan_lib.utils.images import decode_image, save_image

DISTINCT, CROP = 24, 0.9


def main() -> int:
    parser = options(__doc__, "python benchmarks/data.py --quick")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[64, 256, 512], help="of the pairs, pixels (64 256 512)"
    )
    parser.add_argument("--side", type=int, default=1024, help="of the faces, pixels (1024)")
    choice = parser.parse_args()
    rounds, files = (1, 96) if choice.quick else (5, 960)
    cores, rows, ratios = os.cpu_count() or 1, [], {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for kind in ("png", "jpg"):
            faces = make_faces(root / kind, kind, files, choice.side)
            ways: dict[str, Callable[[], object]] = {
                "plain": lambda faces=faces: plain_pass(faces),  # type: ignore[misc]
                "one": lambda faces=faces: prepared(faces, root, 1),  # type: ignore[misc]
                "all": lambda faces=faces: prepared(faces, root, cores),  # type: ignore[misc]
            }
            seconds = turns(ways, rounds)
            rows.append([f"prepare {kind}, images/s", *(files / median(seconds[name]) for name in ways)])
            ratios[f"prepare_{kind}_all_vs_one"] = ratio(seconds, "one", "all")
            ratios[f"prepare_{kind}_one_vs_plain"] = ratio(seconds, "plain", "one")
        print(table(["", "plain pass", "prepare, 1 thread", f"prepare, {cores} threads"], rows))
        few = make_faces(root / "few", "png", DISTINCT, choice.side)
        manifest, rows = prepared(few, root, 1), []
        for size in choice.sizes:
            shards = write_shards(manifest, root / f"shards-{size}", size, CROP, progress=False).folder
            loaders = {name: loader(place, size) for name, place in (("files", manifest.folder), ("shards", shards))}
            seconds = turns({name: (lambda s=stream: next(s)) for name, stream in loaders.items()}, 12 * rounds)  # type: ignore[misc]
            rows.append([f"pairs of {size} px/s", *(8 / median(seconds[name]) for name in loaders)])
            ratios[f"pairs_{size}_shards_vs_files"] = ratio(seconds, "files", "shards")
    print(table(["", "PNG files", "shards"], rows))
    known = machine("numpy", "pillow", "opencv-python-headless", "joblib")
    finish(
        choice.out, ratios, machine=known, files=files, side=choice.side, quick=choice.quick, load=os.getloadavg()[0]
    )
    return 0


def make_faces(folder: Path, kind: str, count: int, side: int) -> list[Path]:
    photo = cv2.resize(data.astronaut(), (side, side), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 2, photo.shape)
    noisy = np.clip(np.rint(photo + noise), 0, 255).astype(np.uint8)
    paths = [folder / f"{number:05}.{kind}" for number in range(count)]
    for number, path in enumerate(paths):
        if number < DISTINCT:
            save_image(path, np.roll(noisy, 37 * number, 1))
        else:
            path.hardlink_to(paths[number % DISTINCT])
    return paths


def plain_pass(faces: list[Path]) -> None:
    for path in faces:
        content = path.read_bytes()
        hashlib.sha256(content).hexdigest()
        decode_image(content)


def prepared(faces: list[Path], root: Path, workers: int) -> Manifest:
    sizes = {"train_size": len(faces) - 4, "valid_size": 4}
    return prepare(
        source="folder",
        source_path=faces[0].parent,
        data_dir=root / "data",
        overwrite=True,
        progress=False,
        workers=workers,
        **sizes,
    )


def loader(folder: Path, size: int) -> Generator[dict[str, Any]]:
    config = LoaderConfig(folder, size, "face_renov", batch_size=8, crop_min=CROP, flip_probability=0.5)
    return FaceLoader(config, "train").batches()


def turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round; the first round warms up and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: found[1:] for name, found in seconds.items()}


def ratio(seconds: dict[str, list[float]], slow: str, fast: str) -> float:
    return median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))


if __name__ == "__main__":
    raise SystemExit(main())
