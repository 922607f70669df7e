"""Fewer pixels: a low resolution and back, a change of the working size, block means.

``grain`` is the side of a grid pixel in pixels of this image; a ratio is meant for the grid. A face of 512 pixels that
is shrunk to an eighth keeps 64 pixels. The same face at 128 pixels keeps the same 64, half of its own, and not 16.
"""

import cv2
import numpy as np

from hifacegan_lib.utils.images import Pixels

INTERPOLATIONS = {
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "linear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "lanczos": cv2.INTER_LANCZOS4,
}


def downsample(image: Pixels, ratio: float, kernel: str = "area", grain: float = 1.0) -> Pixels:
    """Shrink to ``ratio / grain`` of each side (1 at most, one pixel at least), and back by cubic interpolation.

    Only "area" averages; the others skip pixels, and so alias, as OpenCV does.
    """
    height, width = image.shape[:2]
    small = resample(image, ratio, kernel, (height, width), grain)
    return to_shape(small, (height, width), "cubic")


def resample(image: Pixels, ratio: float, kernel: str, shape: tuple[int, int], grain: float = 1.0) -> Pixels:
    """Resample to ``ratio`` of ``shape`` (height, width), whatever the size is now; a ratio below 1 by ``grain``."""
    if ratio < 1:
        ratio = min(1.0, ratio / grain)
    return to_shape(image, (max(1, round(shape[0] * ratio)), max(1, round(shape[1] * ratio))), kernel)


def to_shape(image: Pixels, shape: tuple[int, int], kernel: str) -> Pixels:
    """Resample to (height, width); a copy when that is its shape."""
    if image.shape[:2] == shape:
        return image.copy()
    height, width = image.shape[:2]
    if kernel == "area" and height > shape[0] and width > shape[1] and (height % shape[0] or width % shape[1]):
        # in single precision: the same pixels in three quarters of the time
        return np.rint(cv2.resize(image.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)).astype(np.uint8)
    return cv2.resize(image, shape[::-1], interpolation=INTERPOLATIONS[kernel])


def mosaic(image: Pixels, block: float) -> Pixels:
    """Means over blocks; as many blocks as fit the side when ``block`` does not divide it."""
    height, width = image.shape[:2]
    few = (max(1, round(width / max(block, 1))), max(1, round(height / max(block, 1))))
    means = cv2.resize(image, few, interpolation=cv2.INTER_AREA)
    return cv2.resize(means, (width, height), interpolation=cv2.INTER_NEAREST)
