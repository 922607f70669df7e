"""Coordinates, textures and shapes of drawings, independent of the image size.

A scene is linear RGB on a square; (x, y) in [-1, 1] x [-1, 1], y downwards. Textures are noise on grids of fixed sizes,
so a random generator gives the same drawing at every size.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]  # H x W
Color = NDArray[np.float32]  # 3, linear RGB
Scene = NDArray[np.float32]  # H x W x 3, linear RGB


@dataclass
class Canvas:
    """Coordinates and textures of a square with ``side`` pixels a side."""

    rng: np.random.Generator
    side: int

    def __post_init__(self) -> None:
        line = (np.arange(self.side, dtype=np.float32) + 0.5) * (2 / self.side) - 1
        self.x, self.y = np.meshgrid(line, line)
        self.pixel = 2 / self.side

    def noise(self, cells: int, stretch: float = 1.0, octaves: int = 1, gain: float = 0.6) -> Field:
        """Smooth noise of unit variance: ``cells`` bumps across, each ``stretch`` times as high as wide."""
        total = np.zeros((self.side, self.side), np.float32)
        for octave in range(octaves):
            across = cells * 2**octave
            grid = self.rng.standard_normal((max(2, round(across / stretch)), across)).astype(np.float32)
            way = cv2.INTER_AREA if max(grid.shape) > self.side else cv2.INTER_CUBIC
            total += gain**octave * cv2.resize(grid, (self.side, self.side), interpolation=way)
        return total / np.float32(np.sqrt(sum(gain ** (2 * n) for n in range(octaves))))

    def inside(self, distance: Field, soft: float = 0.0) -> Field:
        """1 where a signed distance is negative, else 0; the edge is 1.5 pixels or ``soft`` wide."""
        return np.clip(0.5 - distance / max(self.pixel * 1.5, soft), 0, 1)

    def disc(self, cx: float, cy: float, rx: float, ry: float, soft: float = 0.0) -> Field:
        """A filled ellipse."""
        return self.inside((np.hypot((self.x - cx) / rx, (self.y - cy) / ry) - 1) * min(rx, ry), soft)

    def window(self, cx: float, cy: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns of the square around a point, so that small shapes take little time."""
        spot = np.abs(self.x - cx) + np.abs(self.y - cy)
        row, column = np.unravel_index(int(spot.argmin()), spot.shape)
        n = round(reach / self.pixel)
        return slice(max(0, row - n), row + n), slice(max(0, column - n), column + n)

    def bump(self, cx: float, cy: float, rx: float, ry: float) -> Field:
        """A Gaussian hill of height 1."""
        return np.exp(-(((self.x - cx) / rx) ** 2) - ((self.y - cy) / ry) ** 2)


def mix(base: Scene, color: ArrayLike, alpha: ArrayLike) -> Scene:
    """Blend a colour or a scene over ``base`` with the opacity ``alpha``, H x W in [0, 1]."""
    color = np.asarray(color, np.float32)
    return base + (color - base) * np.asarray(alpha, np.float32)[..., None]


def darken(base: Scene, share: float, alpha: ArrayLike) -> Scene:
    """Blend ``share`` times ``base`` over ``base``."""
    return mix(base, base * np.float32(share), alpha)


def between(stops: NDArray[np.float64], where: float) -> Color:
    """Interpolate linearly between colours; ``where`` counts from 0, the first colour."""
    low = min(int(where), len(stops) - 2)
    return color(stops[low] + (stops[low + 1] - stops[low]) * (where - low))


def color(values: ArrayLike) -> Color:
    return np.asarray(values, np.float32)


def muted(rng: np.random.Generator, count: int) -> Scene:
    """Draw colours of any brightness and mostly low saturation, count x 3."""
    grey, tint = rng.uniform(0.02, 0.55, (count, 1)), rng.uniform(-1, 1, (count, 3))
    return color(grey * np.exp(0.45 * rng.beta(1.2, 2, (count, 1)) * tint))
