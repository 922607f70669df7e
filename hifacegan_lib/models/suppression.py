"""Suppression: the encoder's three operators, which keep the face and weaken the damage.

**Inner-product convolution** (HiFaceGAN, arXiv 2005.05005). A convolution uses one kernel W for the whole image, so it
treats content and artefacts in the same way. The paper multiplies every neighbour by its correlation with the centre:

    h_i = sum over j in window(i) of  H(f_j, f_i) * W[j - i] f_j          H(f_j, f_i) = D( G(f_j)^T G(f_i) )

G maps the C features of each pixel to d numbers, and D is bounded. H is one scalar for each pair of pixels: a map
N x K^2 x H x W that is broadcast over channels. W is an ordinary (C_out, C_in, K, K) kernel. With H = 1 this is the
plain convolution.

**Local importance pooling** is the operator of the authors' code: a weighted mean over the window, with the weights
exp(12 sigmoid(norm(conv(f)))) learnt from the features.

**Plain convolution** is the control.

All three map N x C_in x H x W to N x C_out x ceil(H / 2) x ceil(W / 2) when ``stride`` is 2.
"""

import contextlib
import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hifacegan_lib.models.fused.cards import use_triton
from hifacegan_lib.models.fused.strips import ModulatedConv2d

Kind = Literal["inner_product", "lip", "conv"]

LIP_RANGE = 12.0  # the authors' logits lie in (0, 12)


def bounded(correlation: Tensor) -> Tensor:
    """D: correlation -> weight between 0 and 2; the weight is 1 for features that do not correlate.

    The centre 1 is this project's choice: an untrained layer then has the scale of the plain convolution.
    """
    return 2 * torch.sigmoid(correlation)


def correlation_maps(g: Tensor, window: int, stride: int = 1) -> Tensor:
    """H for every pixel and every neighbour in its window.

    Args:
        g: embedding G(f), N x d x H x W.
        window: K, odd.
    Returns:
        N x K^2 x H' x W', neighbours in reading order, in (0, 2); a neighbour outside the image has correlation 0.
    """
    centre = g[:, :, ::stride, ::stride]  # N, d, H', W'
    scale = g.shape[1] ** -0.5  # so that the spread of the correlation does not grow with d
    products = [(centre * near).sum(1) * scale for near in _neighbours(g, window, stride)]
    return bounded(torch.stack(products, 1))


def inner_product_conv2d(f: Tensor, h: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """The modulated convolution: sum over neighbours of H * W[j - i] f_j.

    Args:
        f: features, N x C_in x H x W.
        h: weights of the neighbours, N x K^2 x H' x W', from :func:`correlation_maps`.
        weight: ordinary kernel, C_out x C_in x K x K; K odd.
        bias: C_out, or none.
    Returns:
        N x C_out x H' x W' with H' = ceil(H / stride). Zero padding outside the image.
    Raises:
        ValueError: ``h`` does not fit ``f``, the window and the stride.
    """
    window = weight.shape[-1]
    expected = (f.shape[0], window**2, -(-f.shape[2] // stride), -(-f.shape[3] // stride))
    if tuple(h.shape) != expected:
        raise ValueError(f"h must be N x K^2 x H' x W' = {expected}, got {tuple(h.shape)}")
    neighbours = enumerate(_neighbours(f, window, stride))
    modulated = [near * h[:, k : k + 1] for k, near in neighbours]  # each N, C_in, H', W'
    kernel = weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1, 1, 1)  # C_out, K^2 C_in, 1, 1
    return F.conv2d(torch.cat(modulated, 1), kernel, bias)


def suppress(f: Tensor, g: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """The paper's convolution: :func:`correlation_maps` of g and then :func:`inner_product_conv2d`, fused.

    The fused forms never store K^2 copies of all features: the CPU form works strip by strip (``fused.strips``), the
    CUDA form uses Triton kernels (``fused.triton_kernels``) on the cards that ``fused.cards`` knows. On other devices
    and in exported graphs the two functions are called.

    Args:
        f: features, N x C x H x W.
        g: their embedding G(f), N x d x H x W.
        weight: C_out x C x K x K; K odd. bias: C_out, or none.
    Returns:
        N x C_out x ceil(H / stride) x ceil(W / stride), in the dtype of f, or that of autocast.
    Raises:
        ValueError: the sizes do not fit, or the window is even.
    """
    if weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
        raise ValueError(f"the window must be square and odd, got {tuple(weight.shape[2:])}")
    if f.shape[0] != g.shape[0] or f.shape[2:] != g.shape[2:]:
        raise ValueError(f"features {tuple(f.shape)} and embedding {tuple(g.shape)} differ in images or size")
    if f.shape[1] != weight.shape[1]:
        raise ValueError(f"{f.shape[1]} channels do not fit a kernel {tuple(weight.shape)}")
    kind = f.device.type
    casts = torch.amp.is_autocast_available(kind)  # not for meta tensors, which have no values
    dtype = torch.get_autocast_dtype(kind) if casts and torch.is_autocast_enabled(kind) else f.dtype
    with torch.autocast(kind, enabled=False) if casts else contextlib.nullcontext():
        f, g, kernel = f.to(dtype), g.to(dtype), weight.to(dtype)
        fused = not torch.compiler.is_compiling()  # an exported graph needs ordinary operators
        if fused and use_triton(f):
            from hifacegan_lib.models.fused import triton_kernels

            y = triton_kernels.InnerProduct.apply(f, g, kernel, stride)
        else:
            h = correlation_maps(g, weight.shape[2], stride)
            if fused and kind == "cpu":
                y = ModulatedConv2d.apply(f, h, kernel, stride)
            else:
                y = inner_product_conv2d(f, h, kernel, None, stride)
    return y if bias is None else y + bias.to(y.dtype)[:, None, None]


def _neighbours(x: Tensor, window: int, stride: int) -> list[Tensor]:
    """The K^2 shifted views of x, each N x C x H' x W', in reading order of the offset."""
    if window % 2 == 0:
        raise ValueError(f"the window must be odd, got {window}")
    height, width = x.shape[2:]
    padded, offsets = F.pad(x, [window // 2] * 4), itertools.product(range(window), repeat=2)
    return [padded[:, :, dy : dy + height : stride, dx : dx + width : stride] for dy, dx in offsets]


def local_importance_pool2d(f: Tensor, logit: Tensor, window: int = 3, stride: int = 2) -> Tensor:
    """Mean over each window, weighted by exp(logit) (Gao et al., LIP, arXiv 1908.04156).

    Both tensors are N x C x H x W. The largest logit of each image and channel is subtracted first: the ratio does not
    change, and float16 does not overflow. The computation is in float32.
    """
    logit = logit.float()
    importance = (logit - logit.amax((2, 3), keepdim=True)).exp()
    pad = window // 2
    total = F.avg_pool2d(f * importance, window, stride, pad)
    return (total / F.avg_pool2d(importance, window, stride, pad).clamp_min(1e-12)).to(f.dtype)


class InnerProductConv2d(nn.Module):
    """The paper's suppression: G is two 1 x 1 convolutions, W an ordinary kernel."""

    def __init__(
        self, in_channels: int, out_channels: int, window: int = 3, stride: int = 1, correlation_dim: int = 8
    ) -> None:
        super().__init__()
        self.stride = stride
        self.embed = nn.Sequential(  # G
            nn.Conv2d(in_channels, correlation_dim, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(correlation_dim, correlation_dim, 1),
        )
        self.conv = nn.Conv2d(in_channels, out_channels, window, stride, window // 2)  # holds W and the bias

    def forward(self, f: Tensor) -> Tensor:
        return suppress(f, self.embed(f), self.conv.weight, self.conv.bias, self.stride)


class LocalImportanceConv2d(nn.Module):
    """The authors' suppression: local importance pooling by ``stride``, then a 3 x 3 convolution."""

    def __init__(self, in_channels: int, out_channels: int, window: int = 3, stride: int = 2) -> None:
        super().__init__()
        self.stride, self.window = stride, window
        self.gate = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, window, padding=window // 2, bias=False),
            nn.InstanceNorm2d(in_channels, affine=True),
        )
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, f: Tensor) -> Tensor:
        logit = LIP_RANGE * torch.sigmoid(self.gate(f))
        return self.conv(local_importance_pool2d(f, logit, self.window, self.stride))


def suppression(
    kind: Kind, in_channels: int, out_channels: int, window: int = 3, stride: int = 2, correlation_dim: int = 8
) -> nn.Module:
    """The operator named ``kind``; only the inner product uses ``correlation_dim``."""
    if kind == "inner_product":
        return InnerProductConv2d(in_channels, out_channels, window, stride, correlation_dim)
    if kind == "lip":
        return LocalImportanceConv2d(in_channels, out_channels, window, stride)
    if kind == "conv":
        return nn.Conv2d(in_channels, out_channels, window, stride, window // 2)
    raise ValueError(f"suppression must be one of inner_product, lip, conv; got {kind!r}")
