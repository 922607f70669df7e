"""Conditional multi-scale patch discriminator (pix2pixHD, arXiv 1711.11585).

It sees the damaged face beside a restored or a clean one, so it judges whether the face fits the damaged one, patch by
patch, at full and at half resolution.

Ours, as an option: three more channels with the face's fine detail alone, detail * (face - its 3 x 3 means). On faces
of 128 pixels that are blurred by L1, what tells them apart is a hundredth of the range; without these channels, 300
steps at any rate learned nothing of it, with them 150 did.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """N x 6 x H x W -> features of each layer, the last of them N x 1 x h x w scores of overlapping patches."""

    def __init__(self, width: int = 64, layers: int = 4, in_channels: int = 6) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        channels = in_channels
        for n in range(layers):
            out, stride = width * min(2**n, 8), 1 if n == layers - 1 else 2
            conv = nn.Conv2d(channels, out, 4, stride, padding=2, bias=n == 0)
            norm = nn.Identity() if n == 0 else _PixelStatistics()
            self.blocks.append(nn.Sequential(conv if n == 0 else spectral_norm(conv), norm, nn.LeakyReLU(0.2)))
            channels = out
        self.blocks.append(nn.Sequential(nn.Conv2d(channels, 1, 4, 1, padding=2)))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return features


class _PixelStatistics(nn.Module):
    """Instance norm without parameters that is also defined on a single pixel."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        return (x - mean) * (variance + 1e-5).rsqrt()


class Discriminator(nn.Module):
    """One patch discriminator for each scale.

    Args:
        width: channels after the first layer; the paper's 64.
        scales: how many; each sees half the size of the one before; the paper's 2.
        layers: convolutions of each before the last; the paper's 4.
        detail: by how much the face's fine detail is raised for three channels of its own; 0, the paper's: none.
    """

    def __init__(self, width: int = 64, scales: int = 2, layers: int = 4, detail: float = 0.0) -> None:
        super().__init__()
        self.detail = detail
        channels = 9 if detail else 6
        self.scales = nn.ModuleList(PatchDiscriminator(width, layers, channels) for _ in range(scales))

    def forward(self, damaged: Tensor, face: Tensor) -> list[list[Tensor]]:
        """Both N x 3 x H x W in [0, 1] -> for each scale the features of each layer, scores last."""
        x = torch.cat([damaged, face], 1) * 2 - 1  # N, 6, H, W
        if self.detail:
            near = F.avg_pool2d(face, 3, 1, 1, count_include_pad=False)
            x = torch.cat([x, self.detail * (face - near)], 1)  # N, 9, H, W
        results = []
        for n, scale in enumerate(self.scales):
            if n:
                x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
            results.append(scale(x))
        return results
