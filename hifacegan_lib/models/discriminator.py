"""Conditional discriminators: of patches at two scales (pix2pixHD, arXiv 1711.11585), or of pixels, by a U-Net.

The input is the damaged face together with a restored or a clean face. So the discriminator judges whether the face
fits the damaged one: patch by patch, at full and at half resolution; or pixel by pixel, each with its surroundings, as
Real-ESRGAN's (arXiv 2107.10833) does.

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
        x, results = _input(damaged, face, self.detail), []
        for n, scale in enumerate(self.scales):
            if n:
                x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
            results.append(scale(x))
        return results


class UNetDiscriminator(nn.Module):
    """Real-ESRGAN's: three halvings, three doublings with skips, spectral norm, a score for each pixel.

    Args:
        width: channels at full resolution; Real-ESRGAN's 64.
        detail: as in :class:`Discriminator`.
    """

    def __init__(self, width: int = 64, detail: float = 0.0) -> None:
        super().__init__()
        self.detail = detail
        self.first = nn.Conv2d(9 if detail else 6, width, 3, 1, 1)
        sides = [(width * 2**n, width * 2 ** (n + 1)) for n in range(3)]
        self.down = nn.ModuleList(_normed(near, far, 4, 2) for near, far in sides)
        self.up = nn.ModuleList(_normed(far, near) for near, far in reversed(sides))
        self.refine = nn.ModuleList(_normed(width, width) for _ in range(2))
        self.last = nn.Conv2d(width, 1, 3, 1, 1)

    def forward(self, damaged: Tensor, face: Tensor) -> list[list[Tensor]]:
        """Two batches N x 3 x H x W in [0, 1] -> one scale: the features of each layer, then scores N x 1 x H x W."""
        features = [F.leaky_relu(self.first(_input(damaged, face, self.detail)), 0.2)]
        for layer in self.down:
            features.append(F.leaky_relu(layer(features[-1]), 0.2))
        for layer, skip in zip(self.up, features[2::-1], strict=True):
            larger = F.interpolate(features[-1], skip.shape[2:], mode="bilinear", align_corners=False)
            features.append(F.leaky_relu(layer(larger), 0.2) + skip)
        for layer in self.refine:
            features.append(F.leaky_relu(layer(features[-1]), 0.2))
        return [[*features, self.last(features[-1])]]


KINDS = {"patch": Discriminator, "unet": UNetDiscriminator}


def _normed(channels: int, out: int, side: int = 3, stride: int = 1) -> nn.Module:
    return spectral_norm(nn.Conv2d(channels, out, side, stride, padding=1, bias=False))


def _input(damaged: Tensor, face: Tensor, detail: float) -> Tensor:
    """Both faces in [-1, 1], and the fine detail: N x 6 or 9 x H x W."""
    x = torch.cat([damaged, face], 1) * 2 - 1
    if detail:
        blurred = F.avg_pool2d(face, 3, 1, 1, count_include_pad=False)
        x = torch.cat([x, detail * (face - blurred)], 1)
    return x
