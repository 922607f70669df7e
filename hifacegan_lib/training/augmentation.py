"""Random changes of the discriminator's inputs, for few faces: DiffAugment (Zhao 2020, arXiv 2006.10738).

    colour         x + b;  m + s (x - m), m: mean over channels;  m + c (x - m), m: mean over the face
                   b in [-1/4, 1/4], s in [0, 2], c in [1/2, 3/2]
    translation    by up to 1/8 of the sides, grey comes in
    cutout         a grey rectangle of half the sides, its centre anywhere in the face

A discriminator of few faces learns them by heart. Changed faces are many; and because both sides are changed, and the
generator's gradient passes through the change, the generator does not learn to draw grey rectangles. The damaged,
restored and clean face of a pair have the same change, so that they can still be compared.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

NUMBERS = 7  # random numbers of a face: brightness, saturation, contrast, two of the translation, two of the cutout


def judge(
    discriminator: nn.Module, kind: Literal["none", "diffaugment"], degraded: Tensor
) -> Callable[[Tensor], list[list[Any]]]:
    """Faces, N x 3 x H x W in [0, 1] -> the discriminator's output for them beside the degraded ones.

    With "diffaugment" all have one change, drawn here from PyTorch's generator: on the CPU and face by face, so that
    the numbers of a batch in parts are those of the whole batch.
    """
    if kind == "none":
        return lambda face: discriminator(degraded, face)
    numbers = torch.rand(len(degraded), NUMBERS).to(degraded)
    return lambda face: discriminator(diffaugment(degraded, numbers), diffaugment(face, numbers))


def diffaugment(image: Tensor, numbers: Tensor) -> Tensor:
    """N x 3 x H x W in [0, 1], changed by N x 7 numbers in [0, 1); the result may leave the range."""
    u = numbers.T.reshape(NUMBERS, -1, 1, 1, 1)
    x = image - 0.5 + (u[0] - 0.5) / 2
    x = torch.lerp(x.mean(1, keepdim=True), x, 2 * u[1])
    x = torch.lerp(x.mean((1, 2, 3), keepdim=True), x, u[2] + 0.5)
    (rows, rows_kept, rows_cut) = _moved(image.shape[2], u[3], u[5])  # N x 1 x H x 1
    (columns, columns_kept, columns_cut) = (t.mT for t in _moved(image.shape[3], u[4], u[6]))  # N x 1 x 1 x W
    faces, channels = (torch.arange(n, device=x.device) for n in x.shape[:2])
    x = x[faces.view(-1, 1, 1, 1), channels.view(1, -1, 1, 1), rows, columns]
    return torch.where(rows_kept & columns_kept & ~(rows_cut & columns_cut), x, 0) + 0.5


def _moved(side: int, shift: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Along one side, by N numbers in [0, 1) each: sources of the pixels, whether inside, whether cut."""
    place = torch.arange(side, device=shift.device).view(-1, 1)
    most, hole = (side + 4) // 8, (side + 1) // 2
    source = place - (shift * (2 * most + 1)).long() + most
    above = place - (centre * side).long() + hole // 2
    return source.clamp(0, side - 1), (source >= 0) & (source < side), (above >= 0) & (above < hole)
