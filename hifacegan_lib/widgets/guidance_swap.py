"""The guidance swap of notebook 03: exchange guidance between two faces to see the effect of each decoder level.

A generator without a skip sees a face only through its guidance: maps f_0 (fine) ... f_L (coarse). It decodes the maps
of face A, with those of face B at some levels:

    progressive k     levels L ... k from B, the finer levels from A
    one plug k        level k from B, all other levels from A
    one ablate k      level k of A replaced by its mean over all pixels; nothing from B

The decoder always starts from A. Any ``Generator`` works; a generator with a skip adds A's pixels at the end.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import ipywidgets
import torch
from torch import Tensor

from hifacegan_lib.models.generator import Generator
from hifacegan_lib.reports.face_views import VIEW, fit, png
from hifacegan_lib.utils.images import Pixels, to_float, to_uint8

Mode = Literal["progressive", "one plug", "one ablate"]
MODES: tuple[Mode, ...] = get_args(Mode)


class Code(NamedTuple):
    """A face, N x 3 x H x W, and the encoder's output: the decoder's start and the guidance, finest level first."""

    image: Tensor
    start: Tensor
    guides: list[Tensor]


@torch.no_grad()
def encode(generator: Generator, image: Tensor) -> Code:
    """Encode a face, N x 3 x H x W in [0, 1]."""
    return Code(image, *generator.encode(image))


def mix_guidance(a: Sequence[Tensor], b: Sequence[Tensor], mode: Mode, level: int) -> list[Tensor]:
    """The guidance of A with some levels exchanged; ``level`` counts from 0, the finest level.

    Raises:
        ValueError: an unknown mode, no such level, or faces of different sizes.
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
    """Face A decoded with guidance of B at some levels, N x 3 x H x W in [0, 1]."""
    return generator.decode(a.image, a.start, mix_guidance(a.guides, b.guides, mode, level))


def share_of_way(picture: Tensor, a: Tensor, b: Tensor) -> float:
    """The position of an image between ``a`` (0) and ``b`` (1), projected onto the straight line between them.

    Raises:
        ValueError: a equals b.
    """
    way = (b - a).flatten()
    if not way.any():
        raise ValueError("a equals b: expected two different images")
    return float((picture - a).flatten() @ way / (way @ way))


class GuidanceSwap(ipywidgets.VBox):
    """Face A decoded with guidance of face B; controls choose the mode and the level.

    Args:
        generator: a generator without a skip, which decodes from its guidance alone.
        a, b: uint8 H x W x 3, of the same size.
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
    return png(fit(to_uint8(face[0]), VIEW))
