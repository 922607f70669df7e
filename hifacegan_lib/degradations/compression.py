"""Lossy compression: an image is encoded in memory and decoded again.

``grain`` is the side of a grid pixel, in pixels of this image; the quality refers to the grid's pixels. Quantisation
errors are errors of single pixels, like noise: on a smaller image the quantisation steps shrink as averaging would
shrink the errors. libjpeg scales its tables by a factor, and ``grain`` multiplies that factor:

    factor(q) = 50 / q  for q < 50        (100 - q) / 50  else

H.264's quantisation steps double with each 6 of its rate factor (ITU-T H.264, 8.5.8), so ``grain`` adds 6 log2(grain).
"""

import math
from fractions import Fraction
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


def h264(image: Pixels, crf: int, grain: float = 1.0) -> Pixels:
    """Compress as one frame of an H.264 film, by x264 on one thread; ``crf`` 0 (hardly a loss) to 51.

    The chroma is 4:2:0, or 4:4:4 when ``grain`` is 0.5 or less.
    """
    height, width = image.shape[:2]
    below, beside = (max(16, side + side % 2) - side for side in (height, width))  # x264 takes even sides
    even = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    planes = _studio(cv2.cvtColor(even, cv2.COLOR_RGB2YCrCb).astype(np.float32))
    luma, chroma = planes[..., 0], cv2.split(planes[..., :0:-1])  # Y; Cb and Cr
    if halved := grain > 0.5:
        chroma = tuple(cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for plane in chroma)
    levels = np.rint(np.concatenate([plane.ravel() for plane in (luma, *chroma)])).astype(np.uint8)
    values = _film_frame(levels, luma.shape, halved, _rate_factor(crf, grain)).astype(np.float32)
    blue, red = values[luma.size :].reshape(2, *chroma[0].shape)
    full = [cv2.resize(plane, luma.shape[::-1], interpolation=cv2.INTER_LINEAR) for plane in (red, blue)]
    found = _studio(cv2.merge([values[: luma.size].reshape(luma.shape), *full]), back=True)
    return cv2.cvtColor(np.rint(found.clip(0, 255)).astype(np.uint8), cv2.COLOR_YCrCb2RGB)[:height, :width].copy()


def _film_frame(levels: Any, shape: tuple[int, ...], halved: bool, crf: int) -> Any:
    """Y, Cb, Cr of a picture of ``shape``, uint8, one after the other, flat; encoded and decoded."""
    import av  # here: most recipes need no film

    kind, form = ("yuv420p", (-1, shape[1])) if halved else ("yuv444p", (3, *shape))
    encoder: Any = av.CodecContext.create("libx264", "w")
    (encoder.height, encoder.width), encoder.pix_fmt, encoder.time_base = shape, kind, Fraction(1, 25)
    encoder.options = {"crf": str(crf), "threads": "1", "preset": "veryfast"}
    packets = encoder.encode(av.VideoFrame.from_ndarray(levels.reshape(form), format=kind)) + encoder.encode(None)
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    (frame,) = (frame for packet in [*packets, None] for frame in decoder.decode(packet))
    return frame.to_ndarray().ravel()


def _studio(planes: Any, back: bool = False) -> Any:
    """YCrCb of 0 to 255, float32 H x W x 3, in the range of films (luma 16 to 235, chroma 16 to 240), or back."""
    gain, zero = np.array([219, 224, 224], np.float32) / 255, np.array([0, 128, 128], np.float32)
    shown = np.array([16, 128, 128], np.float32)
    return (planes - shown) / gain + zero if back else (planes - zero) * gain + shown


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


def _rate_factor(crf: int, grain: float) -> int:
    """The rate factor with quantisation steps ``grain`` times as large as those of ``crf``."""
    return max(0, min(51, round(crf + 6 * math.log2(grain))))


def _quality(quality: int, grain: float) -> int:
    """The quality with quantisation steps ``grain`` times as large as those of ``quality``."""
    if grain == 1:
        return quality
    factor = grain * (50 / quality if quality < 50 else (100 - quality) / 50)
    return max(1, min(100, round(50 / factor if factor > 1 else 100 - 50 * factor)))
