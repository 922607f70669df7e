"""From a source image to the face that is looked at: crop a square, flip, resize."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from hifacegan_lib.utils.images import Pixels, resize


@dataclass(frozen=True)
class Frame:
    """A square of a source image, in its pixels, perhaps mirrored, at ``size`` pixels a side."""

    top: int
    left: int
    side: int
    flip: bool
    size: int

    def apply(self, image: Pixels) -> Pixels:
        """uint8 H x W x 3 -> size x size x 3.

        Raises:
            ValueError: the square does not lie in the image: it is not the one that the frame was drawn for.
        """
        height, width = image.shape[:2]
        if self.top + self.side > height or self.left + self.side > width:
            raise ValueError(
                f"an image of {width} x {height} pixels does not hold the frame's square of {self.side} at "
                f"({self.left}, {self.top}): expected the image that it was cut from"
            )
        square = image[self.top : self.top + self.side, self.left : self.left + self.side]
        return resize(np.ascontiguousarray(square[:, ::-1] if self.flip else square), self.size, self.size)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Any, where: str) -> Self:
        """Read :meth:`to_dict`'s form. Raises ValueError: another key, or a number that is no whole one."""
        least = {"top": 0, "left": 0, "side": 1, "size": 1}
        if not isinstance(content, dict) or content.keys() != {*least, "flip"}:
            raise ValueError(f"{where}: expected an object with top, left, side, flip, size, got {content!r}")
        for name, low in least.items():
            if type(content[name]) is not int or content[name] < low:
                raise ValueError(f"{where}.{name} = {content[name]!r}: expected a whole number, {low} or more")
        if not isinstance(content["flip"], bool):
            raise ValueError(f"{where}.flip = {content['flip']!r}: expected true or false")
        return cls(**content)


def whole_frame(image: Pixels, size: int) -> Frame:
    """The centred square, as it is, at ``size`` pixels a side."""
    height, width = image.shape[:2]
    return draw_frame(height, width, size, crop_min=1, flip_probability=0, seed=0)


def draw_frame(height: int, width: int, size: int, crop_min: float, flip_probability: float, seed: int) -> Frame:
    """A random square at a random place, mirrored by chance.

    Args:
        crop_min: its side is ``crop_min`` to 1 of the shorter side; 1: the centred square.
        seed: everything random follows from it, in a stream apart from the recipe's.
    """
    rng = np.random.default_rng((seed, 0))
    side = max(1, round(min(height, width) * rng.uniform(crop_min, 1)))
    top, left = (int(rng.integers(length - side, endpoint=True)) for length in (height, width))
    if crop_min == 1:
        top, left = (height - side) // 2, (width - side) // 2
    return Frame(top, left, side, bool(rng.random() < flip_probability), size)
