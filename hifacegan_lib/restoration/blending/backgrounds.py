"""Enlarge the surroundings of the faces: by Lanczos's kernel, or by a network that takes pictures of any size.

    pixels -> tiles with a margin -> network (s times as large) -> resized to ``scale`` times -> margins cut off

A tile is brought to its final size at once, so memory holds one tile and the result.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

TILE, MARGIN = 192, 16  # pixels of the given picture
Levels = NDArray[Any]


def lanczos(pixels: Levels, scale: int) -> Levels:
    """Pixels of any type, H x W or H x W x C, at ``scale`` times the size; the same array at 1."""
    if scale == 1:
        return pixels
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_LANCZOS4)


def enlarge(pixels: Levels, scale: int, network: Callable[[Any], Any]) -> Levels:
    """A picture drawn by a network, at ``scale`` times its size.

    Args:
        pixels: uint8 or uint16 RGB, H x W x 3.
        network: float32 RGB 1 x 3 x H x W in [0, 1] -> 1 x 3 x sH x sW.
    Returns:
        Of the same type, scale H x scale W x 3; shrunk by area averages, or enlarged by Lanczos, from the network's s.
    Raises:
        ValueError: the network drew NaN or a picture of another shape.
    """
    height, width = pixels.shape[:2]
    most = np.iinfo(pixels.dtype).max
    result = np.empty((height * scale, width * scale, 3), pixels.dtype)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            up, before = max(0, top - MARGIN), max(0, left - MARGIN)
            part = pixels[up : bottom + MARGIN, before : right + MARGIN]
            drawn = _drawn(part / np.float32(most), network)
            size = (part.shape[1] * scale, part.shape[0] * scale)
            kind = cv2.INTER_AREA if size[1] < drawn.shape[0] else cv2.INTER_LANCZOS4
            drawn = cv2.resize(drawn, size, interpolation=kind)[(top - up) * scale :, (left - before) * scale :]
            inner = drawn[: (bottom - top) * scale, : (right - left) * scale]
            place = np.s_[top * scale : bottom * scale, left * scale : right * scale]
            result[place] = np.rint(inner.clip(0, 1) * np.float32(most)).astype(pixels.dtype)
    return result


def _drawn(part: Levels, network: Callable[[Any], Any]) -> Levels:
    """Float32 H x W x 3 -> sH x sW x 3."""
    batch = np.ascontiguousarray(part.transpose(2, 0, 1)[None])  # 1, 3, H, W
    found = np.asarray(network(batch))
    wide = found.shape[-1] // part.shape[1]
    if wide < 1 or found.shape != (1, 3, part.shape[0] * wide, part.shape[1] * wide) or np.isnan(found).any():
        raise ValueError(f"background: drew {found.shape} of {batch.shape}, {np.isnan(found).sum()} of it NaN")
    return np.ascontiguousarray(found[0].transpose(1, 2, 0))
