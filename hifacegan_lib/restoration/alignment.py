"""From a photograph to the square that the network was trained on, and back: one similarity, five landmarks.

    frame = a z + b        a, b minimise the sum of |a z_k + b - t_k|^2        (points as complex numbers, x + i y)

``t`` are the median landmarks of the aligned training faces (FFHQ's alignment), found by YuNet in 300 of them and made
symmetric. a turns and scales, b moves; nothing is sheared or mirrored.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.utils.images import Pixels

TEMPLATE = np.array([[0.374, 0.4755], [0.626, 0.4755], [0.5, 0.6235], [0.391, 0.729], [0.609, 0.729]])
"""Right eye, left eye, nose, corners of the mouth: shares of the frame's side."""
HAAR_CENTRE, HAAR_SIDE = (0.5, 0.551), 0.6875  # where the cascade's box lies in an aligned frame; median of 143 faces
MARGIN = 4  # pixels of the photograph around the frame, for the interpolation
Points = NDArray[np.float64]


def similarity(points: NDArray[np.floating], template: Points) -> tuple[complex, complex]:
    """a and b that bring landmarks nearest to a template, both N x 2; ValueError: all landmarks lie in one place."""
    z, t = points @ (1, 1j), template @ (1, 1j)
    z0, t0 = z.mean(), t.mean()
    spread = float((abs(z - z0) ** 2).sum())
    if spread < 1e-6:
        raise ValueError("five landmarks in one place have no size")
    turn = complex((np.conj(z - z0) * (t - t0)).sum() / spread)
    return turn, complex(t0 - turn * z0)


@dataclass(frozen=True)
class Alignment:
    """frame point = turn * photo point + move, as complex numbers.

    Frame points are shares of its side, 0 to 1; photo points are pixels, from the corner of the first.
    """

    turn: complex
    move: complex

    @classmethod
    def of_points(cls, points: Points) -> Self:
        """The similarity that brings five landmarks (5 x 2, pixels of the photograph) nearest to the template.

        Raises:
            ValueError: another shape, not finite, or all in one place.
        """
        points = np.asarray(points, np.float64)
        if points.shape != TEMPLATE.shape or not np.isfinite(points).all():
            raise ValueError(f"expected five finite points, 5 x 2, got {points.shape}")
        return cls(*similarity(points, TEMPLATE))

    @classmethod
    def of_box(cls, left: float, top: float, width: float, height: float, degrees: float = 0.0) -> Self:
        """From a detector's upright box, as the Haar cascade draws it, in a photograph turned by ``degrees``."""
        side = max(width, height) / HAAR_SIDE
        turn = np.exp(-1j * np.deg2rad(degrees)) / side
        centre = complex(left + width / 2, top + height / 2)
        return cls(complex(turn), complex(*HAAR_CENTRE) - complex(turn) * centre)

    @property
    def side(self) -> float:
        """The frame's side, in pixels of the photograph."""
        return 1 / abs(self.turn)

    @property
    def degrees(self) -> float:
        """The clockwise turn of the face in the photograph, -180 to 180."""
        return float(-np.rad2deg(np.angle(self.turn)))

    @property
    def corners(self) -> Points:
        """The frame's corners, in pixels of the photograph: 4 x 2, clockwise from the face's upper left."""
        frame = np.array([0, 1, 1 + 1j, 1j])
        found = (frame - self.move) / self.turn
        return np.stack([found.real, found.imag], 1)

    def scaled(self, factor: float) -> Self:
        """For the same photograph at ``factor`` times its size."""
        return type(self)(self.turn / factor, self.move)

    def matrix(self, size: int) -> NDArray[np.float64]:
        """2 x 3, pixel centres of the photograph to those of a frame of ``size`` pixels."""
        turn, move = self.turn * size, self.move * size
        move += turn * (0.5 + 0.5j) - (0.5 + 0.5j)  # OpenCV counts from pixels' centres
        return np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])


def cut(photo: Pixels, alignment: Alignment, size: int) -> Pixels:
    """The frame, uint8 size x size x 3; what lies outside of the photograph is its border repeated.

    Where the frame is smaller than in the photograph, pixels are averaged first, so that nothing aliases.
    """
    left, top, right, bottom = reach(photo.shape[:2], alignment)
    part = photo[top:bottom, left:right]
    shrink = max(1.0, alignment.side / size)
    height, width = (max(1, round(length / shrink)) for length in part.shape[:2])
    if shrink > 1:
        part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    matrix = alignment.matrix(size)
    scale = np.diag([(right - left) / width, (bottom - top) / height, 1])
    scale[:2, 2] = left + scale[0, 0] / 2 - 0.5, top + scale[1, 1] / 2 - 0.5  # its pixel centres in the photograph
    return cv2.warpAffine(part, matrix @ scale, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def reach(shape: tuple[int, int], alignment: Alignment) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the frame's bounding box and a small margin, inside a photograph of ``shape``.

    Raises:
        ValueError: the frame lies wholly outside.
    """
    height, width = shape
    low, high = np.floor(alignment.corners.min(0)) - MARGIN, np.ceil(alignment.corners.max(0)) + MARGIN
    left, top = (int(max(0, x)) for x in low)
    right, bottom = int(min(width, high[0])), int(min(height, high[1]))
    if left >= right or top >= bottom:
        raise ValueError(f"the face at {np.round(alignment.corners.mean(0))} lies outside of {width} x {height} pixels")
    return left, top, right, bottom
