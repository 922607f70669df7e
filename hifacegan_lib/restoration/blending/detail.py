"""The detail of a large face that is finer than the network's frame: kept where it is clean, else taken away.

    finer = photo - back(frame)        kept = (1 - damaged) * max(0, 1 - N / F)        for k >= 2

k: how many pixels of the photograph one of the frame has along a side. ``damaged`` rises from 0 to 1 while E / H, the
power of what the network changed over that of the frame's own fine detail, rises from 0.1 to 0.25; it is below 0.07
in clean faces, above 0.24 in faces damaged by the recipes face_renov and gfpgan. The rest is Wiener's filter, with the
powers of white noise and of the finer band around a pixel of the frame:

    N = 1.5 min(sigma^2, 4 k^2 E) (1 - 1 / k^2)                 F = mean of finer^2

sigma: by the median of the finest diagonal differences (Donoho and Johnstone, 1994). The frame holds noise of
sigma^2 / k^2: a network that changed far less took it for detail. All powers are squares of grey levels.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.restoration.alignment import Alignment, cut, reach
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.utils.images import Pixels

LARGE = 2  # least k: below it, a photograph has hardly more detail than the frame
AROUND = 7  # pixels of the frame over which F is averaged
FINE = 1 / 128  # of H: sigma of the Gaussian that fine detail is measured against, per side of the frame
CLEAN, DAMAGED = 0.1, 0.25  # E / H
MORE = 1.5  # of the noise is subtracted, since F is a mean over few pixels
Levels = NDArray[Any]


class Removed(NamedTuple):
    """The detail of a large face that is taken away: a share of the source's band finer than ``frame``.

    Attributes:
        source: the photograph before any change, uint8 or uint16, H x W x 3.
        frame: uint8 size x size x 3, as the network saw it.
        share: size x size, 0 to 1.
    """

    source: Levels
    frame: Pixels
    share: Levels


def removed(
    shown: Pixels, alignment: Alignment, source: Levels, frame: Pixels, added: Levels, mask: Levels
) -> Removed | None:
    """The detail that is taken away under the mask; None: the face is too small to have any.

    Args:
        shown: the photograph, uint8 H x W x 3.
        source, frame: see :class:`Removed`.
        added: the change under the mask, size x size x 3, grey levels.
    """
    size = len(mask)
    k = alignment.side / size
    if k < LARGE:
        return None
    left, top, right, bottom = reach(shown.shape[:2], alignment)
    levels = _centred(shown[top:bottom, left:right])
    here = Alignment(alignment.turn, alignment.move + alignment.turn * complex(left, top))
    power = cut(levels * levels, here, size) - cut(levels, here, size) ** 2
    changed = float((added**2).mean(2).sum() / max(1.0, float((mask**2).sum())))
    share = mask * (1 - kept_share(power, noise_power(_middle(levels)), _centred(frame), changed, k))
    return Removed(source, frame, share)


def kept_detail(face: Pixels, restored: Pixels, card: Card) -> Levels | None:
    """The detail that a large aligned face keeps, float32 H x W x 3, grey levels; None: the face is too small.

    Args:
        face, restored: uint8 H x W x 3, before and after.
        card: of the network, which saw the face in another size.
    """
    height, width = face.shape[:2]
    k = min(height, width) / (card.size or height)
    if k < LARGE:
        return None
    levels = _centred(face)
    frame = card.to_network(levels)
    power = card.to_network(levels * levels) - frame**2
    changed = float(np.square(card.to_network(_centred(restored)) - frame).mean())
    share = kept_share(power, noise_power(_middle(levels)), frame, changed, k)
    return card.to_face(share, height, width)[..., None] * (levels - card.to_face(frame, height, width))


def kept_share(power: Levels, noise: float, frame: Levels, changed: float, k: float) -> Levels:
    """Share of the finer band that is kept, float32 H x W, 0 to 1.

    Args:
        power: of the finer band in each pixel of the frame, H x W x 3.
        noise: sigma^2, see :func:`noise_power`.
        frame: what the network saw, float32 H x W x 3, grey levels.
        changed: E.
    """
    fine = frame - cv2.GaussianBlur(frame, (0, 0), FINE * min(frame.shape[:2]))
    ratio = changed / max(float(np.square(fine).mean()), 1e-6)
    damaged = np.clip((ratio - CLEAN) / (DAMAGED - CLEAN), 0, 1)
    white = MORE * min(noise, 4 * k**2 * changed) * (1 - 1 / k**2)
    around = cv2.blur(np.maximum(power.mean(2), 0), (AROUND, AROUND), borderType=cv2.BORDER_REFLECT_101)
    return np.float32(1 - damaged) * np.clip(1 - np.float32(white) / np.maximum(around, np.float32(1e-3)), 0, 1)


def noise_power(pixels: Levels) -> float:
    """Variance of white noise in an image H x W x 3, mean over its colours, squared levels.

    The differences of 2 x 2 pixels hold noise and few edges, so their median is the noise's; a smaller image gives 0.
    """
    height, width = (side // 2 * 2 for side in pixels.shape[:2])
    if not height or not width:
        return 0.0
    p = pixels[:height, :width].astype(np.float32)
    diagonal = (p[::2, ::2] - p[1::2, ::2] - p[::2, 1::2] + p[1::2, 1::2]) / 2
    return float(((np.median(np.abs(diagonal), (0, 1)) / 0.6745) ** 2).mean())


def _centred(pixels: Pixels) -> Levels:
    """Levels around 0, which have exact squares."""
    return pixels.astype(np.float32) - np.float32(128)


def _middle(pixels: Levels) -> Levels:
    """The middle of a face, and little around it."""
    high, wide = (slice(side // 4, side - side // 4) for side in pixels.shape[:2])
    return pixels[high, wide]
