"""Guidance swap, of notebook 03: what does each level of the decoder take from its guidance? Exchange it and look.

A generator that draws without a skip knows a face by its guidance alone: maps f_0 (fine) ... f_L (coarse). Give it the
maps of face A, but for some levels those of face B:

    progressive k     levels L ... k from B, the finer ones from A
    one plug k        level k from B, all others from A
    one ablate k      level k of A made flat, its mean in every pixel; nothing from B

The start of the decoder is always A's. Works with any ``Generator``; one with a skip adds A's own pixels at the end.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import ipywidgets
import torch
from torch import Tensor

from hifacegan_lib.models.generator import Generator
from hifacegan_lib.reports.face_views import fit, png
from hifacegan_lib.utils.images import Pixels, to_float, to_uint8

Mode = Literal["progressive", "one plug", "one ablate"]
MODES: tuple[Mode, ...] = get_args(Mode)
SIDE = 256  # of a picture, pixels


class Code(NamedTuple):
    """What the encoder makes of a face, N x 3 x H x W: the decoder's start, and its guidance, finest first."""

    image: Tensor
    start: Tensor
    guides: list[Tensor]


@torch.no_grad()
def encode(generator: Generator, image: Tensor) -> Code:
    """Encode a face, N x 3 x H x W in [0, 1]."""
    return Code(image, *generator.encode(image))


def mixed(a: Sequence[Tensor], b: Sequence[Tensor], mode: Mode, level: int) -> list[Tensor]:
    """Guidance of A with some levels exchanged; ``level`` counts from 0, the finest.

    Raises:
        ValueError: an unknown mode, no such level, faces of two sizes.
    """
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}; got {mode!r}")
    if not 0 <= level < len(a):
        raise ValueError(f"level = {level}: this generator has levels 0 to {len(a) - 1}")
    if [f.shape for f in a] != [f.shape for f in b]:
        raise ValueError(f"faces of one size are needed, got guidance {tuple(a[0].shape)} and {tuple(b[0].shape)}")
    if mode == "progressive":
        return [*a[:level], *b[level:]]
    flat = a[level].mean((2, 3), keepdim=True).expand_as(a[level])
    return [*a[:level], b[level] if mode == "one plug" else flat, *a[level + 1 :]]


@torch.no_grad()
def swap(generator: Generator, a: Code, b: Code, mode: Mode, level: int) -> Tensor:
    """A's picture with B's guidance at some levels, N x 3 x H x W in [0, 1]."""
    return generator.decode(a.image, a.start, mixed(a.guides, b.guides, mode, level))


def share_of_way(picture: Tensor, a: Tensor, b: Tensor) -> float:
    """How far the picture has moved from a (0) towards b (1): its part along the straight line between the two.

    Raises:
        ValueError: a equals b.
    """
    way = (b - a).flatten()
    if not way.any():
        raise ValueError("the two pictures are equal: there is no way between them")
    return float((picture - a).flatten() @ way / (way @ way))


class GuidanceSwap(ipywidgets.VBox):
    """Face A drawn with guidance of face B at chosen levels: one of three modes, one level.

    Args:
        generator: without a skip, so that it draws from its guidance alone.
        a, b: uint8 H x W x 3, of one size.
    """

    def __init__(self, generator: Generator, a: Pixels, b: Pixels) -> None:
        self.generator = generator
        self.a, self.b = (encode(generator, to_float(face)[None]) for face in (a, b))
        self.ends = [generator.decode(*code).detach() for code in (self.a, self.b)]
        self.mode = ipywidgets.ToggleButtons(options=MODES, description="mode")
        self.level = ipywidgets.IntSlider(0, min=0, max=generator.config.stages, description="level k")
        self.words = ipywidgets.Label()
        faces = {"A, drawn": self.ends[0], "swapped": self.ends[0], "B, drawn": self.ends[1]}
        self.pictures = {name: ipywidgets.Image(value=_png(face)) for name, face in faces.items()}
        columns = [ipywidgets.VBox([ipywidgets.Label(name), picture]) for name, picture in self.pictures.items()]
        super().__init__([self.mode, self.level, ipywidgets.HBox(columns), self.words], _dom_classes=("guidance-swap",))
        for control in (self.mode, self.level):
            control.observe(lambda _: self._draw(), "value")
        self._draw()

    def _draw(self) -> None:
        picture = swap(self.generator, self.a, self.b, self.mode.value, self.level.value)
        self.pictures["swapped"].value = _png(picture)
        share = share_of_way(picture, *self.ends)
        self.words.value = f"{self.mode.value}, level {self.level.value}: {share:.0%} of the way from A to B"


def _png(face: Tensor) -> bytes:
    return png(fit(to_uint8(face[0]), SIDE))
