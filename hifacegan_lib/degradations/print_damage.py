"""Damage of old paper prints: scratches in the emulsion and a fold across the paper.

Positions are drawn as shares of the sides, widths are in pixels, edges are averaged over each pixel. So a seed gives
the same scratch at every image size.
"""

import math

import cv2
import numpy as np

from hifacegan_lib.utils.images import Pixels

PAPER, DIRT = 240, 35  # grey levels of a light scratch (the paper) and of a dark one (dirt)


def scratches(image: Pixels, count: int, width: float, opacity: float, seed: int) -> Pixels:
    """Draw thin curved lines, most of them vertical and light, some dark; each about ``width`` pixels wide."""
    result = image
    rng = np.random.default_rng(seed)
    lines = [_scratch(rng) for _ in range(count)]
    for shade, chosen in ((PAPER, [x for x in lines if not x[2]]), (DIRT, [x for x in lines if x[2]])):
        if chosen:
            cover = cv2.merge([_cover(chosen, width, image.shape[:2]) * np.float32(opacity)] * 3)
            result = cv2.add(result * (1 - cover), cover * np.float32(shade), dtype=cv2.CV_8U)
    return result.copy() if result is image else result


def fold(image: Pixels, opacity: float, width: float, seed: int) -> Pixels:
    """Draw a horizontal or vertical crease: a light broken line, ``width`` pixels wide, with a soft shadow."""
    height, wide = image.shape[:2]
    rng = np.random.default_rng(seed)
    place, tilt, upright = rng.uniform(0.25, 0.75), rng.normal(0, 0.06), rng.random() < 0.5
    bends, cracks = rng.normal(0, 0.006, 8), rng.uniform(0.35, 1, 48)
    length, breadth = (height, wide) if upright else (wide, height)  # of the paper, along and across the crease
    along, across = (np.arange(length) + 0.5) / length, (np.arange(breadth) + 0.5) / breadth
    middle = place + tilt * (along - 0.5) + _curve(bends, along)
    pixels = (across[:, None] - middle[None, :]) * breadth
    spread = max(width / 2, 0.6)  # a line thinner than a pixel is drawn one pixel wide and fainter
    line = np.exp(-((pixels / spread) ** 2)) * _curve(cracks, along) * min(1.0, width / 2 / spread)
    shadow = np.exp(-np.abs(pixels) / (5 * max(width, 0.5))) * (pixels > 0) * 0.35
    cover = np.clip(line, 0, 1) * opacity
    gain = (1 - shadow * opacity) * (1 - cover)
    gain, cover = (gain.T, cover.T) if upright else (gain, cover)
    light = cv2.merge([np.ascontiguousarray(cover * PAPER, np.float32)] * 3)
    return cv2.add(image * cv2.merge([np.ascontiguousarray(gain, np.float32)] * 3), light, dtype=cv2.CV_8U)


def _scratch(rng: np.random.Generator) -> tuple[np.ndarray, float, bool]:
    """One scratch: points as shares of the sides, N x 2; its relative width; whether it is dark."""
    start, length = rng.uniform(-0.1, 1, 2), rng.uniform(0.03, 0.6) ** 1.5
    turn = math.pi / 2 + rng.normal(0, 0.25) + (rng.random() < 0.2) * rng.uniform(0, math.pi)
    angles = turn + np.cumsum(rng.normal(0, 0.05, 12))
    steps = np.stack([np.cos(angles), np.sin(angles)], 1) * length / 12
    return start + np.cumsum(steps, 0), float(rng.uniform(0.5, 1.6)), bool(rng.random() < 0.25)


def _cover(lines: list[tuple[np.ndarray, float, bool]], width: float, shape: tuple[int, ...]) -> np.ndarray:
    """The share of each pixel that the lines cover, float32 H x W in [0, 1]: drawn at a finer scale, then averaged."""
    height, wide = shape[:2]
    times = max(1.0, min(1024 / min(height, wide), 2048 / max(height, wide)))
    size = (max(1, round(wide * times)), max(1, round(height * times)))
    canvas = np.zeros(size[::-1], np.uint8)
    for points, part, _ in lines:
        thick = width * part * times
        shade = min(255, max(1, round(255 * thick)))  # a line thinner than a canvas pixel is fainter
        place = (points * size * 16).round().astype(np.int32)
        cv2.polylines(canvas, [place], False, shade, max(1, min(round(thick), 32767)), cv2.LINE_AA, 4)
    return cv2.resize(canvas, (wide, height), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)


def _curve(values: np.ndarray, along: np.ndarray) -> np.ndarray:
    """A smooth curve through evenly spaced values, evaluated at positions in [0, 1]."""
    fine = cv2.resize(values[None].astype(np.float32), (len(values) * 16, 1), interpolation=cv2.INTER_CUBIC)[0]
    return np.interp(along, (np.arange(len(fine)) + 0.5) / len(fine), fine)
