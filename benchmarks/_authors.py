"""The authors' networks as modules, for comparisons; written from a description of their architecture.

Nothing is folded, fused or shared: the layout is NCHW, gamma and beta are separate, each guidance map has its own
convolutions, PyTorch's older hook computes the spectral norm in every forward, and ``train()`` uses batch statistics.
Names are those of the published files, so ``models.published.import_state(network.state_dict())`` gives our network
with the same weights.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

Variant = Literal["spade", "lipspade", "hifacegan"]

ENCODER = ((1, 2), (2, 4), (4, 8), (8, 16), (16, 16))  # channels in and out of each halving, in widths
GUIDES = {"head_0": 5, "G_middle_0": 4, "G_middle_1": 4, "ups.0": 3, "ups.1": 2, "ups.2": 1, "ups.3": 0}  # levels


class SPADE(nn.Module):
    def __init__(self, channels: int, guide: int) -> None:
        super().__init__()
        hidden = min(128, channels)
        self.param_free_norm = nn.BatchNorm2d(channels, affine=False)
        self.mlp_shared = nn.Sequential(nn.Conv2d(guide, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1, bias=False)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        normalized = self.param_free_norm(x)
        hidden = self.mlp_shared(F.interpolate(guide, size=x.shape[2:], mode="nearest"))
        return normalized * self.mlp_gamma(hidden) + self.mlp_beta(hidden)


class Block(nn.Module):
    def __init__(self, into: int, out: int, guide: int) -> None:
        super().__init__()
        middle = min(into, out)
        self.conv_0 = spectral_norm(nn.Conv2d(into, middle, 3, padding=1))
        self.conv_1 = spectral_norm(nn.Conv2d(middle, out, 3, padding=1))
        self.norm_0, self.norm_1 = SPADE(into, guide), SPADE(middle, guide)
        self.learned_shortcut = into != out
        if self.learned_shortcut:
            self.conv_s = spectral_norm(nn.Conv2d(into, out, 1, bias=False))
            self.norm_s = SPADE(into, guide)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        shortcut = self.conv_s(self.norm_s(x, guide)) if self.learned_shortcut else x
        y = self.conv_0(F.leaky_relu(self.norm_0(x, guide), 0.2))
        y = self.conv_1(F.leaky_relu(self.norm_1(y, guide), 0.2))
        return shortcut + y


class Pool(nn.Module):
    """Local importance pooling."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logit = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.InstanceNorm2d(channels, affine=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.exp(12 * torch.sigmoid(self.logit(x)))
        return F.avg_pool2d(x * weight, 3, 2, 1) / F.avg_pool2d(weight, 3, 2, 1)


class Encoder(nn.Module):
    """``hifacegan``: one module for each stage; all features are returned."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.InstanceNorm2d(width), nn.ReLU())
        for n, (into, out) in enumerate(ENCODER):
            self.add_module(f"encoder_{n}", nn.Sequential(*_stage(into * width, out * width, last=n == 4)))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [self.head(x)]
        for n in range(len(ENCODER)):
            features.append(getattr(self, f"encoder_{n}")(features[-1]))
        return features


class LipEncoder(nn.Module):
    """``lipspade``: one chain."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
        ]
        for n, (into, out) in enumerate(ENCODER):
            layers += _stage(into * width, out * width, last=n == 4)
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def _stage(into: int, out: int, last: bool) -> list[nn.Module]:
    layers = [Pool(into), nn.Conv2d(into, out, 3, padding=1), nn.InstanceNorm2d(out)]
    return layers if last else [*layers, nn.ReLU()]


class AuthorsGenerator(nn.Module):
    """N x 3 x H x W in [0, 1], sides multiples of 32 -> the same shape, clip(tanh, 0, 1)."""

    def __init__(self, variant: Variant = "hifacegan", width: int = 48) -> None:
        super().__init__()
        self.variant, w = variant, width
        if variant == "hifacegan":
            self.encoder = Encoder(w)
        elif variant == "lipspade":
            self.lip_encoder = LipEncoder(w)
        guides = [c * w if variant == "hifacegan" else 3 for c in (1, 2, 4, 8, 16, 16)]
        self.fc = nn.Conv2d(3, 16 * w, 3, padding=1)
        self.head_0 = Block(16 * w, 16 * w, guides[5])
        self.G_middle_0 = Block(16 * w, 16 * w, guides[4])
        self.G_middle_1 = Block(16 * w, 16 * w, guides[4])
        self.ups = nn.ModuleList(Block(2 * c * w, c * w, guides[n]) for n, c in ((3, 8), (2, 4), (1, 2), (0, 1)))
        self.to_rgbs = nn.ModuleList(nn.Conv2d(c * w, 3, 3, padding=1) for c in (8, 4, 2, 1))
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, image: Tensor) -> Tensor:
        levels = self.encoder(image) if self.variant == "hifacegan" else [image] * 6
        if self.variant == "lipspade":
            x = self.lip_encoder(image)
        else:
            x = self.fc(F.interpolate(image, size=(image.shape[2] // 32, image.shape[3] // 32), mode="nearest"))
        for name, level in GUIDES.items():
            if name not in ("head_0", "G_middle_1"):
                x = self.up(x)
            x = self.get_submodule(name)(x, levels[level])
        return torch.tanh(self.to_rgbs[3](F.leaky_relu(x, 0.2))).clamp(0, 1)


class PatchDiscriminator(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.model0 = nn.Sequential(nn.Conv2d(6, w, 4, 2, 2), nn.LeakyReLU(0.2))
        for n, (into, out, stride) in enumerate(((w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 1)), 1):
            conv = spectral_norm(nn.Conv2d(into, out, 4, stride, 2, bias=False))
            layer = nn.Sequential(nn.Sequential(conv, nn.InstanceNorm2d(out)), nn.LeakyReLU(0.2))
            self.add_module(f"model{n}", layer)
        self.model4 = nn.Sequential(nn.Conv2d(8 * w, 1, 4, 1, 2))

    def forward(self, x: Tensor) -> list[Tensor]:
        results = []
        for layer in self.children():
            x = layer(x)
            results.append(x)
        return results


class AuthorsDiscriminator(nn.Module):
    """Image and face, N x 6 x H x W -> for each of two scales, the features of each layer; the scores are the last."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.discriminator_0, self.discriminator_1 = PatchDiscriminator(width), PatchDiscriminator(width)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        half = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return [self.discriminator_0(x), self.discriminator_1(half)]
