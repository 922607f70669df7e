"""How near a restored face is to the clean one: one function a metric, one value an image.

    psnr      -10 log10 mean (a - b)^2, over pixels and channels                                dB, higher is better
    ssim      mean of (2 mu_a mu_b + c1)(2 cov + c2) / ((mu_a^2 + mu_b^2 + c1)(var_a + var_b + c2))   up to 1, higher
    ms_ssim   product over five scales of contrast x structure, luminance at the last                 0 to 1, higher
    lpips     distance of AlexNet's features, channels weighted to agree with people                  from 0, lower

All take float RGB, N x 3 x H x W in [0, 1], as a file would give it, and return N values. Nothing is clipped,
rescaled or averaged in silence: what is not such a pair of images is a ValueError, and what a metric cannot be had for
is a :class:`MetricUnavailable` with the reason.
"""

import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from hifacegan_lib import weights

SSIM_SIDE, MS_SSIM_SIDE, LPIPS_SIDE = 11, 176, 31  # smallest sides, pixels: a window, a window at 1/16, AlexNet's pools


class MetricUnavailable(ValueError):
    """A metric that these images or this machine cannot have, and why."""


def psnr(image: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, over all pixels and channels of an image; equal images have infinity."""
    _check(image, clean)
    return -10 * (image - clean).square().mean((1, 2, 3)).log10()


def ssim(image: Tensor, clean: Tensor) -> Tensor:
    """Structural similarity, -1 to 1 (Wang et al. 2004): Gaussian window 11, sigma 1.5, K = 0.01 and 0.03.

    Population covariances; each channel by itself, then the mean; only windows that lie inside the image count, as in
    the paper and scikit-image (torchmetrics' own mean counts mirrored borders too).
    """
    _check(image, clean, SSIM_SIDE)
    _, values = structural_similarity_index_measure(
        image, clean, sigma=1.5, data_range=1.0, reduction="none", return_full_image=True
    )
    edge = SSIM_SIDE // 2
    return values[..., edge:-edge, edge:-edge].mean((1, 2, 3))


def ms_ssim(image: Tensor, clean: Tensor) -> Tensor:
    """Multi-scale structural similarity, 0 to 1 (Wang et al. 2003), with torchmetrics' conventions.

    Weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333; scales are 2 x 2 means; negative terms count as 0; the last scale's
    mean includes mirrored borders.
    """
    _check(image, clean, MS_SSIM_SIDE)
    return multiscale_structural_similarity_index_measure(image, clean, sigma=1.5, data_range=1.0, reduction="none")


class Lpips:
    """LPIPS 0.1 with AlexNet (Zhang et al. 2018), called as the other metrics; its network is loaded at the first call.

    Raises (when called):
        MetricUnavailable: AlexNet's weights are not downloaded. There is no score from a random network.
        ValueError: the file of weights is damaged.
    """

    def __init__(self) -> None:
        self._network: torch.nn.Module | None = None

    def __call__(self, image: Tensor, clean: Tensor) -> Tensor:
        _check(image, clean, LPIPS_SIDE)
        if self._network is None:
            self._network = _lpips_network()
        with torch.no_grad():
            return self._network.to(image.device)(image, clean, normalize=True).flatten()  # normalize: takes [0, 1]


def _lpips_network() -> torch.nn.Module:
    try:
        weights.verify("alexnet")  # torch would not look into a file that it finds
    except weights.MissingWeights as error:
        raise MetricUnavailable(str(error)) from None
    import lpips

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it draws weights before it loads them
        for message in ("The parameter 'pretrained' is deprecated", "Arguments other than a weight enum"):
            warnings.filterwarnings("ignore", message, UserWarning)
        return lpips.LPIPS(net="alex", verbose=False)


class Metric(NamedTuple):
    """A metric and how to speak of it. ``compute`` is one of the functions above, or alike."""

    compute: Callable[[Tensor, Tensor], Tensor]
    label: str
    unit: str
    higher_is_better: bool
    digits: int
    implementation: str

    @property
    def title(self) -> str:
        """Label and unit: "PSNR, dB"."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def wanted(self) -> str:
        """Which direction is good."""
        return "higher is better" if self.higher_is_better else "lower is better"


def standard() -> dict[str, Metric]:
    """The four metrics of every evaluation."""
    torchmetrics = f"torchmetrics {version('torchmetrics')}"
    window = "Gaussian window 11, sigma 1.5, data range 1"
    return {
        "psnr": Metric(psnr, "PSNR", "dB", True, 2, "hifacegan_lib, over RGB, data range 1, mean over images of dB"),
        "ssim": Metric(ssim, "SSIM", "", True, 4, f"{torchmetrics}, {window}, per RGB channel, windows inside only"),
        "ms_ssim": Metric(ms_ssim, "MS-SSIM", "", True, 4, f"{torchmetrics}, {window}, 5 scales, per RGB channel"),
        "lpips": Metric(Lpips(), "LPIPS", "", False, 4, f"lpips {version('lpips')}, AlexNet, heads 0.1, RGB"),
    }


def _check(image: Tensor, clean: Tensor, side: int = 1) -> None:
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
    low, high = x.aminmax()  # NaN if any is
    return None if low >= 0 and high <= 1 else f"got {low:.4g} to {high:.4g}"


def _kind(x: Tensor) -> str:
    return f"{x.dtype} {' x '.join(map(str, x.shape))}"
