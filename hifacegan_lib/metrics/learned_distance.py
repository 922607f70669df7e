"""LPIPS: the distance of a network's features, channels weighted to agree with people (Zhang et al. 2018)."""

import warnings
from typing import Literal

import torch
from torch import Tensor

from hifacegan_lib.metrics.metric import MetricUnavailable, check
from hifacegan_lib.utils import weight_registry

LPIPS_SIDE = 31  # smallest side, pixels: the network's poolings
_BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}


class Lpips:
    """LPIPS 0.1, called as the other metrics, from 0, lower is better; its network is loaded at the first call.

    Args:
        net: whose features: "alex" (the authors' choice for judging), "vgg" or "squeeze".
    Raises (when called):
        MetricUnavailable: the network's weights are not downloaded. There is no score from a random network.
        ValueError: the file of weights is damaged.
    """

    def __init__(self, net: Literal["alex", "vgg", "squeeze"] = "alex") -> None:
        if net not in _BACKBONES:
            raise ValueError(f"net = {net!r}: expected one of {', '.join(_BACKBONES)}")
        self.net, self.backbone = net, _BACKBONES[net]
        self._network: torch.nn.Module | None = None

    def __call__(self, image: Tensor, clean: Tensor) -> Tensor:
        check(image, clean, LPIPS_SIDE)
        if self._network is None:
            self._network = self._load()
        with torch.no_grad():
            return self._network.to(image.device)(image, clean, normalize=True).flatten()  # normalize: takes [0, 1]

    def _load(self) -> torch.nn.Module:
        try:
            weight_registry.verify(self.backbone)  # torch would not look into a file that it finds
        except weight_registry.MissingWeights as error:
            raise MetricUnavailable(str(error)) from None
        import lpips

        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it draws weights before it loads them
            for message in ("The parameter 'pretrained' is deprecated", "Arguments other than a weight enum"):
                warnings.filterwarnings("ignore", message, UserWarning)
            return lpips.LPIPS(net=self.net, verbose=False)
