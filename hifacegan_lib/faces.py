"""Find faces in a photograph and cut them out framed as the training faces are.

The detector is the Haar cascade that ships with OpenCV 4: it works offline, for upright and roughly frontal faces.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2

from hifacegan_lib.images import Pixels


class Box(NamedTuple):
    """A rectangle in pixels; ``left`` and ``top`` may lie outside the image."""

    left: int
    top: int
    width: int
    height: int


def detect_faces(image: Pixels, min_size: int = 24) -> list[Box]:
    """Faces in a uint8 H x W x 3 image, largest first; ``min_size`` is the smallest side that counts, pixels.

    Raises:
        ValueError: ``min_size`` below 1.
    """
    if min_size < 1:
        raise ValueError(f"min_size = {min_size}: expected 1 or more")
    grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    found = _cascade().detectMultiScale(grey, scaleFactor=1.08, minNeighbors=6, minSize=(min_size, min_size))
    return sorted((Box(*map(int, box)) for box in found), key=lambda box: -box.width * box.height)


def crop_face(image: Pixels, box: Box, margin: float = 0.5) -> tuple[Pixels, Box]:
    """The square around a detected face, ``margin`` of its side added all around, and where it lies.

    The square is moved up a little, as the cascade's box ends at the chin and leaves out the hair. What lies outside
    the image is filled by repeating its border.

    Raises:
        ValueError: a box without area, or wholly outside the image.
    """
    height, width = image.shape[:2]
    inside = box.left < width and box.top < height and box.left + box.width > 0 and box.top + box.height > 0
    if box.width < 1 or box.height < 1 or not inside:
        raise ValueError(f"{box}: no part of a {width} x {height} image")
    side = max(1, round(max(box.width, box.height) * (1 + margin)))
    left = round(box.left + box.width / 2 - side / 2)
    top = round(box.top + box.height * 0.45 - side / 2)
    before = (max(0, -top), max(0, -left))
    after = (max(0, top + side - height), max(0, left + side - width))
    padded = cv2.copyMakeBorder(image, before[0], after[0], before[1], after[1], cv2.BORDER_REPLICATE)
    row, column = top + before[0], left + before[1]
    return padded[row : row + side, column : column + side].copy(), Box(left, top, side, side)


@lru_cache(maxsize=1)
def _cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"))
