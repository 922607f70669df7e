"""Guidance swap: what does each level of the decoder take from its guidance? Exchange it and look.

A generator that draws without a skip knows a face by its guidance alone: maps f_0 (fine) ... f_L (coarse). Give it the
maps of face A, but for some levels those of face B:

    progressive k     levels L ... k from B, the finer ones from A
    one plug k        level k from B, all others from A
    one ablate k      level k of A made flat, its mean in every pixel; nothing from B

The start of the decoder is always A's. Works with any ``Generator``; one with a skip adds A's own pixels at the end.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from hifacegan_lib.models.generator import Generator, GeneratorConfig

Mode = Literal["progressive", "one plug", "one ablate"]
RATE = 5e-3  # largest, of learn_to_redraw
MODES: tuple[Mode, ...] = get_args(Mode)


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


def learn_to_redraw(config: GeneratorConfig, faces: Tensor, steps: int, batch: int = 8, seed: int = 0) -> Generator:
    """A small network that draws a face again from its guidance alone, in seconds.

    In half of its steps the finest levels are made flat, down to a random one, so that each level learns to carry what
    it can: as it is, the finest would carry all.

    Args:
        config: without a skip.
        faces: N x 3 x H x W in [0, 1].
    """
    if config.skip:
        raise ValueError("a network with a skip need not draw: give one with skip=False")
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(config).train()
    optimizer = torch.optim.Adam(generator.parameters(), RATE, (0.9, 0.99))
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.2)
    for _ in range(steps):
        face = faces[torch.randint(0, len(faces), (batch,), generator=draw)]
        start, guides = generator.encode(face)
        flat = max(0, int(torch.randint(-len(guides) + 1, len(guides), (1,), generator=draw)))
        guides = [g.mean((2, 3), keepdim=True).expand_as(g) if n < flat else g for n, g in enumerate(guides)]
        loss = F.l1_loss(generator.decode(face, start, guides), face)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    return generator.eval().requires_grad_(False)


def likeness(picture: Tensor, a: Tensor, b: Tensor) -> float:
    """How far the picture has moved from a (0) towards b (1): its part along the straight line between the two.

    Raises:
        ValueError: a equals b.
    """
    way = (b - a).flatten()
    if not way.any():
        raise ValueError("the two pictures are equal: there is no way between them")
    return float((picture - a).flatten() @ way / (way @ way))
