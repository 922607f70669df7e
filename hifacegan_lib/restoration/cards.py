"""The card of a restorer: its origin, and how faces of other sizes are resized for it.

    face --to_network--> frame --network--> drawn (``scale`` times the frame) --to_face--> face of the first size

:func:`hifacegan_lib.utils.images.resize` makes sizes: area averages where no side grows, else cubic interpolation.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import cv2

from hifacegan_lib.utils import images
from hifacegan_lib.utils.images import Pixels

LONGEST = 8  # a picture of one face: most times that a side may be longer than the other


@dataclass(frozen=True)
class Card:
    """The known facts of a restorer.

    Attributes:
        name: as the user gave it; a file's name.
        architecture: of the network, in words; empty: unknown.
        parameters: count of its weights; None: unknown.
        sha256: of its file, 64 hex digits; of two flavours, both; of a folder, of all keys and files.
        licence: of the weights, as their file or publisher says; None: unknown.
        size: shorter side that the network is shown, pixels; None: faces are shown at their size.
        scale: side of the network's output over that of its input.
        square: the network takes ``size`` x ``size`` pixels and nothing else.
        recolours: the network was trained to change a face's colours, as those of an old print; a photograph keeps its
            tone then, see :mod:`hifacegan_lib.restoration.blending.tones`.
    """

    name: str
    architecture: str = ""
    parameters: int | None = None
    sha256: str = ""
    licence: str | None = None
    size: int | None = None
    scale: int = 1
    square: bool = False
    recolours: bool = False

    @property
    def resizing(self) -> str:
        """How faces of other sizes are resized, in words."""
        shown = "none: every face is shown at its size"
        if self.size is not None:
            padded = ", first filled up to a square by reflection" if self.square else ""
            side = "the face" if self.square else "the shorter side"
            shown = f"{side} is brought to {self.size} pixels and back{padded} (area averages down, cubics up)"
        larger = f"the output, {self.scale} times as large, is shrunk by area averages"
        return shown if self.scale == 1 else f"{shown}; {larger}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, ``resizing`` among them: a condition of what is measured."""
        return {**dataclasses.asdict(self), "resizing": self.resizing}

    def to_network(self, face: Pixels) -> Pixels:
        """A face, uint8 H x W x 3, at the size that the network takes.

        Raises:
            ValueError: a side is more than :data:`LONGEST` times the other.
        """
        height, width = face.shape[:2]
        if self.size is None:
            return face
        if max(height, width) > LONGEST * min(height, width):
            raise ValueError(f"{width} x {height} pixels: a picture of one face has no side {LONGEST} times the other")
        if self.square and height != width:
            side = max(height, width)
            face = cv2.copyMakeBorder(face, 0, side - height, 0, side - width, cv2.BORDER_REFLECT)
            height = width = side
        factor = self.size / min(height, width)
        return images.resize(face, max(1, round(height * factor)), max(1, round(width * factor)))

    def to_face(self, drawn: Pixels, height: int, width: int) -> Pixels:
        """The network's output for a face of height x width pixels, resized to that size."""
        if not self.square:
            return images.resize(drawn, height, width)
        side = max(height, width)
        return images.resize(drawn, side, side)[:height, :width]
