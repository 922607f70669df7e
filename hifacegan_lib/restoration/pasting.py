"""Bring a restored face back into its photograph: what the network changed is added, under a feathered mask.

    photo' = photo + strength * mask * back(restored + shift - frame)

The change is added, not the face pasted over: a face larger than the frame keeps its fine detail, nothing is
resampled twice, and a pixel whose mask is 0 keeps its value to the bit, in 8 and in 16 bits. ``shift`` makes the mean
colour under the mask's edge what it was, so that no seam shows.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.restoration.alignment import Alignment, reach
from hifacegan_lib.utils.images import Pixels

INNER, OUTER = 0.16, 0.03  # shares of the frame's side from its border: the mask is 1 from here, 0 to there
Mask = NDArray[np.float32]


@lru_cache(maxsize=4)
def mask(size: int) -> Mask:
    """size x size, 1 inside, falling smoothly to 0 before the frame's border, with round corners; read-only."""
    place = (np.arange(size) + 0.5) / size
    far = np.maximum(0, INNER - np.minimum(place, 1 - place))  # how far outside of the inner square
    distance = np.hypot(far[:, None], far[None, :]) / (INNER - OUTER)
    ramp = np.clip(1 - distance, 0, 1)
    found = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    found.flags.writeable = False
    return found


@lru_cache(maxsize=4)
def _shares(size: int) -> tuple[Mask, Mask]:
    """Each pixel's share in the mean under the mask's edge, flat; and the mask, once a channel."""
    weight = mask(size)
    edge = weight * (1 - weight)
    return (edge / edge.sum()).ravel(), cv2.merge([weight] * 3)


def change(frame: Pixels, restored: Pixels) -> NDArray[np.float32]:
    """The difference that is to be added to the frame: float32 size x size x 3, grey levels, under the mask.

    Raises:
        ValueError: the two differ in size.
    """
    if frame.shape != restored.shape:
        raise ValueError(f"frame {frame.shape} and restored face {restored.shape}: expected the same size")
    edge, cover = _shares(frame.shape[0])
    found = cv2.subtract(restored, frame, dtype=cv2.CV_32F)
    return cv2.subtract(found, (*(edge @ found.reshape(-1, 3)).tolist(), 0)) * cover


def check_strength(strength: float) -> None:
    """Raise ValueError unless 0 (the photograph stays as it is) <= strength <= 1 (all of the change is added)."""
    if not 0 <= strength <= 1:
        raise ValueError(f"strength = {strength}: expected 0 to 1")


def add(pixels: NDArray, added: NDArray[np.float32]) -> NDArray:
    """Pixels, uint8 or uint16, plus a change in their own levels; rounded, clipped."""
    return cv2.add(pixels, added, dtype=cv2.CV_16U if pixels.dtype == np.uint16 else cv2.CV_8U)


def paste(photo: NDArray, alignment: Alignment, added: NDArray[np.float32], strength: float = 1.0) -> None:
    """Add a frame's change to a photograph, in place.

    Args:
        photo: uint8 or uint16, H x W x 3.
        added: of :func:`change`.
        strength: share of the change, 0 to 1.
    Raises:
        ValueError: ``strength`` outside 0 to 1, or another type of photograph.
    """
    check_strength(strength)
    if photo.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected a photograph of 8 or 16 bits, got {photo.dtype}")
    left, top, right, bottom = reach(photo.shape[:2], alignment)
    finer = max(1, round(added.shape[0] / alignment.side))  # a small face: drawn at its pixels' size, averaged
    unit = 257 if photo.dtype == np.uint16 else 1
    inside = back(added * np.float32(strength * unit), alignment, (left, top, right, bottom), finer)
    photo[top:bottom, left:right] = add(photo[top:bottom, left:right], inside)


def back(
    added: NDArray[np.float32], alignment: Alignment, box: tuple[int, int, int, int], finer: int = 1
) -> NDArray[np.float32]:
    """The change in pixels of the photograph's ``box``, drawn ``finer`` times as fine and averaged; 0 outside."""
    left, top, right, bottom = box
    matrix = alignment.scaled(finer).matrix(added.shape[0])
    matrix[:, 2] += matrix[:, :2] @ (left * finer, top * finer)
    size = ((right - left) * finer, (bottom - top) * finer)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(added, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.resize(drawn, (right - left, bottom - top), interpolation=cv2.INTER_AREA) if finer > 1 else drawn
