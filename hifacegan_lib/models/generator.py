"""The generator: suppression encodes a damaged face at every scale, replenishment redraws it from coarse to fine.

    f_0 = head(image)              full resolution (of pixel blocks, when ``patch`` > 1)
    f_l = suppress_l(f_{l-1})      half the resolution each time, l = 1 ... stages
    x   = conv(image at 1 / 2^stages)
    x   = block_l(up(x), f_l)      l = stages ... 0, each guided by the features of its own resolution
    out = clip(mix(image) + conv(x))      or clip(tanh(conv(x))) without the skip

Each network is one config: the paper's (``PRESETS["paper"]``, inner-product suppression), this project's (the others
of ``PRESETS``), and those of the authors' code (``PUBLISHED``). The authors' code differs from the paper: it pools by
local importance, and in two of its three variants the image itself is the guidance.

The skip is not in the paper. The decoder also predicts, for every pixel, how much of each smoothed copy of the image to
take instead:

    mix(image) = image + sum over k of m_k (mean_k(image) - image)         mean_k: over (2 k + 1)^2 pixels

So the network removes noise by choosing a smoothed copy, and need not draw the same noise with the opposite sign. This
project also replaces batch statistics by instance statistics: a restored image depends only on its own pixels and the
weights, in ``train()`` and in ``eval()``.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint

from hifacegan_lib.models.replenishment import Modulation, Norm, ReplenishmentBlock, normalise
from hifacegan_lib.models.suppression import Kind, suppression


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """Everything that determines the network's shape; stored with its weights."""

    width: int = 32  # channels at full resolution; they double at each halving of the resolution
    widest: int = 16  # the most channels, as a multiple of the width
    stages: int = 2  # halvings of the resolution
    patch: int = 1  # side of a block of pixels that becomes one pixel with 3 * patch^2 channels
    suppression: Kind = "inner_product"
    guidance: str = "features"  # or "image": the input itself guides every stage, as in plain SPADE
    modulation: Modulation = "one_plus_gamma"
    norm: Norm = "instance"
    window: int = 3
    correlation_dim: int = 8
    hidden: int = 128  # largest width of SPADE's hidden layer
    skip: bool = True  # the network predicts a correction of its input, not the whole image
    spectral_norm: bool = False
    start: str = "image"  # first input of the decoder: the subsampled image, or the deepest "features"
    published: bool = False  # the authors' layers: instance norms in the encoder, a second block at the second level

    def __post_init__(self) -> None:
        for name in ("width", "widest", "stages", "patch", "correlation_dim", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("guidance", "start"):
            if getattr(self, name) not in ("features", "image"):
                raise ValueError(f"{name} is 'features' or 'image', got {getattr(self, name)!r}")

    @property
    def block(self) -> int:
        """Padded sides are multiples of this, pixels."""
        return self.patch * 2**self.stages

    def channels(self, level: int) -> int:
        """Channels after ``level`` halvings."""
        return self.width * min(2**level, self.widest)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(f"generator config: unknown {sorted(unknown)}; known: {sorted(known)}")
        return cls(**values)


SMOOTHINGS = (1, 2, 4)  # radius of each mean in the skip, pixels

PRESETS = {  # docs/compact.md: how the compact ones were chosen
    "compact": GeneratorConfig(width=32, stages=2, patch=2, hidden=32),
    "compact-64": GeneratorConfig(width=24, stages=2, patch=2, hidden=24),
    "paper": GeneratorConfig(width=48, stages=5, modulation="gamma", skip=False, spectral_norm=True),
}

_SPADE = GeneratorConfig(
    width=48,  # as in most of the paper's experiments; the default of the published options is 64
    stages=5,
    suppression="lip",
    guidance="image",
    modulation="gamma",
    norm="batch",
    skip=False,
    spectral_norm=True,
    published=True,
)
PUBLISHED = {  # github.com/Lotayou/Face-Renovation, netG
    "spade": _SPADE,
    "lipspade": dataclasses.replace(_SPADE, start="features"),
    "hifacegan": dataclasses.replace(_SPADE, guidance="features"),
}


class Generator(nn.Module):
    """Damaged faces N x 3 x H x W in [0, 1] -> restored faces of the same shape and range, any H and W."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = c = config
        self.checkpointing = False  # if True, training recomputes each level's activations in the backward pass
        pixels = 3 * c.patch**2
        self.has_encoder = "features" in (c.guidance, c.start)
        if self.has_encoder or not c.published:
            self.head = nn.Conv2d(pixels, c.channels(0), 3, padding=1, bias=not c.published)
            self.suppress = nn.ModuleList(
                suppression(c.suppression, c.channels(n), c.channels(n + 1), c.window, 2, c.correlation_dim)
                for n in range(c.stages)
            )
        if c.start == "image":
            self.start = nn.Conv2d(pixels, c.channels(c.stages), 3, padding=1)
        self.replenish = nn.ModuleList(self._block(n, c.channels(min(n + 1, c.stages))) for n in range(c.stages + 1))
        self.middle = self._block(c.stages - 1, c.channels(c.stages - 1)) if c.published else None
        drawn = pixels + (len(SMOOTHINGS) * c.patch**2 if c.skip else 0)
        self.draw = nn.Conv2d(c.channels(0), drawn, 3, padding=1)
        if c.skip:  # so that an untrained network returns its input
            nn.init.zeros_(self.draw.weight)
            nn.init.zeros_(self.draw.bias)  # type: ignore[arg-type]
        if c.spectral_norm:
            blocks = [block for block in self.modules() if isinstance(block, ReplenishmentBlock)]
            for layer in [layer for b in blocks for layer in (b.conv_0, b.conv_1, b.shortcut) if layer is not None]:
                parametrizations.spectral_norm(layer)
            self.train()

    def _block(self, level: int, in_channels: int) -> ReplenishmentBlock:
        """The decoder's block at ``level`` halvings, guided by that level's features or by the image."""
        c, channels = self.config, self.config.channels(level)
        guidance = channels if c.guidance == "features" else 3 * c.patch**2
        hidden = c.hidden if c.published else min(c.hidden, channels)
        return ReplenishmentBlock(in_channels, channels, guidance, hidden, c.norm, c.modulation, c.published)

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, but without spectral norms: only :meth:`step_spectral_norm` updates their vectors."""
        super().train(mode)
        for layer in self.spectral_layers().values():
            layer.parametrizations.eval()  # type: ignore[union-attr]
        return self

    def spectral_layers(self) -> dict[str, nn.Module]:
        """Name -> layer, for each layer with a spectrally normalised weight."""
        return {name: layer for name, layer in self.named_modules() if parametrize.is_parametrized(layer)}

    def step_spectral_norm(self) -> None:
        """One power iteration for every spectrally normalised weight; the training loop calls it once a step."""
        for layer in self.spectral_layers().values():
            layer.parametrizations.train()  # type: ignore[union-attr]
            with torch.no_grad():
                _ = layer.weight  # computing the weight updates its singular vectors by one step
            layer.parametrizations.eval()  # type: ignore[union-attr]

    def features(self, folded: Tensor) -> list[Tensor]:
        """Suppressed features, finest first: level l has shape N x channels(l) x H / 2^l x W / 2^l.

        ``folded``: N x 3 patch^2 x H x W, sides multiples of 2^stages; it is the image itself when ``patch`` is 1.
        """
        levels = [self._activate(self.head(folded))]
        for n in range(self.config.stages):
            levels.append(self._run(self._stage, levels[-1], n))
        return levels

    def _stage(self, f: Tensor, n: int) -> Tensor:
        return self._activate(self.suppress[n](f), deepest=n + 1 == self.config.stages)

    def _activate(self, f: Tensor, deepest: bool = False) -> Tensor:
        """Normalisation and activation after each convolution of the encoder."""
        if not self.config.published:
            return F.leaky_relu(f, 0.2)
        f = normalise(f, "instance")
        return f if deepest else F.relu(f)

    def forward(self, image: Tensor) -> Tensor:
        _check(image, self.training)
        return self.decode(image, *self.encode(image))

    def encode(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The decoder's first input, and the guidance of each of its levels, finest first."""
        folded = F.pixel_unshuffle(self._padded(image), self.config.patch)  # N, 3 patch^2, H / patch, W / patch
        levels = self.features(folded) if self.has_encoder else []
        guides = levels if self.config.guidance == "features" else [folded] * (self.config.stages + 1)
        step = 2**self.config.stages
        return levels[-1] if self.config.start == "features" else self.start(folded[:, :, ::step, ::step]), guides

    def decode(self, image: Tensor, x: Tensor, guides: list[Tensor]) -> Tensor:
        """Decode ``x`` from coarse to fine; ``x`` and ``guides`` come from :meth:`encode` of an image of this size."""
        for n in reversed(range(self.config.stages + 1)):
            if n < self.config.stages:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self._run(self.replenish[n], x, guides[n])  # N, channels(n), H / (patch 2^n), W / (patch 2^n)
            if self.middle is not None and n == self.config.stages - 1:
                x = self._run(self.middle, x, guides[n])
        x = F.pixel_shuffle(self.draw(F.leaky_relu(x, 0.2)), self.config.patch)  # N, 3 (+ 3), H, W
        x = _mix(self._padded(image), x[:, 3:]) + x[:, :3] if self.config.skip else torch.tanh(x)
        return clip(x[:, :, : image.shape[2], : image.shape[3]])

    def _run(self, layer: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """``layer(*inputs)``; with ``checkpointing`` only the inputs are kept, and the backward pass runs it again."""
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            return layer(*inputs)
        return checkpoint(
            layer,
            *inputs,
            use_reentrant=False,
            preserve_rng_state=False,  # no layer uses random numbers
            context_fn=lambda: (nullcontext(), self._averages_kept()),
        )

    @contextmanager
    def _averages_kept(self) -> Iterator[None]:
        """Batch norms do not update their running averages: they have seen the batch in the first pass."""
        norms = [layer for layer in self.modules() if isinstance(layer, nn.BatchNorm2d)]
        averages = [(norm, name, value) for norm in norms for name, value in norm.named_buffers()]
        for norm, name, value in averages:
            setattr(norm, name, value.clone())
        try:
            yield
        finally:
            for norm, name, value in averages:
                setattr(norm, name, value)

    def _padded(self, image: Tensor) -> Tensor:
        """The image, with sides that are multiples of the block: reflected, or if it is small, its border repeated."""
        bottom, right = (-side % self.config.block for side in image.shape[2:])
        if not (bottom or right):
            return image
        reflects = bottom < image.shape[2] and right < image.shape[3]
        return F.pad(image, (0, right, 0, bottom), mode="reflect" if reflects else "replicate")


def _check(image: Tensor, training: bool) -> None:
    """Raise ValueError for a wrong shape, NaN or infinity; training on a GPU checks its losses instead, at no cost."""
    if image.ndim != 4 or image.shape[1] != 3 or not image.numel():
        raise ValueError(f"expected N x 3 x H x W with at least one pixel, got {tuple(image.shape)}")
    if image.is_meta or torch.compiler.is_compiling() or torch.jit.is_tracing() or (training and image.is_cuda):
        return
    if broken := image.numel() - int(image.isfinite().sum()):
        raise ValueError(f"the image: {broken} of {image.numel()} values are NaN or infinite; expected [0, 1]")


def _mix(image: Tensor, gains: Tensor) -> Tensor:
    """Move each pixel towards its smoothed copies: image N x 3 x H x W, gains N x len(SMOOTHINGS) x H x W."""
    mixed = image
    for n, reach in enumerate(SMOOTHINGS):
        mean = F.avg_pool2d(image, 2 * reach + 1, 1, reach, count_include_pad=False)
        mixed = mixed + gains[:, n : n + 1] * (mean - image)
    return mixed


def clip(x: Tensor) -> Tensor:
    """Clip to [0, 1]; the gradient passes unchanged, so that training can bring back pixels outside the range."""
    return _Clip.apply(x)


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.clamp(0, 1)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient
