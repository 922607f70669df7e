"""Bake a trained generator: the same picture, made for drawing only.

What is fixed once training is over is computed once, and what is linear is joined:

    spectral norm, frozen statistics     written into the weights that they multiply
    norm(x) = a x + b                    found before x is enlarged: repeated pixels change no mean
    norm(x) * (1 + gamma) + beta         the 1 is a bias of gamma's
    hidden maps of one guidance          one convolution for all norms of a block's first half
    W (norm(x) * gamma + beta)           a shortcut has no activation: W beta comes straight from the hidden map

The rest is order. A block is drawn by strips of rows, from guidance to features (see ``rows``), and where it pays
Winograd's filtering takes the place of the plain sum (see ``winograd``). On a GPU a strip is the whole map.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hifacegan_lib.models.generator import Generator
from hifacegan_lib.models.replenishment import Norm, ReplenishmentBlock, SpatiallyAdaptiveNorm
from hifacegan_lib.models.rows import Descent, RowsConv2d, joined_moments, moments, strips
from hifacegan_lib.models.suppression import LIP_RANGE, LocalImportanceConv2d

Precision = Literal["float32", "bfloat16", "auto"]
Affine = tuple[Tensor, Tensor]  # a and b of a x + b, each N x C x 1 x 1 or N x 1 x 1 x 1

AT_ONCE = 2**21  # pixels that are drawn at once: eight pictures of 512 x 512


def bake(generator: Generator, precision: Precision = "float32", compiled: bool = False) -> "Baked":
    """The network that draws what ``generator.eval()`` draws, faster; it cannot be trained.

    For what a published network draws in ``train()``, the way its authors test it, bake ``modes.eval_safe`` of it.

    Args:
        generator: stays as it is.
        precision: ``bfloat16`` draws the features in it and the picture itself in float32; ``auto`` takes it where
            the device multiplies it faster.
        compiled: by ``torch.compile``, which needs a C++ compiler and takes minutes at the first picture of a size.
    """
    device = generator.draw.weight.device
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(device) else "float32"
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision is one of float32, bfloat16, auto; got {precision!r}")
    baked = Baked(generator, torch.bfloat16 if precision == "bfloat16" else torch.float32)
    if compiled:
        baked.network.compile()
    return baked


def has_bfloat16(device: str | torch.device = "cpu") -> bool:
    """Whether the device multiplies bfloat16 by instructions of its own."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


@torch.no_grad()
def folded(generator: Generator) -> Generator:
    """A copy in ``eval()`` without moving parts: spectral norms divided, running statistics frozen."""
    state = {name: value.clone() for name, value in generator.state_dict().items() if ".parametrizations." not in name}
    for name, layer in generator.named_modules():
        if parametrize.is_parametrized(layer):
            state[f"{name}.weight"] = layer.weight.detach().clone()
    norm = "frozen" if generator.config.norm == "batch" else generator.config.norm
    with torch.device("meta"):
        still = Generator(dataclasses.replace(generator.config, norm=norm, spectral_norm=False))
    still.load_state_dict(state, assign=True)
    return still.eval().requires_grad_(False)


class Baked(nn.Module):
    """Damaged faces N x 3 x H x W in [0, 1] -> restored faces of the same shape, range and (on a CPU) float32."""

    def __init__(self, generator: Generator, dtype: torch.dtype) -> None:
        super().__init__()
        self.config, self.dtype = generator.config, dtype
        self.network = network = folded(generator)
        for n, block in enumerate(network.replenish):
            if type(block) is ReplenishmentBlock:
                network.replenish[n] = BakedBlock(block, n < network.config.stages, dtype)
        if type(network.middle) is ReplenishmentBlock:
            network.middle = BakedBlock(network.middle, False, dtype)  # type: ignore[assignment]
        for n, layer in enumerate(getattr(network, "suppress", [])):
            if type(layer) is LocalImportanceConv2d and (layer.window, layer.stride) == (3, 2):
                network.suppress[n] = BakedPool(layer, dtype)
        network.draw = InFloat32(network.draw)  # type: ignore[assignment]
        self.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        if image.ndim != 4 or not image.numel():
            return self.network(image)  # which tells what is wrong
        few = max(1, AT_ONCE // image[0, 0].numel())
        return torch.cat([self._draw(part) for part in image.split(few)])

    def _draw(self, image: Tensor) -> Tensor:
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(image.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.network(image)


class InFloat32(nn.Module):
    """A layer that no autocast reaches: the picture's own numbers."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


class BakedPool(nn.Module):
    """A :class:`LocalImportanceConv2d` of window 3 and stride 2; takes the same and gives the same."""

    def __init__(self, layer: LocalImportanceConv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.gate = RowsConv2d(layer.gate[0].weight, None, dtype)  # type: ignore[arg-type]
        self.norm: nn.InstanceNorm2d = layer.gate[1]  # type: ignore[assignment]
        self.conv = RowsConv2d(layer.conv.weight, layer.conv.bias, dtype)

    def forward(self, f: Tensor) -> Tensor:
        f = f.to(self.dtype)
        with torch.autocast(f.device.type, enabled=False):
            return _one_by_one(self._pool, f)

    def _pool(self, f: Tensor) -> Tensor:
        gate, z = Descent(self.gate), Canvas(f, self.gate)
        for rows, last in strips(f, 4 * f.shape[1]):
            z.add(gate(rows, last))
        mean, variance = z.moments()
        scale = self.norm.weight[:, None, None] * (variance + self.norm.eps).rsqrt()
        shift = self.norm.bias[:, None, None] - mean * scale
        conv, y = Descent(self.conv), Canvas(f[:, :, ::2, ::2], self.conv)
        done = 0
        for rows, last in strips(f, 8 * f.shape[1]):
            above = min(done, 1)  # a window begins one row before its strip
            part, done = slice(done - above, done + rows.shape[2]), done + rows.shape[2]
            logit = torch.addcmul(shift, z.map[:, :, part].float(), scale).sigmoid_()
            importance = logit.sub_(1).mul_(LIP_RANGE).exp_()  # at most 1: a factor of both sums
            edge = (1 - above, 1)
            total = F.avg_pool2d(f[:, :, part] * importance, 3, 2, edge)
            pooled = total.div_(F.avg_pool2d(importance, 3, 2, edge)).to(self.dtype)
            y.add(conv(pooled, last))
        return y.map


class BakedBlock(nn.Module):
    """A :class:`ReplenishmentBlock`; takes the same and gives the same."""

    shortcut: Tensor | None

    def __init__(self, block: ReplenishmentBlock, enlarged: bool, dtype: torch.dtype) -> None:
        """``enlarged``: each pixel of x comes 2 x 2 times."""
        super().__init__()
        self.enlarged, self.dtype, self.norm = enlarged, dtype, block.norm_0.norm
        self.maps_0, self.maps_1 = (RowsConv2d(*_modulation(norm), dtype) for norm in (block.norm_0, block.norm_1))
        self.conv_0, self.conv_1 = (RowsConv2d(c.weight, c.bias, dtype) for c in (block.conv_0, block.conv_1))
        turn = None if block.shortcut is None else block.shortcut.weight[:, :, 0, 0]  # O, C
        self.register_buffer("shortcut", None if turn is None else turn.to(dtype))
        self.maps_s = None
        readers = [block.norm_0.shared]
        if block.norm_s is not None and turn is not None:
            readers.append(block.norm_s.shared)
            self.maps_s = RowsConv2d(*_turned(*_modulation(block.norm_s), turn), dtype)
        weight, bias = (torch.cat([getattr(s, name) for s in readers]) for name in ("weight", "bias"))
        self.shared_0 = RowsConv2d(weight, bias, dtype)
        self.shared_1 = RowsConv2d(block.norm_1.shared.weight, block.norm_1.shared.bias, dtype)
        self.hidden = [s.out_channels for s in readers]
        self.widest = sum(self.hidden) + 3 * block.conv_0.in_channels + block.conv_1.out_channels

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        size, step = x.shape[2:], 2 if self.enlarged else 1
        if guidance.shape[2:] != size:
            guidance = F.interpolate(guidance, size, mode="nearest")
        x, guidance = (f.to(self.dtype) for f in (x[:, :, ::step, ::step], guidance))
        with torch.autocast(x.device.type, enabled=False):
            return _one_by_one(self._draw, x, guidance)

    def _draw(self, x: Tensor, guide: Tensor) -> Tensor:
        residual, y, affine = self._first_half(x, guide)
        shared, maps, conv = Descent(self.shared_1), Descent(self.maps_1), Descent(self.conv_1)
        done = drawn = 0
        for rows, last in strips(guide, self.widest):
            gamma, beta = maps(F.relu_(shared(rows, last)), last).chunk(2, 1)
            part, done = y[:, :, done : done + gamma.shape[2]], done + gamma.shape[2]
            rows = conv(F.leaky_relu_(torch.addcmul(beta, _applied(affine, part), gamma), 0.2), last)
            residual[:, :, drawn : drawn + rows.shape[2]] += rows
            drawn += rows.shape[2]
        return residual

    def _first_half(self, x: Tensor, guide: Tensor) -> tuple[Tensor, Tensor, Affine | None]:
        """What the shortcut draws, conv_0's map, and the latter's norm as a x + b."""
        normed = x if self.norm == "frozen" else _applied(_affine(self.norm, *moments(x)), x)
        plain = None  # what passes by when no modulation of its own awaits it: 1 x 1 filters and enlarging commute
        if self.maps_s is None:
            plain = x if self.shortcut is None else F.conv2d(x, self.shortcut[:, :, None, None])
            plain = self._rows(plain, 0, guide.shape[2]).contiguous(memory_format=torch.channels_last)
            plain = plain.clone() if plain is x else plain
        shared, maps, conv = Descent(self.shared_0), Descent(self.maps_0), Descent(self.conv_0)
        side = Descent(self.maps_s) if self.maps_s is not None else None
        y, residual = Canvas(guide, self.conv_0), Canvas(guide, self.conv_1)
        done = 0
        for rows, last in strips(guide, self.widest):
            hidden = F.relu_(shared(rows, last)).split(self.hidden, 1)
            gamma, beta = maps(hidden[0], last).chunk(2, 1)
            part, done = self._rows(normed, done, done + gamma.shape[2]), done + gamma.shape[2]
            if side is not None and self.shortcut is not None:
                gamma_s, turned = side(hidden[1], last).split([part.shape[1], len(self.shortcut)], 1)
                residual.add(turned + F.conv2d(gamma_s * part, self.shortcut[:, :, None, None]))
            y.add(conv(F.leaky_relu_(torch.addcmul(beta, part, gamma), 0.2), last))
        affine = None if self.norm == "frozen" else _affine(self.norm, *y.moments())
        return residual.map if plain is None else plain, y.map, affine

    def _rows(self, x: Tensor, first: int, end: int) -> Tensor:
        """Rows of x at the size of the map drawn."""
        if not self.enlarged:
            return x[:, :, first:end]
        cover = F.interpolate(x[:, :, first // 2 : (end + 1) // 2], scale_factor=2.0, mode="nearest")
        return cover[:, :, first % 2 : first % 2 + end - first]


class Canvas:
    """A map that is drawn from top to bottom."""

    def __init__(self, like: Tensor, conv: RowsConv2d) -> None:
        n, _, height, width = like.shape
        self.map = like.new_empty(n, height, width, conv.channels).permute(0, 3, 1, 2)
        self.done = 0
        self.parts: list[tuple[Tensor, Tensor]] = []
        self.rows: list[int] = []

    def add(self, rows: Tensor) -> None:
        self.map[:, :, self.done : self.done + rows.shape[2]] = rows
        self.done += rows.shape[2]
        self.parts.append(moments(rows))
        self.rows.append(rows.shape[2])

    def moments(self) -> tuple[Tensor, Tensor]:
        return joined_moments(self.parts, self.rows)


def _modulation(norm: SpatiallyAdaptiveNorm) -> tuple[Tensor, Tensor | None]:
    """gamma's and beta's kernel and bias, so that the norm's result times gamma plus beta is the layer's.

    Frozen statistics are in them: (a x + b) gamma + beta = x (a gamma) + (beta + b gamma).
    """
    kernel, bias = norm.gamma_beta.weight.double(), norm.gamma_beta.bias
    if norm.modulation == "one_plus_gamma":
        one = torch.cat([torch.ones(len(kernel) // 2), torch.zeros(len(kernel) // 2)]).to(kernel)
        bias = one if bias is None else bias.double() + one
    if norm.norm != "frozen" or norm.batch_norm is None:
        return kernel, bias
    scale = (norm.batch_norm.running_var.double() + norm.batch_norm.eps).rsqrt()  # type: ignore[union-attr]
    shift = -norm.batch_norm.running_mean.double() * scale  # type: ignore[union-attr]
    gamma, beta = kernel.chunk(2)
    kernel = torch.cat([gamma * scale[:, None, None, None], beta + gamma * shift[:, None, None, None]])
    if bias is not None:
        gamma, beta = bias.double().chunk(2)
        bias = torch.cat([gamma * scale, beta + gamma * shift])
    return kernel, bias


def _turned(kernel: Tensor, bias: Tensor | None, turn: Tensor) -> tuple[Tensor, Tensor | None]:
    """gamma as it is and W beta for beta: C + O channels where there were 2 C."""
    gamma, beta = kernel.chunk(2)
    kernel = torch.cat([gamma, torch.einsum("oc,chij->ohij", turn.double(), beta)])
    if bias is not None:
        gamma, beta = bias.double().chunk(2)
        bias = torch.cat([gamma, turn.double() @ beta])
    return kernel, bias


def _affine(norm: Norm, mean: Tensor, variance: Tensor) -> Affine:
    """a and b of norm(x) = a x + b, from each channel's moments."""
    if norm == "rms":
        a = (variance + mean.square() + mean.shape[1]).rsqrt()
        return a, torch.zeros_like(a)
    if norm == "layer":
        whole = mean.mean(1, keepdim=True)
        variance, mean = (variance + (mean - whole).square()).mean(1, keepdim=True), whole
    a = (variance + 1e-5).rsqrt()
    return a, -mean * a


def _applied(affine: Affine | None, x: Tensor) -> Tensor:
    return x if affine is None else torch.addcmul(affine[1].to(x.dtype), x, affine[0].to(x.dtype))


def _one_by_one(layer: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """Each image by itself where maps go by strips: a strip of channels last is then one piece of memory."""
    if len(maps[0]) == 1 or maps[0].device.type != "cpu":
        return layer(*maps)
    return torch.cat([layer(*one) for one in zip(*(m.split(1) for m in maps), strict=True)])
