"""Conditional multi-scale patch discriminator (pix2pixHD, arXiv 1711.11585).

Its input is the damaged face together with a restored or a clean face. So it judges, patch by patch, whether the face
fits the damaged one, at full and at half resolution.

One option is not in the paper: three more input channels with the fine detail alone, detail * (face - its 3 x 3 means).
L1 blurs restored faces of 128 pixels, and they differ from clean faces by a hundredth of the range. Without these
channels the discriminator did not learn this difference in 300 steps at any learning rate; with them it took 150 steps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """N x 6 x H x W -> the features of each layer; the last are the scores of overlapping patches, N x 1 x h x w."""

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
    """Instance norm without parameters; unlike PyTorch's it is also defined for a single pixel."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        return (x - mean) * (variance + 1e-5).rsqrt()


class Discriminator(nn.Module):
    """One patch discriminator for each scale.

    Args:
        width: channels after the first layer; the paper's 64.
        scales: number of scales; each has half the resolution of the one before; the paper's 2.
        layers: convolutions of each scale before the last one; the paper's 4.
        detail: factor on the face's fine detail in three more input channels; 0, the paper's, leaves them out.
    """

    def __init__(self, width: int = 64, scales: int = 2, layers: int = 4, detail: float = 0.0) -> None:
        super().__init__()
        self.detail = detail
        channels = 9 if detail else 6
        self.scales = nn.ModuleList(PatchDiscriminator(width, layers, channels) for _ in range(scales))

    def forward(self, damaged: Tensor, face: Tensor) -> list[list[Tensor]]:
        """Two batches N x 3 x H x W in [0, 1] -> for each scale the features of each layer, the scores last."""
        x = torch.cat([damaged, face], 1) * 2 - 1  # N, 6, H, W
        if self.detail:
            blurred = F.avg_pool2d(face, 3, 1, 1, count_include_pad=False)
            x = torch.cat([x, self.detail * (face - blurred)], 1)  # N, 9, H, W
        results = []
        for n, scale in enumerate(self.scales):
            if n:
                x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
            results.append(scale(x))
        return results
