"""Lossy compression: an image is encoded in memory and decoded again.

``grain`` is the side of a grid pixel, in pixels of this image; the quality refers to the grid's pixels. Quantisation
errors are errors of single pixels, like noise: on a smaller image the quantisation steps shrink as averaging would
shrink the errors. libjpeg scales its tables by a factor, and ``grain`` multiplies that factor:

    factor(q) = 50 / q  for q < 50        (100 - q) / 50  else
"""

from typing import Any

import cv2
import numpy as np

from hifacegan_lib.utils.images import Pixels


def jpeg(image: Pixels, quality: int, grain: float = 1.0) -> Pixels:
    """Compress as JPEG; quality 1 to 100. The chroma is 4:2:0, or 4:4:4 when ``grain`` is 0.5 or less."""
    return _decode(encode_jpeg(image, _quality(quality, grain), halve_chroma=grain > 0.5))


def webp(image: Pixels, quality: int, grain: float = 1.0) -> Pixels:
    """Compress as lossy WebP; quality 1 to 100."""
    return _decode(encode_webp(image, _quality(quality, grain)))


def encode_jpeg(image: Pixels, quality: int, halve_chroma: bool = True) -> bytes:
    """uint8 RGB, H x W x 3 -> the bytes of a JPEG file; ``quality`` 1 to 100, chroma 4:2:0 or 4:4:4."""
    chroma = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halve_chroma else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(quality), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, chroma])


def encode_webp(image: Pixels, quality: int) -> bytes:
    """uint8 RGB, H x W x 3 -> the bytes of a lossy WebP file; ``quality`` 1 to 100."""
    return _encode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, int(quality)])


def _encode(suffix: str, image: Pixels, flags: list[int]) -> bytes:
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


def _decode(data: bytes) -> Pixels:
    image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return image


def _quality(quality: int, grain: float) -> int:
    """The quality with quantisation steps ``grain`` times as large as those of ``quality``."""
    if grain == 1:
        return quality
    factor = grain * (50 / quality if quality < 50 else (100 - quality) / 50)
    return max(1, min(100, round(50 / factor if factor > 1 else 100 - 50 * factor)))
