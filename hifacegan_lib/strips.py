"""The inner-product convolution in one piece for the CPU, with a backward pass of its own.

    y_i = sum over j in window(i) of  H_ij W[j - i] f_j          H_ij = D( g_i . g_j / sqrt(d) )

Written with ordinary operators, H f is K^2 copies of the features, all kept for the backward pass. Here an image goes
through strip by strip: a strip's copies P fit a processor's cache, meet W in one matrix product, and are forgotten; the
backward pass makes them again. What is kept is f, g and H, one number for each pair of pixels.

    Y = P W       dW = P^T dY       dP = dY W^T       df_j = sum over i of H_ij dP_ij       dH_ij = f_j . dP_ij

Inside, channels come last: a pixel's features lie together, and the windows of a strip are a view of the padded image.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

STRIP = 2**21  # bytes of a strip's copies: about what a core's cache holds


class Strip(NamedTuple):
    """Some rows of the output, and where their windows begin in the padded image."""

    rows: slice
    height: int
    first: int


class InnerProduct(torch.autograd.Function):
    """f N x C x H x W, g N x d x H x W, weight O x C x K x K of one dtype -> N x O x ceil(H / s) x ceil(W / s)."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, g: Tensor, weight: Tensor, stride: int, activation: str) -> Tensor:
        n, c, height, width = f.shape
        out_channels, window = weight.shape[0], weight.shape[-1]
        high, wide = -(-height // stride), -(-width // stride)
        kernel = _matrix(weight)  # K^2 C, O
        y = f.new_empty(n, high, wide, out_channels)
        h = f.new_empty(n, high, wide, window, window)
        for image in range(n):
            features, embedding = _last(f[image], window), _last(g[image], window)  # H + K - 1, W + K - 1, C or d
            for strip in _strips(high, wide, c, window, stride, f.element_size()):
                near = _windows(features, strip, wide, window, stride)  # rows, W', K, K, C
                weights = h[image, strip.rows]  # rows, W', K, K
                _correlate(embedding, strip, wide, window, stride, activation, weights)
                copies = torch.mul(near, weights[..., None], out=f.new_empty(near.shape))
                torch.mm(copies.view(-1, window * window * c), kernel, out=y[image, strip.rows].view(-1, out_channels))
        ctx.save_for_backward(f, g, weight, h)
        ctx.stride, ctx.activation = stride, activation
        return y.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        f, g, weight, h = ctx.saved_tensors
        stride, activation = ctx.stride, ctx.activation
        n, c, height, width = f.shape
        out_channels, window = weight.shape[0], weight.shape[-1]
        high, wide = h.shape[1:3]
        back = _matrix(weight).t().contiguous()  # O, K^2 C
        d_kernel = torch.zeros(window * window * c, out_channels, dtype=torch.promote_types(f.dtype, torch.float32))
        d_f, d_g = f.new_empty(n, height, width, c), g.new_empty(n, height, width, g.shape[1])
        edge = window // 2
        for image in range(n):
            features, embedding = _last(f[image], window), _last(g[image], window)
            d_features, d_embedding = torch.zeros_like(features), torch.zeros_like(embedding)
            for strip in _strips(high, wide, c, window, stride, f.element_size()):
                near, weights = _windows(features, strip, wide, window, stride), h[image, strip.rows]
                d_y = grad[image, :, strip.rows].permute(1, 2, 0).reshape(-1, out_channels)
                copies = torch.mul(near, weights[..., None], out=f.new_empty(near.shape))
                d_kernel += copies.view(-1, window * window * c).t() @ d_y
                d_copies = (d_y @ back).view(near.shape)
                d_weights = torch.sum(torch.mul(d_copies, near, out=copies), -1)  # rows, W', K, K
                _add_windows(d_features, d_copies.mul_(weights[..., None]), strip, stride)
                slope = _slope(weights, activation).mul_(d_weights).mul_(g.shape[1] ** -0.5)
                around = _windows(embedding, strip, wide, window, stride)
                middle = around[:, :, edge, edge]  # rows, W', d
                _add_windows(d_embedding, slope[..., None] * middle[:, :, None, None], strip, stride)
                centre = (slope[..., None] * around).sum((2, 3))  # rows, W', d
                _windows(d_embedding, strip, wide, window, stride)[:, :, edge, edge] += centre
            d_f[image] = d_features[edge : edge + height, edge : edge + width]
            d_g[image] = d_embedding[edge : edge + height, edge : edge + width]
        d_weight = d_kernel.view(window, window, c, out_channels).permute(3, 2, 0, 1).to(weight.dtype)
        return d_f.permute(0, 3, 1, 2), d_g.permute(0, 3, 1, 2), d_weight, None, None


def _matrix(weight: Tensor) -> Tensor:
    """O x C x K x K -> K^2 C x O, in the order of a window's copies."""
    return weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])


def _last(image: Tensor, window: int) -> Tensor:
    """C x H x W -> H + K - 1, W + K - 1, C: zeros around, channels last."""
    edge = window // 2
    return F.pad(image.permute(1, 2, 0), (0, 0, edge, edge, edge, edge)).contiguous()


def _strips(high: int, wide: int, channels: int, window: int, stride: int, size: int) -> Iterator[Strip]:
    rows = max(1, STRIP // (size * window * window * channels * wide))
    for top in range(0, high, rows):
        height = min(rows, high - top)
        yield Strip(slice(top, top + height), height, top * stride)


def _windows(padded: Tensor, strip: Strip, wide: int, window: int, stride: int) -> Tensor:
    """rows x W' x K x K x C: a view, in which pixels come as often as windows hold them."""
    down, across, one = padded.stride()
    shape = (strip.height, wide, window, window, padded.shape[2])
    start = padded.storage_offset() + strip.first * down
    return padded.as_strided(shape, (down * stride, across * stride, down, across, one), start)


def _add_windows(padded: Tensor, values: Tensor, strip: Strip, stride: int) -> None:
    """The transpose of :func:`_windows`: add rows x W' x K x K x C to the pixels that they came from."""
    rows, wide, window = values.shape[:3]
    for down in range(window):
        first = strip.first + down
        lines = padded[first : first + (rows - 1) * stride + 1 : stride]
        for across in range(window):
            lines[:, across : across + (wide - 1) * stride + 1 : stride] += values[:, :, down, across]


def _correlate(
    padded: Tensor, strip: Strip, wide: int, window: int, stride: int, activation: str, weights: Tensor
) -> None:
    """Write H of a strip into ``weights``, rows x W' x K x K."""
    near = _windows(padded, strip, wide, window, stride)
    middle = near[:, :, window // 2, window // 2, None, None]  # rows, W', 1, 1, d
    torch.sum(near * middle, -1, out=weights)
    weights *= padded.shape[2] ** -0.5
    if activation == "sigmoid":
        weights.sigmoid_().mul_(2)
    elif activation == "tanh":
        weights.tanh_().add_(1)
    else:
        weights.copy_(F.softplus(weights)).mul_(1 / math.log(2)).clamp_max_(2)


def _slope(weights: Tensor, activation: str) -> Tensor:
    """D' at the correlations whose D is ``weights``."""
    if activation == "sigmoid":
        return weights * (2 - weights) / 2
    if activation == "tanh":
        return weights * (2 - weights)
    return (1 - torch.exp2(-weights)) / math.log(2) * (weights < 2)
