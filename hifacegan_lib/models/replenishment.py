"""Replenishment: spatially-adaptive normalisation (SPADE, arXiv 1903.07291) and its residual block.

Normalisation without parameters removes the contrast and brightness of x. A scale and a shift for every pixel, computed
from the guidance g, replace them by those of the face:

    y = norm(x) * (1 + gamma(g)) + beta(g)          NVlabs' code          ``modulation="one_plus_gamma"``
    y = norm(x) * gamma(g) + beta(g)                HiFaceGAN's code      ``modulation="gamma"``

In HiFaceGAN g is the suppression feature map of the same resolution, so detail returns from coarse to fine.

The source of mean and variance in norm(x) determines whether the output depends on more than the image:

    instance, layer, rms     the image itself: no other images of the batch, no state
    batch                    the whole batch in ``train()``, running averages in ``eval()``: two different outputs
    frozen                   always stored averages; ``hifacegan doctor --out`` turns ``batch`` into it
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Modulation = Literal["one_plus_gamma", "gamma"]
Norm = Literal["instance", "layer", "rms", "batch", "frozen"]


def modulate(x: Tensor, gamma: Tensor, beta: Tensor, modulation: Modulation) -> Tensor:
    """Scale and shift each pixel of normalised x by maps of the guidance.

    Args:
        x, gamma, beta: N x C x H x W.
        modulation: ``one_plus_gamma`` is SPADE's x * (1 + gamma) + beta, ``gamma`` is HiFaceGAN's x * gamma + beta.
    """
    return x * (1 + gamma if modulation == "one_plus_gamma" else gamma) + beta


def normalise(x: Tensor, norm: Norm) -> Tensor:
    """Zero mean and unit variance without parameters, N x C x H x W.

    ``instance``: over the pixels of each channel. ``layer``: over all channels and pixels of each image; it keeps the
    channels' proportions and is defined for 1 x 1 pixel. ``rms``: the published code's "instance"; it subtracts no
    mean and uses the number of channels as epsilon. None of them depends on other images of the batch.
    """
    if norm == "layer":
        return F.group_norm(x, 1)
    if norm == "instance":
        mean = x.float().mean((2, 3), keepdim=True)  # float32; unlike F.instance_norm, also defined at 1 x 1
        variance = (x.float() - mean).square().mean((2, 3), keepdim=True)
        return (x - mean) * (variance + 1e-5).rsqrt()
    if norm == "rms":
        return x * (x.float().square().mean((2, 3), keepdim=True) + x.shape[1]).rsqrt()
    raise ValueError(f"expected a norm without state, one of instance, layer, rms; got {norm!r}")


class SpatiallyAdaptiveNorm(nn.Module):
    """SPADE: x N x C x H x W and guidance N x G x h x w -> N x C x H x W.

    The guidance is resized to x by nearest neighbours when its size differs. ``bias``: whether the convolution of gamma
    and beta has a bias.

    Raises:
        ValueError: in ``forward``, for batch statistics of a single value per channel.
    """

    def __init__(
        self,
        channels: int,
        guidance_channels: int,
        hidden: int = 128,
        norm: Norm = "instance",
        modulation: Modulation = "one_plus_gamma",
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.norm, self.modulation = norm, modulation
        self.batch_norm = nn.BatchNorm2d(channels, affine=False) if norm in ("batch", "frozen") else None
        self.shared = nn.Conv2d(guidance_channels, hidden, 3, padding=1)
        self.gamma_beta = nn.Conv2d(hidden, 2 * channels, 3, padding=1, bias=bias)  # both maps in one convolution
        if modulation == "gamma" and bias:  # so that gamma starts near 1, as 1 + gamma does
            nn.init.ones_(self.gamma_beta.bias[:channels])  # type: ignore[index]

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        if guidance.shape[2:] != x.shape[2:]:
            guidance = F.interpolate(guidance, x.shape[2:], mode="nearest")
        hidden = F.relu(self.shared(guidance))  # N, hidden, H, W
        gamma, beta = self.gamma_beta(hidden).chunk(2, 1)  # each N, C, H, W
        return modulate(self.normalised(x), gamma, beta, self.modulation)

    def normalised(self, x: Tensor) -> Tensor:
        """norm(x), N x C x H x W."""
        if self.batch_norm is None:
            return normalise(x, self.norm)
        if self.norm == "frozen":
            return F.batch_norm(x, self.batch_norm.running_mean, self.batch_norm.running_var)
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            raise ValueError(
                f"batch statistics of one value per channel ({' x '.join(map(str, x.shape))}): "
                "use a larger image, a larger batch, or eval()"
            )
        return self.batch_norm(x)


class ReplenishmentBlock(nn.Module):
    """Residual block of two modulated 3 x 3 convolutions: N x C_in x H x W -> N x C_out x H x W.

    ``published``: as in the published networks. The shortcut is modulated too, ``hidden`` is an upper limit and a layer
    with fewer channels has a hidden layer of its own width, and gamma and beta have no bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        guidance_channels: int,
        hidden: int = 128,
        norm: Norm = "instance",
        modulation: Modulation = "one_plus_gamma",
        published: bool = False,
    ) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)

        def spade(channels: int) -> SpatiallyAdaptiveNorm:
            inner = min(hidden, channels) if published else hidden
            return SpatiallyAdaptiveNorm(channels, guidance_channels, inner, norm, modulation, bias=not published)

        self.norm_0 = spade(in_channels)
        self.conv_0 = nn.Conv2d(in_channels, middle, 3, padding=1)
        self.norm_1 = spade(middle)
        self.conv_1 = nn.Conv2d(middle, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False) if in_channels != out_channels else None
        self.norm_s = spade(in_channels) if published and self.shortcut is not None else None

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        y = self.conv_0(F.leaky_relu(self.norm_0(x, guidance), 0.2))
        y = self.conv_1(F.leaky_relu(self.norm_1(y, guidance), 0.2))
        if self.norm_s is not None:
            x = self.norm_s(x, guidance)
        return y + (x if self.shortcut is None else self.shortcut(x))
