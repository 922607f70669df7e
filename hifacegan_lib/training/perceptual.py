"""The perceptual loss: the distance of restored and clean faces in features of VGG-19, trained on ImageNet.

    L = Σ_k w_k mean |V_k(restored) - V_k(clean)|        V_k: features after VGG-19's relu<k>_1

    full            relu1_1 ... relu5_1     1/32, 1/16, 1/8, 1/4, 1 (the paper's)      torchvision's file, 548 MB
    first layers    relu1_1 ... relu3_1     1/32, 1/16, 1/8                            a safetensors file, 2 MB

:func:`convert` makes the second file from the normalised VGG-19 (Gatys 2016), which is common in style transfer: each
of its channels has mean 1 over natural images. Its weights differ, so the two losses have different scales.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hifacegan_lib.metrics.learned_distance import Lpips
from hifacegan_lib.models import checkpoints
from hifacegan_lib.utils import files, weight_registry

LAYERS = ["relu1_1", "relu2_1", "relu3_1"]
FORMAT = "hifacegan-perceptual-1"
_FULL = {2: 1 / 32, 7: 1 / 16, 12: 1 / 8, 21: 1 / 4, 30: 1.0}  # index of the layer relu<k>_1 -> its weight
_FIRST_LAYERS = {3: 1 / 32, 10: 1 / 16, 17: 1 / 8}


class PerceptualLoss(nn.Module):
    """L1 between features of two batches N x 3 x H x W in [0, 1] -> scalar; gradients reach only the first batch.

    Args:
        network: layers for such batches.
        layer_weights: index of a layer -> weight of its features in the loss.
    """

    def __init__(self, network: nn.Sequential, layer_weights: Mapping[int, float]) -> None:
        super().__init__()
        self.network = network[: max(layer_weights) + 1].requires_grad_(False).eval()
        self.layer_weights = dict(layer_weights)

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self._features(clean)
        pairs = zip(self.layer_weights.values(), self._features(restored), targets, strict=True)
        return torch.stack([weight * F.l1_loss(a, b) for weight, a, b in pairs]).sum()

    def _features(self, image: Tensor) -> list[Tensor]:
        x, features = image, []
        for index, layer in enumerate(self.network):
            x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)  # an in-place ReLU would overwrite kept features
            if index in self.layer_weights:
                features.append(x)
        return features


def load(path: str | Path = "") -> PerceptualLoss:
    """The full loss with ImageNet weights from torch's cache, or with a path the loss on VGG-19's first layers.

    Raises:
        FileNotFoundError: the weights are missing; the message names the command that downloads them.
        ValueError: :func:`convert` did not write the file, or the file is incomplete.
    """
    if not path:
        return full_loss(vgg19_features())
    return PerceptualLoss(first_layers(path, checkpoints.read(path, FORMAT)[1]), _FIRST_LAYERS)


def full_loss(features: nn.Sequential) -> PerceptualLoss:
    """The paper's loss on torchvision's ``vgg19().features``."""
    from torchvision.transforms import Normalize  # here: a second of loading, for this loss alone

    imagenet = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation
    return PerceptualLoss(nn.Sequential(imagenet, *features), _FULL)


def vgg19_features() -> nn.Sequential:
    """torchvision's VGG-19 convolutions with ImageNet weights from torch's cache; this function downloads nothing."""
    try:
        file = weight_registry.verify("vgg19")
    except weight_registry.MissingWeights as error:
        raise weight_registry.MissingWeights(
            f"{error}, or set perceptual_file to a file with VGG-19's first layers "
            "(`hifacegan weights convert --help`), or set perceptual_weight to 0"
        ) from None
    from torchvision.models import vgg19

    with torch.device("meta"):  # no random initialisation
        network = vgg19()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True), assign=True)
    return network.features


def convert(source: str | Path, target: str | Path) -> Path:
    """Write the first layers of the normalised VGG-19 in ``source``, a file of ``torch.save``, to ``target``.

    The names in ``source`` are layer numbers: layer 0 is a 1 x 1 convolution that maps RGB in [0, 1] to BGR minus the
    mean; 3 x 3 convolutions are at 2, 5, 9, 12, 16. Other tensors are left out. :func:`load` reads ``target``.

    Raises:
        FileExistsError: ``target`` exists.
        FileNotFoundError: ``source`` does not exist.
        ValueError: ``source`` holds more than tensors, or a tensor is missing or has another shape.
    """
    if Path(target).exists():
        raise FileExistsError(f"{target}: exists already; choose another file")
    tensors = first_layers(source, checkpoints.read_foreign(source)).state_dict()
    description = {"format": FORMAT, "padding": "reflect", "layers": LAYERS, "source_sha256": files.sha256(source)}
    return checkpoints.write(target, tensors, description)


def empty_first_layers() -> nn.Sequential:
    """The first layers of the normalised VGG-19, numbered as in the files, without values (device ``meta``)."""
    with torch.device("meta"):
        layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
        for n, (channels, out) in enumerate(pairwise((3, 64, 64, 128, 128, 256))):
            if n in (2, 4):
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, out, 3), nn.ReLU()]
    return nn.Sequential(*layers)


def first_layers(path: str | Path, tensors: Mapping[str, Tensor]) -> nn.Sequential:
    """The first layers with a file's tensors, float32; ValueError if a tensor is missing or has another shape."""
    network = empty_first_layers()
    used = {name: tensors[name].float().contiguous() for name in network.state_dict() if name in tensors}
    try:
        network.load_state_dict(used, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from None
    return network


def lpips_loss(device: torch.device | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS 0.1 with VGG-16, mean over two batches N x 3 x H x W in [0, 1]; gradients reach the first.

    Raises:
        MissingWeights: VGG-16 is not downloaded.
    """
    weight_registry.verify("vgg16")
    network = Lpips("vgg").load().to(device).requires_grad_(False)
    return lambda restored, clean: network(restored, clean, normalize=True).mean()
