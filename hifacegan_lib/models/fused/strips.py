"""The modulated convolution for the CPU, with its own backward pass.

    y_i = sum over j in window(i) of  H_ij W[j - i] f_j

With ordinary operators, H f needs K^2 copies of the features, and autograd keeps all of them for the backward pass.
Here an image is processed strip by strip: the copies P of a strip fit into the processor's cache, one matrix product
multiplies them by W, and the next strip overwrites them. The backward pass computes them again. Only f and H are kept.

    Y = P W       dW = P^T dY       dP = dY W^T       df_j = sum over i of H_ij dP_ij       dH_ij = f_j . dP_ij

In a strip the channels are the last dimension: the features of a pixel are contiguous, and the windows are a view of
the padded image.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

STRIP_BYTES = 2**21  # size of a strip's copies: about the cache of a core


class Strip(NamedTuple):
    """Some rows of an image's output, which of the padded image's rows their windows begin at, and their copies."""

    rows: slice
    first: int
    near: Tensor  # rows x W' x K x K x C: a view, which repeats a pixel for every window that contains it
    copies: Tensor  # of the same shape; all strips of an image use the same memory


class ModulatedConv2d(torch.autograd.Function):
    """f N x C x H x W, h N x K^2 x H' x W', weight O x C x K x K -> N x O x H' x W' with H' = ceil(H / stride)."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, h: Tensor, weight: Tensor, stride: int) -> Tensor:
        out, _, window, _ = weight.shape
        kernel = _kernel_matrix(weight)  # K^2 C, O
        h = _by_window(h, window)
        y = f.new_empty(*h.shape[:3], out)
        for image in range(len(f)):
            for strip in _strips(_padded(f[image], window), h[image], stride):
                torch.mul(strip.near, h[image, strip.rows], out=strip.copies)
                torch.mm(_matrix(strip.copies), kernel, out=y[image, strip.rows].view(-1, out))
        ctx.save_for_backward(f, h, weight)
        ctx.stride = stride
        return y.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        f, h, weight = ctx.saved_tensors
        (n, c, height, width), (out, _, window, _) = f.shape, weight.shape
        kernel, edge = _kernel_matrix(weight).t().contiguous(), window // 2  # O, K^2 C
        d_kernel = torch.zeros(window * window * c, out, dtype=torch.promote_types(f.dtype, torch.float32))
        d_padded, d_h = f.new_zeros(n, height + 2 * edge, width + 2 * edge, c), torch.empty_like(h)
        for image in range(n):
            d_y = grad[image].permute(1, 2, 0)  # H', W', O
            for rows, first, near, copies in _strips(_padded(f[image], window), h[image], ctx.stride):
                d_rows, weights = d_y[rows].reshape(-1, out), h[image, rows]
                d_kernel += _matrix(torch.mul(near, weights, out=copies)).t() @ d_rows
                d_copies = (d_rows @ kernel).view_as(copies)
                torch.sum(torch.mul(d_copies, near, out=copies), -1, keepdim=True, out=d_h[image, rows])
                _add_windows(d_padded[image, first:], d_copies.mul_(weights), ctx.stride)
        d_f = d_padded[:, edge : edge + height, edge : edge + width].permute(0, 3, 1, 2)
        d_weight = d_kernel.view(window, window, c, out).permute(3, 2, 0, 1).to(weight.dtype)
        return d_f, d_h.flatten(3).permute(0, 3, 1, 2), d_weight, None


def _kernel_matrix(weight: Tensor) -> Tensor:
    """O x C x K x K -> K^2 C x O, in the order of the copies of a window."""
    return weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])


def _by_window(h: Tensor, window: int) -> Tensor:
    """N x K^2 x H' x W' -> N x H' x W' x K x K x 1."""
    return h.permute(0, 2, 3, 1).contiguous().view(h.shape[0], *h.shape[2:], window, window, 1)


def _matrix(copies: Tensor) -> Tensor:
    """rows x W' x K x K x C -> (rows W') x (K^2 C)."""
    return copies.view(copies.shape[0] * copies.shape[1], -1)


def _padded(image: Tensor, window: int) -> Tensor:
    """C x H x W -> (H + K - 1) x (W + K - 1) x C: zero padding, channels last."""
    edge = window // 2
    return F.pad(image.permute(1, 2, 0).contiguous(), (0, 0, edge, edge, edge, edge))


def _strips(padded: Tensor, h: Tensor, stride: int) -> Iterator[Strip]:
    """The strips of an image, from its padded features and its H, H' x W' x K x K x 1."""
    (high, wide, window, _, _), channels = h.shape, padded.shape[-1]
    row = padded.element_size() * wide * window * window * channels
    memory = padded.new_empty(min(high, max(1, STRIP_BYTES // row)), wide, window, window, channels)
    down, across, one = padded.stride()
    steps = (down * stride, across * stride, down, across, one)
    for top in range(0, high, len(memory)):
        copies, first = memory[: high - top], top * stride
        near = padded.as_strided(copies.shape, steps, padded.storage_offset() + first * down)
        yield Strip(slice(top, top + len(copies)), first, near, copies)


def _add_windows(padded: Tensor, values: Tensor, stride: int) -> None:
    """Add the values of a strip's windows, rows x W' x K x K x C, to their pixels in the padded image."""
    rows, wide, window = values.shape[:3]
    for down in range(window):
        for across in range(window):
            pixels = padded[down : down + rows * stride : stride, across : across + wide * stride : stride]
            pixels[:rows, :wide] += values[:, :, down, across]
