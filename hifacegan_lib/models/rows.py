"""A 3 x 3 convolution that goes down its map strip by strip; what lies between two layers is never whole.

A strip of rows gives as many finished rows, one further up; the last two rows wait for the next strip:

    rows a ... b  come in       rows a - 1 ... b - 1  go out       rows b - 1, b  are kept

Layers follow one another this way from the top of the map to its bottom, each a row behind the former, and nothing is
computed twice. The map taken as one strip is the plain convolution.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hifacegan_lib.models.winograd import WinogradConv2d

STRIP = 2**23  # bytes of a strip's widest maps: what a processor's last cache holds beside the weights
LARGEST = 400_000  # pairs of channels whose transformed kernel is still worth its memory
THICK = 30.0  # C O / (C + O) from which the tiles' transforms pay


class RowsConv2d(nn.Module):
    """A 3 x 3 convolution, N x C x H x W -> N x O x (H - 2 + above + below) x W, channels last.

    So many rows of zeros stand above and below; a column of them on each side. On a CPU float32's large kernels
    are applied by Winograd's filtering.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        out, into = weight.shape[:2]
        pays = out * into <= LARGEST and out * into / (out + into) >= THICK and dtype == torch.float32
        self.channels = out
        self.tiles = None
        if pays and weight.device.type == "cpu":
            self.tiles = WinogradConv2d(weight, bias)
        else:
            self.register_buffer("weight", weight.to(dtype).contiguous(memory_format=torch.channels_last))
            self.register_buffer("bias", None if bias is None else bias.to(dtype))

    def forward(self, x: Tensor, above: int = 1, below: int = 1) -> Tensor:
        if self.tiles is not None:
            return self.tiles(x, above, below)
        if above != below:
            x = F.pad(x, (0, 0, above, below))
        return F.conv2d(x, self.weight, self.bias, padding=(above * below, 1))


class Descent:
    """One convolution's way down one map."""

    def __init__(self, conv: RowsConv2d) -> None:
        self.conv = conv
        self.kept: Tensor | None = None

    def __call__(self, rows: Tensor, last: bool) -> Tensor:
        """The next rows of the input -> the rows that they finish; the first strip has two rows or is the last."""
        x = rows if self.kept is None else torch.cat([self.kept, rows], 2)
        above = int(self.kept is None)
        self.kept = None if last else x[:, :, -2:]
        return self.conv(x, above, int(last))


def strips(guide: Tensor, channels: int) -> Iterator[tuple[Tensor, bool]]:
    """The map's rows from top to bottom, and whether they are the last. ``channels``: of the widest maps made of them.

    One strip of all rows but on a CPU.
    """
    height, width = guide.shape[2:]
    rows = height
    if guide.device.type == "cpu" and not torch.compiler.is_compiling():
        rows = max(8, STRIP // (width * channels * guide.element_size()) // 4 * 4)
    for top in range(0, height, rows):
        yield guide[:, :, top : top + rows], top + rows >= height


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over the pixels, N x C x 1 x 1, in float32."""
    x = x.float()
    mean = x.mean((2, 3), keepdim=True)
    return mean, (x - mean).square_().mean((2, 3), keepdim=True)


def joined_moments(parts: list[tuple[Tensor, Tensor]], rows: list[int]) -> tuple[Tensor, Tensor]:
    """Those of the whole map from those of its strips, by the law of total variance."""
    share = torch.tensor(rows, dtype=torch.float32, device=parts[0][0].device).div_(sum(rows)).view(-1, 1, 1, 1, 1)
    means, variances = (torch.stack(same) for same in zip(*parts, strict=True))
    mean = (means * share).sum(0)
    return mean, ((variances + (means - mean).square()) * share).sum(0)
