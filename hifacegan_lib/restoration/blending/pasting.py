"""Bring a restored face back into its photograph: what the network changed is added, under a feathered mask.

    photo' = photo + strength * ( back(mask * (restored + shift - frame) + removed * frame) - back(removed) * photo )

The change is added, not the face pasted over: a face larger than the frame keeps its fine detail where it is clean
(:mod:`hifacegan_lib.restoration.blending.detail`), nothing is resampled twice, and a pixel whose mask is 0 keeps its
value to the bit, in 8 and in 16 bits. ``shift`` makes the mean colour under the mask's edge what it was, so that no
seam shows.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.restoration.alignment import Alignment, cut, reach
from hifacegan_lib.restoration.blending import detail, masks
from hifacegan_lib.restoration.blending.masks import Mask
from hifacegan_lib.utils.images import Pixels

STRIP = 2**22  # pixels that are drawn at once


def change(frame: Pixels, restored: Pixels, mask: Mask | None = None) -> NDArray[np.float32]:
    """The difference that is to be added to the frame: float32 size x size x 3, grey levels, under the mask.

    Args:
        mask: size x size; None: :func:`hifacegan_lib.restoration.blending.masks.face_mask`.
    Raises:
        ValueError: the two differ in size.
    """
    mask = masks.face_mask(frame, restored) if mask is None else mask
    edge = mask * (1 - masks.frame_mask(len(mask)))
    found = cv2.subtract(restored, frame, dtype=cv2.CV_32F)
    shift = edge.ravel() @ found.reshape(-1, 3) / max(float(edge.sum()), 1e-6)
    return cv2.subtract(found, (*shift.tolist(), 0)) * cv2.merge([mask] * 3)


def check_strength(strength: float) -> None:
    """Raise ValueError unless 0 (the photograph stays as it is) <= strength <= 1 (all of the change is added)."""
    if not 0 <= strength <= 1:
        raise ValueError(f"strength = {strength}: expected 0 to 1")


def add(pixels: NDArray, added: NDArray[np.float32]) -> NDArray:
    """Pixels, uint8 or uint16, plus a change in their own levels; rounded, clipped."""
    return cv2.add(pixels, added, dtype=cv2.CV_16U if pixels.dtype == np.uint16 else cv2.CV_8U)


def painted(
    shown: Pixels,
    source: NDArray,
    faces: Sequence[tuple[Alignment, Pixels, Pixels]],
    strength: float = 1.0,
    scale: int = 1,
    drawn: Pixels | None = None,
) -> NDArray:
    """A copy of an enlarged photograph with its faces' changes, each measured in the photograph as it came.

    Args:
        shown: the photograph, uint8 H x W x 3.
        source: enlarged by ``scale``, uint8 or uint16.
        faces: alignment in the photograph; the frame before and after, uint8 size x size x 3.
        drawn: ``source`` in 8 bits where a network drew it: the faces then take its place, and nothing is added twice.
    """
    pixels = source.copy()
    alignments = [alignment for alignment, _, _ in faces]
    parts = masks.shares(alignments, len(faces[0][1])) if faces else []
    for (alignment, before, after), part in zip(faces, parts, strict=True):
        mask, there = masks.face_mask(before, after, part), alignment.scaled(scale)
        under = before if drawn is None else cut(drawn, there, len(mask))
        seen = (shown, alignment) if drawn is None else (drawn, there)
        added = change(before, after, mask)
        removed = detail.removed(*seen, source, under, added, mask)
        paste(pixels, there, added if drawn is None else change(under, after, mask), strength, removed)
    return pixels


def paste(
    photo: NDArray,
    alignment: Alignment,
    added: NDArray[np.float32],
    strength: float = 1.0,
    removed: detail.Removed | None = None,
) -> None:
    """Add a frame's change to a photograph, in place.

    Args:
        photo: uint8 or uint16, H x W x 3.
        added: of :func:`change`.
        strength: share of the change, 0 to 1.
        removed: fine detail of a large face that is taken away; its source has the photograph's size and type.
    Raises:
        ValueError: ``strength`` outside 0 to 1, or another type of photograph.
    """
    check_strength(strength)
    if photo.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected a photograph of 8 or 16 bits, got {photo.dtype}")
    left, top, right, bottom = reach(photo.shape[:2], alignment)
    finer = max(1, round(added.shape[0] / alignment.side))  # a small face: drawn at its pixels' size, averaged
    unit = 257 if photo.dtype == np.uint16 else 1
    rows = max(1, STRIP // (right - left))
    if removed:
        added = cv2.merge([added + removed.share[..., None] * removed.frame, removed.share])  # size x size x 4
    for start in range(top, bottom, rows):
        box = (left, start, right, min(start + rows, bottom))
        inside, place = warped_back(added, alignment, box, finer), np.s_[start : box[3], left:right]
        if removed:
            fine = cv2.merge([inside[..., 3]] * 3) * (np.float32(1 / unit) * removed.source[place])
            inside = inside[..., :3] - fine
        photo[place] = add(photo[place], inside * np.float32(strength * unit))


def warped_back(
    added: NDArray[np.float32], alignment: Alignment, box: tuple[int, int, int, int], finer: int = 1
) -> NDArray[np.float32]:
    """The change in pixels of the photograph's ``box``, drawn ``finer`` times as fine and averaged; 0 outside."""
    left, top, right, bottom = box
    matrix = alignment.scaled(finer).matrix(added.shape[0])
    matrix[:, 2] += matrix[:, :2] @ (left * finer, top * finer)
    size = ((right - left) * finer, (bottom - top) * finer)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(added, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.resize(drawn, (right - left, bottom - top), interpolation=cv2.INTER_AREA) if finer > 1 else drawn
