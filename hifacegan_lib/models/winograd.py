"""Winograd's minimal filtering: a 3 x 3 convolution with a quarter of the multiplications, for large maps on a CPU.

A 4 x 4 tile of the output needs the 6 x 6 pixels d below it. Moved to another basis, both sides multiply pixel by
pixel, which makes the sum over channels a matrix product for each of the 36 places:

    y = A^T [ (G w G^T) * (B^T d B) ] A         36 products for 144

It is the same convolution; rounding is another: B and A add numbers of up to 25 times the size, so it is for float32
(off by up to 3e-6 of the range, the plain sum by 3e-7).

Lavin and Gray, 1509.09308. Channels come last, and a band of tiles is worked on at a time, so that it stays in a cache.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BAND = 2**22  # bytes that a band's products may take

TILE = 4  # side of the output's tiles, pixels
SIDE = TILE + 2  # of the input's

_INPUT = [  # B^T
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_KERNEL = [  # G
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_OUTPUT = [  # A^T; its second column is all ones, so what is added to that place is added to every pixel
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
]


class WinogradConv2d(nn.Module):
    """A 3 x 3 convolution of stride 1, of maps N x C x H x W with channels last.

    Args:
        weight: O x C x 3 x 3. bias: O, or none.
    """

    kernel: Tensor
    bias: Tensor | None
    into: Tensor
    out: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        if weight.shape[2:] != (3, 3):
            raise ValueError(f"expected a 3 x 3 kernel, got {tuple(weight.shape)}")
        g = torch.tensor(_KERNEL, dtype=torch.float64, device=weight.device)
        kernel = torch.einsum("ai,bj,ocij->abco", g, g, weight.double()).flatten(0, 1)  # 36, C, O
        self.register_buffer("kernel", kernel.float().contiguous())
        self.register_buffer("bias", None if bias is None else bias.float())
        for name, rows in (("into", _INPUT), ("out", _OUTPUT)):
            once = torch.tensor(rows, dtype=torch.float32, device=weight.device)
            self.register_buffer(name, torch.kron(once, once))  # both directions at once

    def forward(self, x: Tensor, above: int = 1, below: int = 1) -> Tensor:
        """N x O x (H - 2 + above + below) x W; so many rows of zeros come first and last, and a column on each side."""
        out = self.kernel.shape[2]
        n, c, height, width = x.shape[0], x.shape[1], x.shape[2] - 2 + above + below, x.shape[3]
        down, across = -(-height // TILE), -(-width // TILE)  # tiles
        right, bottom = across * TILE + 1 - width, down * TILE - height + below
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, right, above, bottom)).contiguous()
        y = x.new_empty(n, down, TILE, across, TILE, out)
        most = max(1, BAND // (SIDE**2 * across * (c + out) * x.element_size()))  # rows of tiles at once
        image, line, pixel, _ = padded.stride()
        for one in range(n):
            for top in range(0, down, most):
                rows = min(most, down - top)
                shape, start = (SIDE, SIDE, rows, across, c), one * image + top * TILE * line
                tiles = padded.as_strided(shape, (line, pixel, line * TILE, pixel * TILE, 1), start)
                moved = torch.mm(self.into, tiles.reshape(SIDE**2, -1)).view(SIDE**2, -1, c)
                products = torch.bmm(moved, self.kernel)  # 36, tiles, O
                if self.bias is not None:
                    products[SIDE + 1] += self.bias
                back = torch.mm(self.out, products.view(SIDE**2, -1)).view(TILE, TILE, rows, across, out)
                y[one, top : top + rows] = back.permute(2, 0, 3, 1, 4)
        return y.view(n, down * TILE, across * TILE, out)[:, :height, :width].permute(0, 3, 1, 2)
