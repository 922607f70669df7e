"""Where a restored face may change its photograph: a mask in the aligned frame, which the landmarks placed.

    mask = frame(x) * trust(x) * share(x)

``frame`` is 1 inside and falls smoothly to 0 before the frame's border. A restoration keeps the large forms of what it
restores: ``trust`` falls where the network drew something else, a cheek over a microphone say. It knows so by the low
band L of the change, in grey levels, without the cast that is common to the frame:

    d = max over colours |L - median L|        trust = 1 where d < T, 0 where d > 2 T        T = max(16, 3 median d)

``share`` divides the photograph among faces whose frames overlap, so that no pixel is changed twice.
"""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.restoration.alignment import Alignment
from hifacegan_lib.utils.images import Pixels

INNER, OUTER = 0.16, 0.03  # shares of the frame's side from its border: the mask is 1 from here, 0 to there
COARSE, BLUR = 1 / 4, 1 / 64  # the low band's grid per pixel of the frame, and its Gaussian's sigma per side
LEAST, TIMES = 16, 3  # T: grey levels, and medians of the difference
CENTRE, SPREAD = 0.5 + 0.55j, 0.15  # of a face in its frame, where overlapping frames are divided; shares of the side
Mask = NDArray[np.float32]


@lru_cache(maxsize=4)
def frame_mask(size: int) -> Mask:
    """size x size, 1 inside, falling smoothly to 0 before the frame's border, with round corners; read-only."""
    far = np.maximum(0, INNER - np.minimum(_places(size), 1 - _places(size)))  # how far outside of the inner square
    distance = np.hypot(far[:, None], far[None, :]) / (INNER - OUTER)
    found = _ramp(1 - distance)
    found.flags.writeable = False
    return found


def face_mask(frame: Pixels, restored: Pixels, share: Mask | None = None) -> Mask:
    """size x size, 0 to 1: where the network's change of a frame may go.

    Args:
        frame, restored: uint8 size x size x 3, before and after.
        share: one of :func:`shares`.
    Raises:
        ValueError: the two differ in size.
    """
    if frame.shape != restored.shape:
        raise ValueError(f"frame {frame.shape} and restored face {restored.shape}: expected the same size")
    mask = frame_mask(frame.shape[0]) * trust(cv2.subtract(restored, frame, dtype=cv2.CV_32F))
    return mask if share is None else mask * share


def trust(change: NDArray[np.float32]) -> Mask:
    """1 where the network kept the large forms of the frame, 0 where it drew others, smooth between.

    Args:
        change: restored less given frame, size x size x 3, grey levels.
    Returns:
        size x size. Measured with the shipped weights on damaged faces without anything in front: 1 but for 0.001 dB.
    """
    size = change.shape[0]
    low = low_band(change)
    differs = np.abs(low - np.median(low, (0, 1))).max(2)  # H, W, 3 -> H, W
    most = max(LEAST, TIMES * float(np.median(differs)))
    return cv2.resize(_ramp(2 - differs / most), (size, size), interpolation=cv2.INTER_LINEAR)


def low_band(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The large forms of an image, H x W x 3, on a grid of a quarter of its size."""
    width, height = (max(1, round(side * COARSE)) for side in image.shape[1::-1])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), max(BLUR * max(width, height), 0.1))


def shares(alignments: Sequence[Alignment], size: int) -> list[Mask | None]:
    """The share of each frame's pixels that belongs to its own face; None: no other frame reaches into this frame.

    A pixel belongs to faces by exp(-r^2 / (2 SPREAD^2)), r = distance from a face's centre in sides of its frame.
    """
    centres = [(CENTRE - face.move) / face.turn for face in alignments]

    def near(a: int, b: int) -> bool:
        return a != b and abs(centres[a] - centres[b]) < 0.8 * (alignments[a].side + alignments[b].side)

    faces = range(len(alignments))
    return [_share(alignments[a], [alignments[b] for b in faces if near(a, b)], size) for a in faces]


def _share(face: Alignment, others: Sequence[Alignment], size: int) -> Mask | None:
    if not others:
        return None
    x = _places(size)
    own = x[None, :] + 1j * x[:, None]  # points of the frame, shares of its side
    photo = (own - face.move) / face.turn
    weight, rest = _weight(own), np.zeros((size, size))
    for other in others:
        there = other.turn * photo + other.move
        reached = (np.abs(there.real - 0.5) < 0.5) & (np.abs(there.imag - 0.5) < 0.5)
        if reached.any():
            rest += np.where(reached, _weight(there) * _sampled(frame_mask(size), there), 0)
    return (weight / (weight + rest)).astype(np.float32) if rest.any() else None


def _weight(points: NDArray[np.complex128]) -> NDArray[np.float64]:
    return np.exp(-(np.abs(points - CENTRE) ** 2) / (2 * SPREAD**2))


def _sampled(mask: Mask, points: NDArray[np.complex128]) -> NDArray[np.float32]:
    """The mask at points of its frame, H x W; 0 outside."""
    x, y = (part.astype(np.float32) * mask.shape[0] - np.float32(0.5) for part in (points.real, points.imag))
    return cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def _places(size: int) -> NDArray[np.float64]:
    """Centres of a frame's pixels along a side, shares of the side."""
    return (np.arange(size) + 0.5) / size


def _ramp(values: NDArray) -> Mask:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(values, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)
