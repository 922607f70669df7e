"""Low resolution: downsampling and enlarging, a change of the working size, block means, coarse chroma.

``grain`` is the side of a grid pixel, in pixels of this image; a ratio refers to the grid. On a grid of 512, a ratio of
1/8 shrinks a face to 64 pixels, whatever its size: a 512-pixel face to an eighth, a 128-pixel face to a half.
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


def downsample(image: Pixels, ratio: float, kernel: str, grain: float = 1.0) -> Pixels:
    """Shrink to ``ratio / grain`` of each side (at most 1, at least one pixel), then enlarge by cubic interpolation.

    Only the kernel "area" averages; the others skip pixels and cause aliasing, as in OpenCV.
    """
    height, width = image.shape[:2]
    small = resample(image, ratio, kernel, (height, width), grain)
    return to_shape(small, (height, width), "cubic")


def resample(image: Pixels, ratio: float, kernel: str, shape: tuple[int, int], grain: float = 1.0) -> Pixels:
    """Resample to ``ratio`` times ``shape`` (height, width), from any size; a ratio below 1 is divided by ``grain``."""
    if ratio < 1:
        ratio = min(1.0, ratio / grain)
    return to_shape(image, (max(1, round(shape[0] * ratio)), max(1, round(shape[1] * ratio))), kernel)


def to_shape(image: Pixels, shape: tuple[int, int], kernel: str) -> Pixels:
    """Resample to (height, width); always returns a new array."""
    if image.shape[:2] == shape:
        return image.copy()
    height, width = image.shape[:2]
    if kernel == "area" and height > shape[0] and width > shape[1] and (height % shape[0] or width % shape[1]):
        # float32 gives the same pixels in three quarters of the time
        return np.rint(cv2.resize(image.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)).astype(np.uint8)
    return cv2.resize(image, shape[::-1], interpolation=INTERPOLATIONS[kernel])


def mosaic(image: Pixels, block: float) -> Pixels:
    """Replace square blocks by their means; ``block`` is adjusted so that whole blocks fill each side."""
    means = cv2.resize(image, _blocks(image, block), interpolation=cv2.INTER_AREA)
    return cv2.resize(means, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def coarse_chroma(image: Pixels, block: float) -> Pixels:
    """Average the chroma (YCrCb of BT.601) over squares of ``block`` pixels, enlarge linearly; the luma stays.

    A film's 4:2:0 has a block of 2 of its own pixels.
    """
    size, few = image.shape[1::-1], _blocks(image, block)
    if few == size:
        return image.copy()
    luma, *chroma = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))
    small = (cv2.resize(plane, few, interpolation=cv2.INTER_AREA) for plane in chroma)
    wide = (cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in small)
    return cv2.cvtColor(cv2.merge([luma, *wide]), cv2.COLOR_YCrCb2RGB)


def _blocks(image: Pixels, block: float) -> tuple[int, ...]:
    """The number of blocks along width and height."""
    return tuple(max(1, round(side / max(block, 1))) for side in image.shape[1::-1])
