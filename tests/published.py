"""The published networks restated, function by function, over a dictionary of tensors: the oracle of test_published.

Written from the facts of the architecture alone, with PyTorch's functions and no layer of ours; names are the published
files'. ``training`` is what the authors test with: batch statistics and one power iteration for every weight.
"""

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from hifacegan_lib.models.generator import Generator, GeneratorConfig

Tensors = dict[str, Tensor]

BLOCKS = {  # name -> channels in and out, in widths
    "head_0": (16, 16),
    "G_middle_0": (16, 16),
    "G_middle_1": (16, 16),
    "ups.0": (16, 8),
    "ups.1": (8, 4),
    "ups.2": (4, 2),
    "ups.3": (2, 1),
}
GUIDES = (16, 16, 16, 8, 4, 2, 1)


def faces(*shape: int) -> Tensor:
    """Random faces in [0, 1], the same in each call."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def ours(**changes: object) -> Generator:
    """A small generator of this workbench, its weights drawn by seed 0."""
    config = dataclasses.replace(GeneratorConfig(width=4, stages=2, hidden=4), **changes)  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Generator(config).eval()


def tensors(variant: str, width: int, seed: int = 0, spectral: bool = True, norm: str = "batch") -> Tensors:
    """A random file of one variant."""
    rng = torch.Generator().manual_seed(seed)
    t: Tensors = {}

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    def conv(name: str, out: int, into: int, side: int = 3, bias: bool = True, normed: bool = False) -> None:
        weight = random(out, into, side, side) / (into * side**2) ** 0.5
        if normed:
            t[f"{name}.weight_orig"] = weight
            t[f"{name}.weight_u"] = F.normalize(random(out), dim=0)
            t[f"{name}.weight_v"] = F.normalize(weight.flatten(1).T @ t[f"{name}.weight_u"], dim=0)
        else:
            t[f"{name}.weight"] = weight
        if bias:
            t[f"{name}.bias"] = 0.3 * random(out)

    def spade(name: str, channels: int, guide: int) -> None:
        if norm == "batch":
            t[f"{name}.param_free_norm.running_mean"] = 0.3 * random(channels)
            t[f"{name}.param_free_norm.running_var"] = 0.5 + random(channels).square()
            t[f"{name}.param_free_norm.num_batches_tracked"] = torch.tensor(7)
        hidden = min(128, channels)
        conv(f"{name}.mlp_shared.0", hidden, guide)
        conv(f"{name}.mlp_gamma", channels, hidden, bias=False)
        conv(f"{name}.mlp_beta", channels, hidden, bias=False)

    conv("fc", 16 * width, 3)
    for (name, (into, out)), guide in zip(BLOCKS.items(), GUIDES, strict=True):
        guide = guide * width if variant == "hifacegan" else 3
        middle = min(into, out) * width
        conv(f"{name}.conv_0", middle, into * width, normed=spectral)
        conv(f"{name}.conv_1", out * width, middle, normed=spectral)
        spade(f"{name}.norm_0", into * width, guide)
        spade(f"{name}.norm_1", middle, guide)
        if into != out:
            conv(f"{name}.conv_s", out * width, into * width, 1, bias=False, normed=spectral)
            spade(f"{name}.norm_s", into * width, guide)
    for n, channels in enumerate((8, 4, 2, 1)):
        conv(f"to_rgbs.{n}", 3, channels * width)
    t["to_rgbs.3.bias"] += 0.5
    if variant != "spade":
        for name, out, into, gate in encoder_layers(variant):
            if gate:
                conv(f"{gate}.0", into * width, into * width, bias=False)
                t[f"{gate}.1.weight"], t[f"{gate}.1.bias"] = 1 + random(into * width), random(into * width)
            conv(name, out * width, into * width if gate else 3, bias=bool(gate))
    return t


def encoder_layers(variant: str) -> list[tuple[str, int, int, str]]:
    """Convolution, channels out and in (in widths), and the gate before it; the first has none."""
    steps = list(zip((2, 4, 8, 16, 16), (1, 2, 4, 8, 16), strict=True))
    if variant == "lipspade":
        rest = [
            (f"lip_encoder.model.{4 + 4 * n}", *s, f"lip_encoder.model.{3 + 4 * n}.logit") for n, s in enumerate(steps)
        ]
        return [("lip_encoder.model.0", 1, 0, ""), *rest]
    rest = [(f"encoder.encoder_{n}.1", *s, f"encoder.encoder_{n}.0.logit") for n, s in enumerate(steps)]
    return [("encoder.head.0", 1, 0, ""), *rest]


def draw(variant: str, t: Tensors, image: Tensor, training: bool, norm: str = "batch") -> Tensor:
    """clip(tanh, 0, 1) of the network; ``t`` stays as it is."""
    features = [] if variant == "spade" else encode(variant, t, image)
    if variant == "lipspade":
        x = features[-1]
    else:
        small = F.interpolate(image, size=(image.shape[2] // 32, image.shape[3] // 32), mode="nearest")
        x = F.conv2d(small, t["fc.weight"], t["fc.bias"], padding=1)
    levels = [5, 4, 4, 3, 2, 1, 0]
    for name, level in zip(BLOCKS, levels, strict=True):
        if name not in ("head_0", "G_middle_1"):
            x = F.interpolate(x, scale_factor=2)
        x = block(name, t, x, features[level] if variant == "hifacegan" else image, training, norm)
    x = F.conv2d(F.leaky_relu(x, 0.2), t["to_rgbs.3.weight"], t["to_rgbs.3.bias"], padding=1)
    return torch.tanh(x).clamp(0, 1)


def encode(variant: str, t: Tensors, image: Tensor) -> list[Tensor]:
    """Features, finest first."""
    features: list[Tensor] = []
    layers = encoder_layers(variant)
    for name, _, _, gate in layers:
        f = image if not gate else features[-1]
        if gate:
            logit = F.conv2d(f, t[f"{gate}.0.weight"], padding=1)
            logit = F.instance_norm(logit, weight=t[f"{gate}.1.weight"], bias=t[f"{gate}.1.bias"])
            importance = torch.exp(12 * torch.sigmoid(logit))
            f = F.avg_pool2d(f * importance, 3, 2, 1) / F.avg_pool2d(importance, 3, 2, 1)
        f = F.instance_norm(F.conv2d(f, t[f"{name}.weight"], t.get(f"{name}.bias"), padding=1))
        features.append(f if name == layers[-1][0] else F.relu(f))
    return features


def block(name: str, t: Tensors, x: Tensor, guide: Tensor, training: bool, norm: str) -> Tensor:
    def spade(layer: str, f: Tensor) -> Tensor:
        p = f"{name}.{layer}"
        hidden = F.interpolate(guide, size=f.shape[2:], mode="nearest")
        hidden = F.relu(F.conv2d(hidden, t[f"{p}.mlp_shared.0.weight"], t[f"{p}.mlp_shared.0.bias"], padding=1))
        gamma, beta = (F.conv2d(hidden, t[f"{p}.mlp_{half}.weight"], padding=1) for half in ("gamma", "beta"))
        return NORMS[norm](t, f"{p}.param_free_norm", f, training) * gamma + beta

    def conv(layer: str, f: Tensor, padding: int = 1) -> Tensor:
        return F.conv2d(f, weight(t, f"{name}.{layer}", training), t.get(f"{name}.{layer}.bias"), padding=padding)

    y = conv("conv_0", F.leaky_relu(spade("norm_0", x), 0.2))
    y = conv("conv_1", F.leaky_relu(spade("norm_1", y), 0.2))
    return y + (conv("conv_s", spade("norm_s", x), 0) if f"{name}.norm_s.mlp_gamma.weight" in t else x)


def weight(t: Tensors, name: str, training: bool) -> Tensor:
    if f"{name}.weight" in t:
        return t[f"{name}.weight"]
    w = t[f"{name}.weight_orig"]
    u, matrix = t[f"{name}.weight_u"], w.flatten(1)
    v = t.get(f"{name}.weight_v")
    if training or v is None:
        v = F.normalize(torch.mv(matrix.T, u), dim=0)
    if training:
        u = F.normalize(torch.mv(matrix, v), dim=0)
    return w / torch.dot(u, torch.mv(matrix, v))


def _batch(t: Tensors, name: str, f: Tensor, training: bool) -> Tensor:
    mean, variance = t[f"{name}.running_mean"].clone(), t[f"{name}.running_var"].clone()
    return F.batch_norm(f, mean, variance, training=training)


def _rms(_t: Tensors, _name: str, f: Tensor, _training: bool) -> Tensor:
    return f / (f.square().mean((2, 3), keepdim=True) + f.shape[1]).sqrt()


NORMS: dict[str, Callable[[Tensors, str, Tensor, bool], Tensor]] = {
    "batch": _batch,
    "instance": lambda _t, _name, f, _training: F.instance_norm(f),
    "rms": _rms,
}
