"""Claim: of the landmark finders that are at hand, the one behind LLE and LMD is the steadiest.

The same clean face, 256 pixels, is shown again: at 0.8 times its size in another place of the picture, and moved by up
to 8 pixels. A perfect finder gives the same points, moved and scaled alike. The mean distance that is left, in per cent
of the distance of the eyes, is the floor under every LLE. A finder that always gives the same points would be steady
too: so the face is also stretched by 5 % in height, and the share of this move that the finder reports should be 1.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from _bench import finish, machine, milliseconds, options, race, table
from numpy.typing import NDArray

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.metrics import landmarks
from hifacegan_lib.utils import inputs, weight_registry
from hifacegan_lib.utils.files import sha256
from hifacegan_lib.utils.images import Pixels, load_image, resize

SIDE, SMALL, MOVE, STRETCH = 256, 205, 8, 1.05  # pixels; 0.8 times; largest move; in height
Points = NDArray[np.float64]
Finder = Callable[[Pixels], Points | None]
Shown = tuple[Pixels, Callable[[Points], Points]]
"""A picture of the face, and where a point of the plain picture lies in it."""


def views(face: Pixels, seed: int) -> dict[str, Shown]:
    """The plain picture and three others, each with its map of points; edges are repeated."""
    rng = np.random.default_rng(seed)
    plain, small = resize(face, SIDE, SIDE), resize(face, SMALL, SMALL)
    left, top = (int(x) for x in rng.integers(0, SIDE - SMALL + 1, 2))
    x, y = (int(x) for x in rng.integers(-MOVE, MOVE + 1, 2))
    room = SIDE - SMALL
    placed = cv2.copyMakeBorder(small, top, room - top, left, room - left, cv2.BORDER_REPLICATE)
    moved = cv2.copyMakeBorder(plain, MOVE, MOVE, MOVE, MOVE, cv2.BORDER_REPLICATE)
    moved = moved[MOVE - y : MOVE - y + SIDE, MOVE - x : MOVE - x + SIDE]
    high = round(SIDE * STRETCH)
    cutting = (high - SIDE) // 2
    tall = resize(face, high, SIDE)[cutting : cutting + SIDE]
    return {  # places are counted from the corner of the first pixel
        "plain": (plain, lambda p: p),
        "0.8 x": (placed, lambda p: p * SMALL / SIDE + [left, top]),
        "moved": (np.ascontiguousarray(moved), lambda p: p + np.array([x, y])),
        "stretched": (np.ascontiguousarray(tall), lambda p: p * [1, high / SIDE] - [0, cutting]),
    }


def by_yunet(file: Path) -> Finder:
    def find(image: Pixels) -> Points | None:
        found = landmarks.faces_of_crop(image, file)
        return found[0].points if found else None

    return find


def by_onet(rounds: int, file: Path) -> Finder:
    def find(image: Pixels) -> Points | None:
        found = landmarks.faces_of_crop(image, file)
        return landmarks.five_points(image, found[0].box, rounds) if found else None

    return find


def judge(find: Finder, faces: list[dict[str, Shown]]) -> dict[str, float]:
    """Mean distances in % of the eyes', one in pixels at 512, the stretch's reported share, faces not found."""
    apart: dict[str, list[float]] = {"0.8 x": [], "moved": []}
    pixels: list[float] = []
    reported, true, lost = 0.0, 0.0, 0
    for shown in faces:
        found = {name: find(image) for name, (image, _) in shown.items()}
        if any(points is None for points in found.values()):
            lost += 1
            continue
        plain = found["plain"]
        eyes = float(np.linalg.norm(plain[0] - plain[1]))
        for name, values in apart.items():
            expected = shown[name][1](plain)
            scale = np.linalg.norm(expected[0] - expected[1]) / eyes
            values.append(100 * float(np.linalg.norm(found[name] - expected, axis=1).mean() / eyes / scale))
        pixels.append(apart["0.8 x"][-1] / 100 * eyes * 512 / SIDE)
        move = shown["stretched"][1](plain) - plain
        reported += float(((found["stretched"] - plain) * move).sum())
        true += float((move**2).sum())
    means = {name: float(np.mean(values)) for name, values in apart.items()}
    return {**means, "0.8 x, pixels at 512": float(np.mean(pixels)), "stretch": reported / true, "lost": lost}


def main() -> int:
    parser = options(__doc__, "python benchmarks/landmarks.py --faces FACES/valid --out landmarks.json")
    parser.add_argument("--faces", type=Path, help="folder of aligned clean faces, 256 pixels or more (drawn faces)")
    parser.add_argument("--yunet", type=Path, nargs="*", help="files of YuNet (the one that is downloaded)")
    choice = parser.parse_args()
    torch.set_num_threads(1)
    if choice.faces:
        pictures = [load_image(path) for path in inputs.images_in(choice.faces)[0]]
    else:
        pictures = [portrait(seed, 512) for seed in range(24)]
    faces = [views(face, seed) for seed, face in enumerate(pictures[:4] if choice.quick else pictures)]
    files = choice.yunet or [weight_registry.verify("yunet")]
    finders = {f"YuNet, {file.name}": by_yunet(file) for file in files}
    used = weight_registry.verify("yunet")
    finders["o-net on YuNet's box"] = by_onet(0, used)
    finders["o-net, steadied"] = by_onet(landmarks.ROUNDS, used)
    found = {name: judge(find, faces) for name, find in finders.items()}
    plain = faces[0]["plain"][0]
    calls = {name: [lambda find=find: find(plain)] for name, find in finders.items()}
    times = race(calls, 3 if choice.quick else 15)
    head = ["mean distance, % of the eyes'", *next(iter(found.values())), "ms a face"]
    print(table(head, [[name, *row.values(), milliseconds(times[name])] for name, row in found.items()]))
    names = ["yunet" if n == 0 else f"yunet_{n + 1}" for n in range(len(files))] + ["onet", "onet_steadied"]
    ratios = {f"{short}_floor": row["0.8 x"] for short, row in zip(names, found.values(), strict=True)}
    finish(
        choice.out,
        ratios,
        machine=machine("numpy", "torch", "opencv-python-headless"),
        quick=choice.quick,
        faces=len(faces),
        side=SIDE,
        files={file.name: sha256(file) for file in (*files, weight_registry.verify("onet"))},
        finders=found,
        ms={name: round(milliseconds(seconds), 2) for name, seconds in times.items()},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
