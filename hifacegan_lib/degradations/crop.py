"""Frames: a face is cut from a source image by a square crop, a flip and a resize."""

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from hifacegan_lib.utils.images import Pixels, resize
from hifacegan_lib.utils.records import Record


class Frame(Record):
    """A square crop in pixels of the source image, mirrored if ``flip``, resized to ``size`` pixels a side."""

    top: NonNegativeInt
    left: NonNegativeInt
    side: PositiveInt
    flip: bool
    size: PositiveInt

    def apply(self, image: Pixels) -> Pixels:
        """uint8 H x W x 3 -> size x size x 3.

        Raises:
            ValueError: the image does not contain the square, so the frame belongs to another image.
        """
        height, width = image.shape[:2]
        if self.top + self.side > height or self.left + self.side > width:
            raise ValueError(
                f"an image of {width} x {height} pixels does not hold the frame's square of {self.side} at "
                f"({self.left}, {self.top}): expected the image that it was cut from"
            )
        square = image[self.top : self.top + self.side, self.left : self.left + self.side]
        return resize(np.ascontiguousarray(square[:, ::-1] if self.flip else square), self.size, self.size)


def whole_frame(shape: tuple[int, ...], size: int) -> Frame:
    """The largest centred square of an image of ``shape``, not mirrored, resized to ``size`` pixels a side."""
    return draw_frame(shape[0], shape[1], size, crop_min=1, flip_probability=0, seed=0)


def draw_frame(height: int, width: int, size: int, crop_min: float, flip_probability: float, seed: int) -> Frame:
    """Draw a square of random size and position, and whether it is mirrored.

    Args:
        crop_min: smallest side of the square, as a share of the shorter side; 1: the largest centred square.
        seed: the only source of randomness; its stream differs from that of the recipe.
    """
    rng = np.random.default_rng((seed, 0))
    side = max(1, round(min(height, width) * rng.uniform(crop_min, 1)))
    top, left = (int(rng.integers(length - side, endpoint=True)) for length in (height, width))
    if crop_min == 1:
        top, left = (height - side) // 2, (width - side) // 2
    return Frame(top=top, left=left, side=side, flip=bool(rng.random() < flip_probability), size=size)
