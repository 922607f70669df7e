"""How near a restored face is to the clean one: one function a metric, one value an image.

    psnr      -10 log10 mean (a - b)^2, over pixels and channels                                dB, higher is better
    ssim      mean of (2 mu_a mu_b + c1)(2 cov + c2) / ((mu_a^2 + mu_b^2 + c1)(var_a + var_b + c2))   up to 1, higher
    ms_ssim   product over five scales of contrast x structure, luminance at the last                 0 to 1, higher
    lpips     distance of a network's features, channels weighted to agree with people                from 0, lower

All take float RGB, N x 3 x H x W in [0, 1], as a file would give it, and return N values. Nothing is clipped,
rescaled or averaged in silence: what is not such a pair of images is a ValueError, what a metric cannot be had for is a
:class:`MetricUnavailable` with the reason, and NaN stands where one image has no value (no face found in it).
"""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hifacegan_lib.utils import weight_registry

SSIM_SIDE, MS_SSIM_SIDE, LPIPS_SIDE = 11, 176, 31  # smallest sides, pixels: a window, a window at 1/16, a net's pools
MS_SSIM_POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, fine to coarse
_C1, _C2 = 0.01**2, 0.03**2
_WINDOW = cv2.getGaussianKernel(SSIM_SIDE, 1.5, cv2.CV_32F)
_BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}
Planes = NDArray[np.floating]


class MetricUnavailable(ValueError):
    """A metric that these images or this machine cannot have, and why."""


def psnr(image: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, over all pixels and channels of an image; equal images have infinity."""
    check(image, clean)
    error = each(lambda a, b: float(np.square(a - b).mean(dtype=np.float64)), image, clean, planar=True)
    return -10 * error.log10()


def ssim(image: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity, -1 to 1 (Wang et al. 2004): Gaussian window 11, sigma 1.5, K = 0.01 and 0.03.

    Population covariances; each channel by itself, then the mean; only windows that lie inside the image count, as in
    the paper and scikit-image.
    """
    check(image, clean, SSIM_SIDE)

    def value(a: Planes, b: Planes) -> float:
        terms = (_terms(x, y) for x, y in zip(a, b, strict=True))
        return float(np.mean([(luminance * structure).mean(dtype=np.float64) for luminance, structure in terms]))

    return each(value, image, clean, planar=True)


def ms_ssim(image: Tensor, clean: Tensor) -> Tensor:
    """Multi-scale structural similarity, 0 to 1 (Wang et al. 2003).

    Weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333; scales are 2 x 2 means (an odd last line is left out); at each scale
    only windows inside count; the mean over channels is taken before the power; negative terms count as 0.
    """
    check(image, clean, MS_SSIM_SIDE)

    def value(a: Planes, b: Planes) -> float:
        found = np.mean([_scales(x, y) for x, y in zip(a, b, strict=True)], 0)
        return float(np.prod(np.maximum(found, 0) ** MS_SSIM_POWERS))

    return each(value, image, clean, planar=True)


def _scales(a: Planes, b: Planes) -> list[float]:
    """Of one plane: mean contrast x structure at each scale but the last, which has luminance too."""
    found = []
    for _ in MS_SSIM_POWERS[:-1]:
        found.append(_terms(a, b)[1].mean(dtype=np.float64))
        height, width = (side // 2 for side in a.shape)
        a, b = (cv2.resize(x[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA) for x in (a, b))
    luminance, structure = _terms(a, b)
    return [*found, (luminance * structure).mean(dtype=np.float64)]


def _terms(a: Planes, b: Planes) -> tuple[Planes, Planes]:
    """Luminance, and contrast x structure, of every window inside a plane; H x W -> (H - 10) x (W - 10).

    By sum and difference, s = a + b and d = a - b: 2 cov = (var_s - var_d) / 2, var_a + var_b = (var_s + var_d) / 2,
    and so for the means: four filters, where five would be.
    """
    level_a, level_b = a.mean(), b.mean()  # taken out: differences of squares are exact where little happens
    a, b = a - level_a, b - level_b
    mu_s, var_s = _moments(a + b)
    mu_d, var_d = _moments(a - b)
    s, d = np.square(mu_s + (level_a + level_b)), np.square(mu_d + (level_a - level_b))
    inside = (slice(SSIM_SIDE // 2, -(SSIM_SIDE // 2)),) * 2
    luminance = (s - d + 2 * _C1) / (s + d + 2 * _C1)
    structure = (var_s - var_d + 2 * _C2) / (var_s + var_d + 2 * _C2)
    return luminance[inside], structure[inside]


def _moments(x: Planes) -> tuple[Planes, Planes]:
    """Mean and variance of each window."""
    mean, square = (cv2.sepFilter2D(y, -1, _WINDOW, _WINDOW) for y in (x, x * x))
    return mean, square - mean * mean


def each(value: Callable[[Planes, Planes], float], image: Tensor, clean: Tensor, planar: bool = False) -> Tensor:
    """``value`` of each pair, float32 H x W x 3 (3 x H x W if ``planar``), in threads; N values.

    OpenCV and NumPy let the other threads run, also those that read the next pairs.
    """
    pairs = [(x, y) for x, y in zip(*(t.detach().float().cpu().numpy() for t in (image, clean)), strict=True)]

    def one(pair: tuple[Planes, Planes]) -> float:
        return value(*pair) if planar else value(*(cv2.merge(list(x)) for x in pair))

    with ThreadPoolExecutor(min(len(pairs), os.cpu_count() or 1)) as pool:
        return torch.tensor(list(pool.map(one, pairs)), dtype=image.dtype, device=image.device)


class Lpips:
    """LPIPS 0.1 (Zhang et al. 2018), called as the other metrics; its network is loaded at the first call.

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


class Metric(NamedTuple):
    """A metric and how to speak of it.

    Attributes:
        compute: one of the functions above, or alike; None where the value belongs to a whole set of images.
        higher_is_better: None: as near as can be to what the clean faces have.
        backbone: downloads that the value depends on, names in :data:`hifacegan_lib.utils.weight_registry.REGISTRY`.
        reference: whether the clean image is looked at.
        features, distance: of a set's metric: faces -> what is kept of them, and (their features, the clean ones',
            seed) -> value, low, high.
    """

    compute: Callable[[Tensor, Tensor], Tensor] | None
    label: str
    unit: str
    higher_is_better: bool | None
    digits: int
    implementation: str
    backbone: tuple[str, ...] = ()
    reference: bool = True
    features: Callable[[Tensor], Tensor] | None = None
    distance: Callable[[Any, Any, int], tuple[float, float | None, float | None]] | None = None

    @property
    def title(self) -> str:
        """Label and unit: "PSNR, dB"."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def wanted(self) -> str:
        """Which direction is good."""
        if self.higher_is_better is None:
            return "near the clean faces' is better"
        return "higher is better" if self.higher_is_better else "lower is better"


def check(image: Tensor, clean: Tensor, side: int = 1) -> None:
    """Raise unless both are alike: float RGB, N x 3 x H x W, finite, in [0, 1].

    Raises:
        ValueError: they are not; the message says which and what was found.
        MetricUnavailable: an image has a side below ``side`` pixels.
    """
    for name, x in (("image", image), ("clean", clean)):
        problem = _problem(x)
        if problem:
            raise ValueError(f"{name}: expected float RGB, N x 3 x H x W, finite, in [0, 1]; {problem}")
    if image.shape != clean.shape or image.dtype != clean.dtype:
        raise ValueError(f"image is {_kind(image)}, clean is {_kind(clean)}: they must be alike")
    if min(image.shape[2:]) < side:
        raise MetricUnavailable(f"needs sides of at least {side} pixels, got {image.shape[2]} x {image.shape[3]}")


def _problem(x: Any) -> str | None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return f"got {x.dtype if isinstance(x, Tensor) else type(x).__name__}"
    if x.ndim != 4 or x.shape[1] != 3 or not x.numel():
        return f"got {_kind(x)}"
    # either is NaN if any is; NumPy's loop does not wait for threads that others keep busy
    low, high = (x.detach().numpy().min(), x.detach().numpy().max()) if x.device.type == "cpu" else x.aminmax()
    return None if low >= 0 and high <= 1 else f"got {low:.4g} to {high:.4g}"


def _kind(x: Tensor) -> str:
    return f"{x.dtype} {' x '.join(map(str, x.shape))}"
