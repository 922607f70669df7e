"""Where does a model invent? What it draws for inputs that say the same is compared, pixel by pixel.

    spread = sqrt( mean over k of (T_k^-1 f(T_k x) - mean)^2 )        T_k: mirrored, moved by pixels, a little noise

An input that is mirrored, moved by two pixels or noisier by two grey levels shows the same person. Where the answers
differ, the answer came from the training faces and not from the picture. Little spread is no proof of truth: a model
can be sure and wrong.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils.images import Pixels

SHIFT, NOISE = 2, 2.0  # at most, pixels; standard deviation, grey levels
BRIGHT = 20.0  # spread that is shown brightest, grey levels


class Spread(NamedTuple):
    """Of several answers for one face: their mean, uint8 H x W x 3, and how far they differ, grey levels, H x W."""

    mean: Pixels
    map: NDArray[np.float32]
    answers: int


def spread(face: Pixels, model: Model, answers: int = 12, seed: int = 0) -> Spread:
    """Restore a face, framed as in training, from ``answers`` inputs that say the same.

    Raises:
        ValueError: fewer than two answers.
    """
    if answers < 2:
        raise ValueError(f"answers = {answers}: expected 2 or more, one alone has no spread")
    rng = np.random.default_rng(seed)
    ways = [(False, 0, 0)] + [(bool(n % 2), *map(int, rng.integers(-SHIFT, SHIFT + 1, 2))) for n in range(1, answers)]
    seen: list[Pixels] = []
    for flip, down, right in ways:
        moved = np.roll(face, (down, right), (0, 1)) if not flip else np.roll(face[:, ::-1], (down, right), (0, 1))
        noisy = moved + rng.normal(0, NOISE, face.shape) * (len(seen) > 0)
        seen.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    total = np.zeros(face.shape, np.float64)
    squares = np.zeros(face.shape, np.float64)
    for drawn, (flip, down, right) in zip(model(seen), ways, strict=True):
        back = np.roll(drawn, (-down, -right), (0, 1)).astype(np.float64)
        back = back[:, ::-1] if flip else back
        total += back
        squares += back * back
    mean = total / answers
    variance = np.maximum(0, squares / answers - mean * mean)
    inner = np.sqrt(variance.mean(2)).astype(np.float32)
    inner[:SHIFT], inner[-SHIFT:], inner[:, :SHIFT], inner[:, -SHIFT:] = 0, 0, 0, 0  # rolled in from the other side
    return Spread(np.rint(mean).astype(np.uint8), inner, answers)


def heat(spread_map: NDArray[np.float32]) -> Pixels:
    """The map as a picture: black is sure, bright yellow differs by 20 grey levels or more."""
    levels = np.rint(np.clip(spread_map / BRIGHT, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1])
