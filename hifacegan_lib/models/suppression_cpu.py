"""The fused inner-product convolution for the CPU, with its own backward pass.

    y_i = sum over j in window(i) of  H_ij W[j - i] f_j          H_ij = D( g_i . g_j / sqrt(d) )

With ordinary operators, H f needs K^2 copies of the features, and autograd keeps all of them for the backward pass.
Here an image is processed strip by strip: the copies P of a strip fit into the processor's cache, one matrix product
multiplies them by W, and the next strip overwrites them. The backward pass computes them again. Only f, g and H (one
number for each pair of pixels) are kept.

    Y = P W       dW = P^T dY       dP = dY W^T       df_j = sum over i of H_ij dP_ij       dH_ij = f_j . dP_ij

In a strip the channels are the last dimension: the features of a pixel are contiguous, and the windows are a view of
the padded image. H and its gradient are computed plane by plane, one plane for each neighbour, because g has too few
channels for the same layout.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

STRIP_BYTES = 2**21  # size of a strip's copies: about the cache of a core


class Strip(NamedTuple):
    """Some rows of the output, their number, and the first row of their windows in the padded image."""

    rows: slice
    height: int
    first: int


class InnerProduct(torch.autograd.Function):
    """f N x C x H x W, g N x d x H x W, weight O x C x K x K of the same dtype -> N x O x ceil(H / s) x ceil(W / s)."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, g: Tensor, weight: Tensor, stride: int) -> Tensor:
        n, c, height, width = f.shape
        out_channels, window = weight.shape[0], weight.shape[-1]
        high, wide = -(-height // stride), -(-width // stride)
        kernel = _kernel_matrix(weight)  # K^2 C, O
        y = f.new_empty(n, high, wide, out_channels)
        h = correlations(g, window, stride).permute(0, 2, 3, 1).contiguous()  # N, H', W', K^2
        for image in range(n):
            features = _padded_channels_last(f[image], window)  # H + K - 1, W + K - 1, C
            for strip, copies in _strips(features, high, wide, window, stride):
                near = _windows(features, strip, wide, window, stride)  # rows, W', K, K, C
                torch.mul(near, _weights(h, image, strip, window), out=copies)
                torch.mm(copies.view(-1, window * window * c), kernel, out=y[image, strip.rows].view(-1, out_channels))
        ctx.save_for_backward(f, g, weight, h)
        ctx.stride = stride
        return y.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        f, g, weight, h = ctx.saved_tensors
        stride = ctx.stride
        n, c, height, width = f.shape
        out_channels, window = weight.shape[0], weight.shape[-1]
        high, wide = h.shape[1:3]
        transposed = _kernel_matrix(weight).t().contiguous()  # O, K^2 C
        d_kernel = torch.zeros(window * window * c, out_channels, dtype=torch.promote_types(f.dtype, torch.float32))
        edge = window // 2
        d_padded = f.new_zeros(n, height + 2 * edge, width + 2 * edge, c)
        d_h = torch.empty_like(h)
        for image in range(n):
            features, d_y = _padded_channels_last(f[image], window), grad[image].flatten(1).t()  # H' W', O
            spare = _strip_memory(features, high, wide, window)
            for strip, copies in _strips(features, high, wide, window, stride):
                near, weights = _windows(features, strip, wide, window, stride), _weights(h, image, strip, window)
                rows = d_y[strip.rows.start * wide : strip.rows.stop * wide]
                torch.mul(near, weights, out=copies)
                _add_product(d_kernel, copies.view(-1, window * window * c).t(), rows)
                d_copies = spare[: copies.shape[0]]
                torch.mm(rows, transposed, out=d_copies.view(-1, window * window * c))
                torch.sum(torch.mul(d_copies, near, out=copies), -1, out=_weights(d_h, image, strip, window)[..., 0])
                _add_windows(d_padded[image], d_copies.mul_(weights), strip, stride)
        slope = bounded_slope(h).mul_(d_h).permute(0, 3, 1, 2).contiguous()  # N, K^2, H', W'
        d_g = _correlations_backward(g, slope, window, stride)
        d_weight = d_kernel.view(window, window, c, out_channels).permute(3, 2, 0, 1).to(weight.dtype)
        d_f = d_padded[:, edge : edge + height, edge : edge + width].permute(0, 3, 1, 2)
        return d_f, d_g, d_weight, None


def correlations(g: Tensor, window: int, stride: int) -> Tensor:
    """H for g, N x d x H x W: N x K^2 x H' x W', neighbours in reading order."""
    padded = F.pad(g, [window // 2] * 4)
    centre = g[:, :, ::stride, ::stride]
    h = g.new_empty(g.shape[0], window**2, *centre.shape[2:])
    product = torch.empty_like(centre)
    for k in range(window**2):
        torch.sum(torch.mul(centre, _neighbour(padded, g, k, window, stride), out=product), 1, out=h[:, k])
    h *= g.shape[1] ** -0.5
    return h.sigmoid_().mul_(2)


def _correlations_backward(g: Tensor, slope: Tensor, window: int, stride: int) -> Tensor:
    """Gradient of g from the gradient of its correlations, N x K^2 x H' x W'."""
    slope = slope * g.shape[1] ** -0.5
    padded = F.pad(g, [window // 2] * 4)
    d_padded, centre = torch.zeros_like(padded), g[:, :, ::stride, ::stride]
    d_centre = torch.zeros_like(centre)
    for k in range(window**2):
        d_centre.addcmul_(slope[:, k, None], _neighbour(padded, g, k, window, stride))
        _neighbour(d_padded, g, k, window, stride).addcmul_(slope[:, k, None], centre)
    d_g = _neighbour(d_padded, g, window**2 // 2, window, 1)
    d_g[:, :, ::stride, ::stride] += d_centre
    return d_g


def _neighbour(padded: Tensor, g: Tensor, k: int, window: int, stride: int) -> Tensor:
    """The view of ``padded`` with the k-th neighbour of every centre, N x d x H' x W'."""
    down, across = divmod(k, window)
    return padded[:, :, down : down + g.shape[2] : stride, across : across + g.shape[3] : stride]


def bounded_slope(h: Tensor) -> Tensor:
    """The derivative of D, from its value ``h``."""
    return h * (2 - h) / 2


def _kernel_matrix(weight: Tensor) -> Tensor:
    """O x C x K x K -> K^2 C x O, in the order of the copies of a window."""
    return weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])


def _padded_channels_last(image: Tensor, window: int) -> Tensor:
    """C x H x W -> (H + K - 1) x (W + K - 1) x C: zero padding, channels last."""
    edge = window // 2
    rows = image.flatten(1).t().contiguous().view(*image.shape[1:], -1)
    return F.pad(rows, (0, 0, edge, edge, edge, edge))


def _strip_memory(padded: Tensor, high: int, wide: int, window: int) -> Tensor:
    """Memory for the copies of one strip, rows x W' x K x K x C."""
    row = padded.element_size() * window * window * padded.shape[2] * wide
    return padded.new_empty(min(high, max(1, STRIP_BYTES // row)), wide, window, window, padded.shape[2])


def _strips(padded: Tensor, high: int, wide: int, window: int, stride: int) -> Iterator[tuple[Strip, Tensor]]:
    """The strips of an image, each with memory for its copies; all strips use the same memory."""
    memory = _strip_memory(padded, high, wide, window)
    for top in range(0, high, len(memory)):
        height = min(len(memory), high - top)
        yield Strip(slice(top, top + height), height, top * stride), memory[:height]


def _windows(padded: Tensor, strip: Strip, wide: int, window: int, stride: int) -> Tensor:
    """The windows of a strip, rows x W' x K x K x C: a view that repeats a pixel for every window that contains it."""
    down, across, one = padded.stride()
    shape = (strip.height, wide, window, window, padded.shape[2])
    start = padded.storage_offset() + strip.first * down
    return padded.as_strided(shape, (down * stride, across * stride, down, across, one), start)


def _weights(h: Tensor, image: int, strip: Strip, window: int) -> Tensor:
    """H of a strip, rows x W' x K x K x 1."""
    return h[image, strip.rows].view(strip.height, -1, window, window, 1)


def _add_windows(padded: Tensor, values: Tensor, strip: Strip, stride: int) -> None:
    """The transpose of :func:`_windows`: add values, rows x W' x K x K x C, to their pixels in the padded image."""
    rows, wide, window = values.shape[:3]
    for down in range(window):
        first = strip.first + down
        lines = padded[first : first + (rows - 1) * stride + 1 : stride]
        for across in range(window):
            lines[:, across : across + (wide - 1) * stride + 1 : stride] += values[:, :, down, across]


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b
