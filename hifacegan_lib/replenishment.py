"""Replenishment: spatially-adaptive normalisation (SPADE, arXiv 1903.07291) and its residual block.

Normalising x without parameters wipes out what the decoder believed of contrast and brightness; a scale and a shift for
every pixel, computed from the guidance g, put the face's own back:

    y = norm(x) * (1 + gamma(g)) + beta(g)          NVlabs' code          ``modulation="one_plus_gamma"``
    y = norm(x) * gamma(g) + beta(g)                HiFaceGAN's code      ``modulation="gamma"``

In HiFaceGAN g is the suppression feature map of the same resolution, so detail comes back from coarse to fine.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Modulation = Literal["one_plus_gamma", "gamma"]
Norm = Literal["instance", "layer", "batch"]


def modulate(x: Tensor, gamma: Tensor, beta: Tensor, modulation: Modulation) -> Tensor:
    """Scale and shift each pixel of normalised x; all N x C x H x W."""
    return x * (1 + gamma if modulation == "one_plus_gamma" else gamma) + beta


def normalise(x: Tensor, norm: Norm) -> Tensor:
    """Zero mean and unit variance without parameters, N x C x H x W.

    ``instance``: over the pixels of each channel; ``layer``: over all channels and pixels of each image, which keeps
    the channels' proportions and is defined at 1 x 1 pixel. Neither looks at the neighbours in the batch.
    """
    if norm == "layer":
        return F.group_norm(x, 1)
    if norm == "instance":
        variance, mean = _moments(x)
        return (x - mean) * (variance + 1e-5).rsqrt()
    raise ValueError(f"norm without state is one of instance, layer; got {norm!r}")


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean over pixels, N x C x 1 x 1, in float32 (unlike F.instance_norm, also defined at 1 x 1)."""
    mean = x.float().mean((2, 3), keepdim=True)
    return (x.float() - mean).square().mean((2, 3), keepdim=True), mean


class SpatiallyAdaptiveNorm(nn.Module):
    """SPADE: x N x C x H x W and guidance N x G x h x w -> N x C x H x W.

    The guidance is resized to x by nearest neighbours when its size differs. ``norm="batch"`` is what the published
    networks do; their picture depends on the batch while training.
    """

    def __init__(
        self,
        channels: int,
        guidance_channels: int,
        hidden: int = 128,
        norm: Norm = "instance",
        modulation: Modulation = "one_plus_gamma",
    ) -> None:
        super().__init__()
        self.norm, self.modulation = norm, modulation
        self.batch_norm = nn.BatchNorm2d(channels, affine=False) if norm == "batch" else None
        self.shared = nn.Conv2d(guidance_channels, hidden, 3, padding=1)
        self.gamma_beta = nn.Conv2d(hidden, 2 * channels, 3, padding=1)  # both maps in one pass over the hidden ones
        if modulation == "gamma":  # starts near the identity either way
            nn.init.ones_(self.gamma_beta.bias[:channels])  # type: ignore[index]

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        if guidance.shape[2:] != x.shape[2:]:
            guidance = F.interpolate(guidance, x.shape[2:], mode="nearest")
        hidden = F.relu(self.shared(guidance))  # N, hidden, H, W
        normalised = self.batch_norm(x) if self.batch_norm is not None else normalise(x, self.norm)
        gamma, beta = self.gamma_beta(hidden).chunk(2, 1)  # each N, C, H, W
        return modulate(normalised, gamma, beta, self.modulation)


class ReplenishmentBlock(nn.Module):
    """Residual block of two modulated 3 x 3 convolutions: N x C_in x H x W -> N x C_out x H x W."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        guidance_channels: int,
        hidden: int = 128,
        norm: Norm = "instance",
        modulation: Modulation = "one_plus_gamma",
    ) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)
        self.norm_0 = SpatiallyAdaptiveNorm(in_channels, guidance_channels, hidden, norm, modulation)
        self.conv_0 = nn.Conv2d(in_channels, middle, 3, padding=1)
        self.norm_1 = SpatiallyAdaptiveNorm(middle, guidance_channels, hidden, norm, modulation)
        self.conv_1 = nn.Conv2d(middle, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False) if in_channels != out_channels else None

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        y = self.conv_0(F.leaky_relu(self.norm_0(x, guidance), 0.2))
        y = self.conv_1(F.leaky_relu(self.norm_1(y, guidance), 0.2))
        return y + (x if self.shortcut is None else self.shortcut(x))
