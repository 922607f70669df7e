"""Where does a model invent? Its answers to inputs that show the same person are compared, pixel by pixel.

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
    """The mean of several answers for one face, uint8 H x W x 3, and their spread, grey levels, H x W."""

    mean: Pixels
    map: NDArray[np.float32]


def spread(face: Pixels, model: Model, answers: int = 12, seed: int = 0) -> Spread:
    """Restore a face, framed as in training, from ``answers`` inputs that show the same.

    Raises:
        ValueError: fewer than two answers.
    """
    if answers < 2:
        raise ValueError(f"answers = {answers}: expected 2 or more, one alone has no spread")
    rng = np.random.default_rng(seed)
    # each: mirrored or not, and pixels down and to the right; the first is the face itself
    ways = [(1, 0, 0)] + [((-1) ** n, *map(int, rng.integers(-SHIFT, SHIFT + 1, 2))) for n in range(1, answers)]
    seen: list[Pixels] = []
    for step, down, right in ways:
        noise = rng.normal(0, NOISE if seen else 0, face.shape)
        noisy = np.roll(face[:, ::step], (down, right), (0, 1)) + noise
        seen.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    drawn = zip(model.restore(seen), ways, strict=True)
    back = np.stack([np.roll(image, (-down, -right), (0, 1))[:, ::step] for image, (step, down, right) in drawn])
    inner = np.sqrt(back.var(0).mean(2)).astype(np.float32)  # N, H, W, 3 -> H, W
    inner[:SHIFT], inner[-SHIFT:], inner[:, :SHIFT], inner[:, -SHIFT:] = 0, 0, 0, 0  # rolled in from the other side
    return Spread(np.rint(back.mean(0)).astype(np.uint8), inner)


def heat(spread_map: NDArray[np.float32]) -> Pixels:
    """The map as a picture: black is sure, bright yellow differs by 20 grey levels or more."""
    levels = np.rint(np.clip(spread_map / BRIGHT, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1])
