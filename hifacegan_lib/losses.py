"""What a restored face is asked to be: believed, alike in features, alike in perception, alike in pixels.

    adversarial        LSGAN: D learns 1 for clean and 0 for restored, G wants 1            weight 1 in the paper
    feature matching   L1 between D's features of restored and clean, mean over scales      10
    perceptual         L1 between VGG-19 features relu1_1 ... relu5_1, 1/32 ... 1           10
    pixel              L1; not in the paper, its author suggests it against colour casts    0

A discriminator's answer is, for each scale, a list of features with the scores last.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Answers = Sequence[Sequence[Tensor]]

VGG19_FILE = "vgg19-dcbb9e9d.pth"
VGG19_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
_VGG19_RELUS = (1, 6, 11, 20, 29)  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 in torchvision's `features`


def lsgan_discriminator(restored: Answers, clean: Answers) -> Tensor:
    """Half the mean squared distance of the scores from 0 (restored) and from 1 (clean), mean over scales."""
    terms = [(r[-1].square().mean() + (c[-1] - 1).square().mean()) / 2 for r, c in zip(restored, clean, strict=True)]
    return torch.stack(terms).mean()


def lsgan_generator(restored: Answers) -> Tensor:
    """Mean squared distance of the restored faces' scores from 1, mean over scales."""
    return torch.stack([(r[-1] - 1).square().mean() for r in restored]).mean()


def feature_matching(restored: Answers, clean: Answers) -> Tensor:
    """Sum over layers (without the scores) of the features' mean absolute difference, mean over scales."""
    scales = [
        sum((F.l1_loss(a, b.detach()) for a, b in zip(r[:-1], c[:-1], strict=True)), start=r[-1].new_zeros(()))
        for r, c in zip(restored, clean, strict=True)
    ]
    return torch.stack(scales).mean()


class PerceptualLoss(nn.Module):
    """L1 between VGG-19 features of two batches N x 3 x H x W in [0, 1] -> scalar.

    Args:
        features: torchvision's ``vgg19().features``; by default with the ImageNet weights from torch's cache.
    Raises:
        FileNotFoundError: the weights are not downloaded; the message names the command that gets them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Sequential | None = None) -> None:
        super().__init__()
        backbone = vgg19_features() if features is None else features
        self.backbone = backbone[: _VGG19_RELUS[-1] + 1].requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self._layers(clean)
        pairs = zip(VGG19_WEIGHTS, self._layers(restored), targets, strict=True)
        return torch.stack([weight * F.l1_loss(a, b) for weight, a, b in pairs]).sum()

    def _layers(self, image: Tensor) -> list[Tensor]:
        x, taken = (image - self.mean) / self.std, []
        for index, layer in enumerate(self.backbone):
            x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)  # in place, it would overwrite what is kept
            if index in _VGG19_RELUS:
                taken.append(x)
        return taken


def vgg19_features() -> nn.Sequential:
    """torchvision's VGG-19 convolutions with ImageNet weights, read from torch's cache and never downloaded here."""
    from torchvision.models import vgg19

    path = Path(torch.hub.get_dir()) / "checkpoints" / VGG19_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"the perceptual loss needs VGG-19's weights, and {VGG19_FILE} is not in torch's cache: "
            "run `hifacegan weights fetch vgg19` (548 MB), or set perceptual_weight to 0"
        )
    network = vgg19()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.features
