"""The fused inner-product convolution for a GPU: five Triton kernels, without copies of the features.

    y_i = sum over j in window(i) of  H_ij W[j - i] f_j          H_ij = D( g_i . g_j / sqrt(d) )

This is a convolution as an implicit matrix product with one more step: the features of a pixel are multiplied by H_ij
after they are read from memory. In the backward pass each program computes one tile of pixels from all windows that
contain them, so no atomic additions are needed:

    u_ij = W[j - i]^T dy_i        df_j = sum over i of H_ij u_ij        dH_ij = f_j . u_ij        (one kernel)
    dW[j - i] = sum over i of H_ij f_j dy_i^T       for pieces of the image, whose sums are added in a fixed order

Sums are float32 for every dtype of the features. Float32 features are multiplied in TF32 if
``torch.backends.cudnn.allow_tf32`` is set, as in cuDNN. Pixels are numbered across all images, channels are the last
dimension, and H is stored as one plane per neighbour.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

PIXELS = 64  # pixels of a tile
CHANNELS = 64  # most channels of a tile
PROGRAMS = 512  # number of programs that keeps a large GPU busy


@triton.jit
def _place(p, high, wide):
    """Image, row and column of the p-th pixel; 64 bits, because the caller multiplies them by the channels."""
    p = p.to(tl.int64)
    return p // (high * wide), (p // wide) % high, p % wide


@triton.jit
def _correlate(
    g, h, pixels, height, width, high, wide, d, scale,
    WINDOW: tl.constexpr, STRIDE: tl.constexpr, TP: tl.constexpr, TD: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0) * TP + tl.arange(0, TP)
    n, y, x = _place(p, high, wide)
    channel = tl.arange(0, TD)
    there = (p < pixels)[:, None] & (channel < d)[None, :]
    at = ((n * height + y * STRIDE) * width + x * STRIDE) * d
    centre = tl.load(g + at[:, None] + channel[None, :], mask=there, other=0.0).to(tl.float32)
    for k in range(WINDOW * WINDOW):
        row, column = y * STRIDE + k // WINDOW - WINDOW // 2, x * STRIDE + k % WINDOW - WINDOW // 2
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        at = ((n * height + row) * width + column) * d
        near = tl.load(g + at[:, None] + channel[None, :], mask=there & inside[:, None], other=0.0).to(tl.float32)
        bounded = 2 * tl.sigmoid(tl.sum(centre * near, 1) * scale)
        tl.store(h + k * pixels + p, bounded.to(h.dtype.element_ty), mask=p < pixels)


@triton.jit
def _correlate_backward(
    g, slope, d_g, places, height, width, high, wide, d,
    WINDOW: tl.constexpr, STRIDE: tl.constexpr, TP: tl.constexpr, TD: tl.constexpr,
):  # fmt: skip
    """Sum over each pixel as centre of its window and as neighbour in others; ``slope`` includes D' and the scale."""
    q = tl.program_id(0) * TP + tl.arange(0, TP)
    n, y, x = _place(q, height, width)
    channel, pixels = tl.arange(0, TD), places // (height * width) * high * wide
    there = (q < places)[:, None] & (channel < d)[None, :]
    total = tl.zeros((TP, TD), tl.float32)
    for k in range(WINDOW * WINDOW):
        down, across = k // WINDOW - WINDOW // 2, k % WINDOW - WINDOW // 2
        row, column = y + down, x + across
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        inside = inside & (y % STRIDE == 0) & (x % STRIDE == 0) & (q < places)
        s = tl.load(slope + k * pixels + (n * high + y // STRIDE) * wide + x // STRIDE, mask=inside, other=0.0)
        at = ((n * height + row) * width + column) * d
        near = tl.load(g + at[:, None] + channel[None, :], mask=there & inside[:, None], other=0.0)
        total += s.to(tl.float32)[:, None] * near.to(tl.float32)
        row, column = y - down, x - across
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        inside = inside & (row % STRIDE == 0) & (column % STRIDE == 0) & (q < places)
        s = tl.load(slope + k * pixels + (n * high + row // STRIDE) * wide + column // STRIDE, mask=inside, other=0.0)
        at = ((n * height + row) * width + column) * d
        centre = tl.load(g + at[:, None] + channel[None, :], mask=there & inside[:, None], other=0.0)
        total += s.to(tl.float32)[:, None] * centre.to(tl.float32)
    at = q.to(tl.int64) * d
    tl.store(d_g + at[:, None] + channel[None, :], total.to(d_g.dtype.element_ty), mask=there)


@triton.jit
def _forward(
    f, h, weight, out, pixels, height, width, high, wide, c, o,
    WINDOW: tl.constexpr, STRIDE: tl.constexpr, PRECISION: tl.constexpr,
    TP: tl.constexpr, TC: tl.constexpr, TO: tl.constexpr,
):  # fmt: skip
    p = tl.program_id(0) * TP + tl.arange(0, TP)
    n, y, x = _place(p, high, wide)
    output = tl.program_id(1) * TO + tl.arange(0, TO)
    total = tl.zeros((TP, TO), tl.float32)
    for k in range(WINDOW * WINDOW):
        row, column = y * STRIDE + k // WINDOW - WINDOW // 2, x * STRIDE + k % WINDOW - WINDOW // 2
        inside = (p < pixels) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        share = tl.load(h + k * pixels + p, mask=inside, other=0.0).to(tl.float32)
        at = ((n * height + row) * width + column) * c
        for first in range(0, c, TC):
            channel = first + tl.arange(0, TC)
            mask = inside[:, None] & (channel < c)[None, :]
            near = tl.load(f + at[:, None] + channel[None, :], mask=mask, other=0.0)
            near = (near.to(tl.float32) * share[:, None]).to(f.dtype.element_ty)
            mask = (channel < c)[:, None] & (output < o)[None, :]
            kernel = tl.load(weight + (k * c + channel)[:, None] * o + output[None, :], mask=mask, other=0.0)
            total = tl.dot(near, kernel, total, input_precision=PRECISION)
    mask = (p < pixels)[:, None] & (output < o)[None, :]
    tl.store(out + p.to(tl.int64)[:, None] * o + output[None, :], total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _features_backward(
    grad, f, h, weight, d_f, d_h, images, pixels, height, width, high, wide, c, o,
    WINDOW: tl.constexpr, STRIDE: tl.constexpr, PRECISION: tl.constexpr,
    TP: tl.constexpr, TC: tl.constexpr, TO: tl.constexpr,
):  # fmt: skip
    """Pixels of one phase of the stride at a time: those share the offsets at which windows hold them."""
    phase_y, phase_x = tl.program_id(2) // STRIDE, tl.program_id(2) % STRIDE
    rows, columns = (height - phase_y + STRIDE - 1) // STRIDE, (width - phase_x + STRIDE - 1) // STRIDE
    q = tl.program_id(0) * TP + tl.arange(0, TP)
    ours = q < images * rows * columns
    n, row, column = _place(q, tl.maximum(rows, 1), tl.maximum(columns, 1))
    channel = tl.program_id(1) * TC + tl.arange(0, TC)
    there = ours[:, None] & (channel < c)[None, :]
    at = ((n * height + row * STRIDE + phase_y) * width + column * STRIDE + phase_x) * c
    features = tl.load(f + at[:, None] + channel[None, :], mask=there, other=0.0).to(tl.float32)
    total = tl.zeros((TP, TC), tl.float32)
    for k in range(WINDOW * WINDOW):
        down = phase_y - k // WINDOW + WINDOW // 2 + STRIDE * WINDOW  # kept positive, because % and // work as in C
        across = phase_x - k % WINDOW + WINDOW // 2 + STRIDE * WINDOW
        if (down % STRIDE == 0) & (across % STRIDE == 0):
            y, x = row + down // STRIDE - WINDOW, column + across // STRIDE - WINDOW
            inside = ours & (y >= 0) & (y < high) & (x >= 0) & (x < wide)
            i = (n * high + y) * wide + x
            back = tl.zeros((TP, TC), tl.float32)
            for first in range(0, o, TO):
                output = first + tl.arange(0, TO)
                mask = inside[:, None] & (output < o)[None, :]
                d_y = tl.load(grad + i[:, None] * o + output[None, :], mask=mask, other=0.0)
                mask = (output < o)[:, None] & (channel < c)[None, :]
                kernel = tl.load(weight + (k * c + channel)[None, :] * o + output[:, None], mask=mask, other=0.0)
                back = tl.dot(d_y, kernel, back, input_precision=PRECISION)
            share = tl.load(h + k * pixels + i, mask=inside, other=0.0).to(tl.float32)
            total += share[:, None] * back
            plane = (tl.program_id(1) * WINDOW * WINDOW + k).to(tl.int64) * pixels
            tl.store(d_h + plane + i, tl.sum(features * back, 1), mask=inside)
    tl.store(d_f + at[:, None] + channel[None, :], total.to(d_f.dtype.element_ty), mask=there)


@triton.jit
def _weight_backward(
    grad, f, h, d_weight, pixels, piece, height, width, high, wide, c, o,
    WINDOW: tl.constexpr, STRIDE: tl.constexpr, PRECISION: tl.constexpr,
    TP: tl.constexpr, TC: tl.constexpr, TO: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(o, TO)
    channel = tl.program_id(0) // across * TC + tl.arange(0, TC)
    output = tl.program_id(0) % across * TO + tl.arange(0, TO)
    k, first = tl.program_id(1), tl.program_id(2) * piece
    total = tl.zeros((TC, TO), tl.float32)
    for start in range(first, tl.minimum(first + piece, pixels), TP):
        p = start + tl.arange(0, TP)
        n, y, x = _place(p, high, wide)
        row, column = y * STRIDE + k // WINDOW - WINDOW // 2, x * STRIDE + k % WINDOW - WINDOW // 2
        inside = (p < pixels) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        share = tl.load(h + k * pixels + p, mask=inside, other=0.0).to(tl.float32)
        at = ((n * height + row) * width + column) * c
        mask = inside[:, None] & (channel < c)[None, :]
        near = tl.load(f + at[:, None] + channel[None, :], mask=mask, other=0.0)
        near = (near.to(tl.float32) * share[:, None]).to(f.dtype.element_ty)
        mask = inside[:, None] & (output < o)[None, :]
        d_y = tl.load(grad + p.to(tl.int64)[:, None] * o + output[None, :], mask=mask, other=0.0)
        total = tl.dot(tl.trans(near), d_y, total, input_precision=PRECISION)
    at = ((tl.program_id(2) * WINDOW * WINDOW + k) * c + channel).to(tl.int64) * o
    mask = (channel < c)[:, None] & (output < o)[None, :]
    tl.store(d_weight + at[:, None] + output[None, :], total, mask=mask)


class InnerProduct(torch.autograd.Function):
    """f N x C x H x W, g N x d x H x W, weight O x C x K x K of the same dtype -> N x O x ceil(H / s) x ceil(W / s).

    The dtype is float32, bfloat16 or float16. The result is channels-last in memory.
    """

    @staticmethod
    def forward(ctx: Any, f: Tensor, g: Tensor, weight: Tensor, stride: int) -> Tensor:
        f, g = (x.permute(0, 2, 3, 1).contiguous() for x in (f, g))
        n, height, width, c = f.shape
        out, window, d = weight.shape[0], weight.shape[-1], g.shape[-1]
        high, wide = -(-height // stride), -(-width // stride)
        pixels, sizes = n * high * wide, (height, width, high, wide)
        kernel = weight.permute(2, 3, 1, 0).contiguous()  # K, K, C, O
        h = f.new_empty(window**2, pixels)
        y = f.new_empty(n, high, wide, out)
        tiles = {"TP": PIXELS, "TC": _tile(c), "TO": _tile(out)}
        with torch.cuda.device_of(f):  # Triton launches on the current device
            _correlate[(triton.cdiv(pixels, PIXELS),)](
                g, h, pixels, *sizes, d, d**-0.5, window, stride, PIXELS, triton.next_power_of_2(d)
            )
            _forward[(triton.cdiv(pixels, PIXELS), triton.cdiv(out, tiles["TO"]))](
                f, h, kernel, y, pixels, *sizes, c, out, window, stride, _precision(), **tiles
            )
        ctx.save_for_backward(f, g, kernel, h)
        ctx.stride = stride
        return y.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        f, g, kernel, h = ctx.saved_tensors
        stride, grad = ctx.stride, grad.permute(0, 2, 3, 1).contiguous()
        n, height, width, c = f.shape
        high, wide, out = grad.shape[1:]
        window, d, pixels, sizes = kernel.shape[0], g.shape[-1], n * high * wide, (height, width, high, wide)
        tiles = {"TP": PIXELS, "TC": _tile(c), "TO": _tile(out)}
        common = {"WINDOW": window, "STRIDE": stride, "PRECISION": _precision(), **tiles}
        d_f, d_g = torch.empty_like(f), torch.empty_like(g)
        d_h = f.new_zeros(triton.cdiv(c, tiles["TC"]), window**2, pixels, dtype=torch.float32)
        squares = triton.cdiv(c, tiles["TC"]) * triton.cdiv(out, tiles["TO"])
        pieces = _pieces(pixels, squares * window**2, f.nbytes + grad.nbytes, 4 * kernel.numel())
        piece = triton.cdiv(triton.cdiv(pixels, pieces), PIXELS) * PIXELS
        d_kernel = f.new_empty(triton.cdiv(pixels, piece), *kernel.shape, dtype=torch.float32)
        phase = n * -(-height // stride) * -(-width // stride)  # pixels of the largest phase
        with torch.cuda.device_of(f):
            _features_backward[(triton.cdiv(phase, PIXELS), d_h.shape[0], stride**2)](
                grad, f, h, kernel, d_f, d_h, n, pixels, *sizes, c, out, **common
            )
            _weight_backward[(squares, window**2, d_kernel.shape[0])](
                grad, f, h, d_kernel, pixels, piece, *sizes, c, out, **common
            )
            slope = (h * (2 - h) / 2).float().mul_(d_h.sum(0)).mul_(d**-0.5)  # D' from the value of D
            _correlate_backward[(triton.cdiv(n * height * width, PIXELS),)](
                g, slope, d_g, n * height * width, *sizes, d, window, stride, PIXELS, triton.next_power_of_2(d)
            )
        d_weight = d_kernel.sum(0).permute(3, 2, 0, 1).to(kernel.dtype)
        return d_f.permute(0, 3, 1, 2), d_g.permute(0, 3, 1, 2), d_weight, None


def _tile(channels: int) -> int:
    """Channels of a tile: a power of two, at least 16, which is the minimum of a Triton product."""
    return min(CHANNELS, max(16, triton.next_power_of_2(channels)))


def _pieces(pixels: int, programs: int, features: int, kernel: int) -> int:
    """Number of pieces for dW: enough to keep a GPU busy, with at most half the memory of the features."""
    return max(1, min(PROGRAMS // programs, features // (2 * kernel), triton.cdiv(pixels, 4 * PIXELS)))


def _precision() -> str:
    return "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
