"""The perceptual loss: the distance of restored and clean faces in features of VGG-19, trained on ImageNet.

    L = Σ_k w_k mean |V_k(restored) - V_k(clean)|        V_k: features after VGG-19's relu<k>_1

    full            relu1_1 ... relu5_1     1/32, 1/16, 1/8, 1/4, 1 (the paper's)      torchvision's file, 548 MB
    first layers    relu1_1 ... relu3_1     1/32, 1/16, 1/8                            a safetensors file, 2 MB

:func:`convert` makes the second file from the normalised VGG-19 (Gatys 2016), which is common in style transfer: each
of its channels has mean 1 over natural images. Its weights differ, so the two losses have different scales.
"""

import json
import pickle
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from hifacegan_lib.utils import files, weight_registry

LAYERS = ["relu1_1", "relu2_1", "relu3_1"]
DESCRIPTION = {"format": "hifacegan-perceptual-1", "padding": "reflect", "layers": LAYERS}
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


class _Standardise(nn.Module):
    """[0, 1] -> zero mean and unit standard deviation over ImageNet."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std


def load(path: str | Path = "") -> PerceptualLoss:
    """The full loss with ImageNet weights from torch's cache, or with a path the loss on VGG-19's first layers.

    Raises:
        FileNotFoundError: the weights are missing; the message names the command that downloads them.
        ValueError: :func:`convert` did not write the file, or the file is incomplete.
    """
    return first_layers_loss(_read(Path(path))) if path else full_loss(vgg19_features())


def full_loss(features: nn.Sequential) -> PerceptualLoss:
    """The paper's loss on torchvision's ``vgg19().features``."""
    return PerceptualLoss(nn.Sequential(_Standardise(), *features), _FULL)


def first_layers_loss(tensors: Mapping[str, Tensor]) -> PerceptualLoss:
    """The loss on VGG-19's first layers with these tensors."""
    network = empty_first_layers()
    network.load_state_dict(tensors, assign=True)
    return PerceptualLoss(network, _FIRST_LAYERS)


def vgg19_features() -> nn.Sequential:
    """torchvision's VGG-19 convolutions with ImageNet weights from torch's cache; this function downloads nothing."""
    from torchvision.models import vgg19

    if not weight_registry.is_present("vgg19"):
        item = weight_registry.REGISTRY["vgg19"]
        raise weight_registry.MissingWeights(
            f"the perceptual loss needs VGG-19's weights, and {item.file} is not in torch's cache: run `hifacegan "
            f"weights fetch vgg19` ({item.megabytes}), or set perceptual_file to a file with VGG-19's first layers "
            "(`hifacegan weights convert --help`), or set perceptual_weight to 0"
        )
    with torch.device("meta"):  # no random initialisation
        network = vgg19()
    network.load_state_dict(
        torch.load(weight_registry.verify("vgg19"), map_location="cpu", weights_only=True), assign=True
    )
    return network.features


def _read(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file that :func:`convert` wrote; errors as in :func:`load`."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file with VGG-19's first layers")
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {}).get("hifacegan", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a safetensors file of this workbench ({error})") from None
    for key, value in DESCRIPTION.items():
        if description.get(key) != value:
            raise ValueError(f"{path}: the metadata's {key} is {description.get(key)!r}, expected {value!r}")
    return _complete(path, tensors)


def convert(source: str | Path, target: str | Path) -> Path:
    """Write the first layers of the normalised VGG-19 in ``source``, a file of ``torch.save``, to ``target``.

    The names in ``source`` are layer numbers: layer 0 is a 1 x 1 convolution that maps RGB in [0, 1] to BGR minus the
    mean; 3 x 3 convolutions are at 2, 5, 9, 12, 16. Other tensors are left out. :func:`load` reads ``target``.

    Raises:
        FileExistsError: ``target`` exists.
        FileNotFoundError: ``source`` does not exist.
        ValueError: ``source`` holds more than tensors, or a tensor is missing or has another shape.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise FileExistsError(f"{target}: exists already; choose another file")
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file")
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(f"{source}: not a file with only tensors ({str(error).partition(chr(10))[0]})") from None
    tensors = _complete(source, content if isinstance(content, Mapping) else {})
    description = {**DESCRIPTION, "source_sha256": files.sha256(source)}
    return files.write_bytes(target, save(tensors, {"hifacegan": json.dumps(description)}))


def empty_first_layers() -> nn.Sequential:
    """The first layers of the normalised VGG-19, numbered as in the files, without values (device ``meta``)."""
    with torch.device("meta"):
        layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
        for n, (channels, out) in enumerate(pairwise((3, 64, 64, 128, 128, 256))):
            if n in (2, 4):
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, out, 3), nn.ReLU()]
    return nn.Sequential(*layers)


def _complete(path: Path, tensors: Mapping[str, object]) -> dict[str, Tensor]:
    """The tensors of the first layers; ValueError if one is missing or has another shape."""
    found = {}
    for name, expected in empty_first_layers().state_dict().items():
        tensor = tensors.get(name)
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{path}: no tensor {name}, expected {name} of shape {tuple(expected.shape)}")
        if tensor.shape != expected.shape:
            raise ValueError(f"{path}: {name} has shape {tuple(tensor.shape)}, expected {tuple(expected.shape)}")
        found[name] = tensor.float().contiguous()
    return found
