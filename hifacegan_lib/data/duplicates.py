"""Near-duplicates: copies of an image, re-encoded, resized, brightened or mirrored, found by a difference hash.

    hash(image) = [ s(y, x+1) > s(y, x) for all y, x ] + [ s(y+1, x) > s(y, x) for all y, x ]        s = grey, 12 x 12

The 264 bits say where the brightness grows. The distance of two images is the number of bits in which they differ.

The threshold was chosen on 1,900 aligned faces (FFHQ, StyleGAN, portraits). Of their 1.8 million pairs, the five
nearest show the same image or nearly the same (7, 16, 18, 20, 26 bits), the next shows two persons (31), and half of
all pairs differ in more than 115 bits. The hash finds 100 of 100 copies with JPEG quality 50, half the size, 64 pixels,
more brightness or noise; about two in three copies cropped by 2% at each side; no copy cropped by 5% (55 bits).
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from hifacegan_lib.utils.images import Pixels

SIDE = 12
THRESHOLD = 28  # bits of 264

Hash = NDArray[np.uint64]


def face_hash(image: Pixels) -> Hash:
    """uint8 H x W x 3 -> 264 bits in 5 words."""
    return both_hashes(image)[0]


def both_hashes(image: Pixels) -> tuple[Hash, Hash]:
    """The hashes of an image, uint8 H x W x 3, and of its mirror image."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return _growth(small), _growth(small[:, ::-1])


def _growth(small: NDArray[np.uint8]) -> Hash:
    bits = np.concatenate([(small[:, 1:] > small[:, :-1]).ravel(), (small[1:] > small[:-1]).ravel()])
    return np.packbits(np.pad(bits, (0, -len(bits) % 64))).view(np.uint64)


def distance(a: Hash, b: Hash) -> NDArray[np.integer]:
    """The number of different bits of two hashes, over the last axis; the other axes broadcast."""
    return np.bitwise_count(a ^ b).sum(-1, dtype=np.int64)


def near_duplicates(
    train: Mapping[str, Hash], valid: Mapping[str, tuple[Hash, Hash]], threshold: int = THRESHOLD
) -> list[tuple[str, str, int]]:
    """Similar pairs across the two splits: (train key, valid key, bits), nearest first.

    Args:
        train: key -> hash.
        valid: key -> hashes of the image and of its mirror image, so that mirrored copies are found.
        threshold: largest number of different bits.
    """
    if not train:
        return []
    keys, hashes = list(train), np.stack(list(train.values()))
    found = []
    for key, (plain, mirrored) in valid.items():
        bits = np.minimum(distance(hashes, plain), distance(hashes, mirrored))
        found += [(keys[n], key, int(bits[n])) for n in np.flatnonzero(bits <= threshold)]
    return sorted(found, key=lambda pair: (pair[2], pair[0], pair[1]))
