"""Distances between two sets of images, computed from their features, n x d; the images need not form pairs.

    FID = |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))                         Heusel et al. 2017
    KID = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),   k(x, y) = (x . y / d + 1)^3      Binkowski et al. 2018

x and x' are features of different images of one set, y and y' of the other. The features are the 2048 of TensorFlow's
Inception of 2015, in torch-fidelity's port. FID assumes Gaussian features and is biased: its value falls as n grows,
and the covariance of n images has rank n - 1, so it is singular for up to 2048 images. FIDs are therefore comparable at
equal n only (:func:`small_set_warning`). KID has no bias; near 0 it is correctly negative in half of the cases.
"""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hifacegan_lib.metrics.metric import MetricUnavailable, check, weights

FEATURES = 2048
NETWORK = "Inception of 2015 as in torch-fidelity, resized to 299 by it, 2048 features"
BLOCK = 1024  # images of a set whose kernel values are in memory at the same time
Matrix = NDArray[np.float64]


class Inception:
    """Float RGB, N x 3 x H x W in [0, 1] -> features, N x 2048 float32; the network is loaded at the first call.

    Values are rounded to 8 bits. The network itself resizes to 299 x 299, as TensorFlow 1 did (bilinear, its alignment
    of corners, no filter against aliasing); images that are resized before give different features.

    Raises (when called):
        MetricUnavailable: torch-fidelity is not installed, or the weights are not downloaded.
        ValueError: the images have another form, or the file of weights is damaged.
    """

    def __init__(self) -> None:
        self._network: Any = None
        self.device = torch.device("cpu")  # of the last images

    def __call__(self, image: Tensor) -> Tensor:
        check(image, image)
        if self._network is None:
            self._network = _inception()
        self.device = image.device
        with torch.no_grad():
            return self._network.to(image.device)(image.mul(255).round().byte())[0]


def _inception() -> Any:
    try:
        network = import_module("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    except ImportError as error:
        raise MetricUnavailable(
            f"FID and KID need torch-fidelity ({error}): run `pip install 'hifacegan-workbench[metrics]'`"
        ) from None
    file = weights("inception")  # torch-fidelity itself accepts any pickle
    with torch.random.fork_rng(devices=[]):  # it initialises random weights before it loads them
        return network("inception", [str(FEATURES)], feature_extractor_weights_path=str(file))


def fid(a: ArrayLike, b: ArrayLike) -> float:
    """Frechet inception distance of two sets of features, n x d; 0 or more, lower is nearer.

    It is the squared Frechet distance of two Gaussians (Dowson and Landau 1982). With C = R^T R, R from the QR
    decomposition of the centred features, tr (C_a C_b)^(1/2) is the sum of the singular values of R_a R_b^T. This sum
    is real and exact up to rounding; the matrix square root of a singular product is neither.

    Raises:
        MetricUnavailable: a set has fewer than two images.
        ValueError: the features are not finite, not n x d, or d differs between the sets.
    """
    sets = _sets(a, b, 2)
    means, roots = [x.mean(0) for x in sets], [_root(x) for x in sets]
    overlap = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    apart = np.square(means[0] - means[1]).sum() + sum(np.square(root).sum() for root in roots)
    return max(0.0, float(apart - 2 * overlap))  # below 0 only by rounding


def fid_to(a: ArrayLike, mean: ArrayLike, covariance: ArrayLike) -> float:
    """Frechet inception distance of features, n x d, from a set of which mean (d) and covariance (d x d) are known.

    tr (C_a C)^(1/2) is the sum of the roots of the eigenvalues of R_a C R_a^T.

    Raises:
        MetricUnavailable: fewer than two images. ValueError: the features are not finite, not n x d, or of another d.
    """
    mean, covariance = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
    features, _ = _sets(a, np.broadcast_to(mean, (2, len(mean))), 2)
    root = _root(features)
    overlap = np.sqrt(np.linalg.eigvalsh(root @ covariance @ root.T).clip(0)).sum()
    apart = np.square(features.mean(0) - mean).sum() + np.square(root).sum() + np.trace(covariance)
    return max(0.0, float(apart - 2 * overlap))


def _root(features: Matrix) -> Matrix:
    """R with R^T R = the covariance: min(n, d) x d."""
    return np.linalg.qr(features - features.mean(0), mode="r") / np.sqrt(len(features) - 1)


def small_set_warning(count: int) -> str:
    """The warning for a FID of sets of ``count`` images; empty for large sets."""
    if count > FEATURES:
        return ""
    return (
        f"FID of {count} images: for up to {FEATURES} images the covariance is singular and the value is too high, "
        "more so for fewer images; compare it only with FIDs of equally many images"
    )


class Kid(NamedTuple):
    """Kernel inception distance and its standard error over samples of images."""

    mean: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, for a normal distribution."""
        return self.mean - 1.96 * self.error, self.mean + 1.96 * self.error


def kid(a: ArrayLike, b: ArrayLike) -> Kid:
    """Kernel inception distance of two sets of features, n x d: the unbiased squared MMD over all pairs of images.

    Other programs report mean and deviation over random subsets of 1000 images: their mean estimates the same value
    with more noise, and their deviation depends on the size of the subsets. The error here is the jackknife's, which
    leaves out one image after the other.

    Raises:
        MetricUnavailable: a set has fewer than three images.
        ValueError: the features are not finite, not n x d, or d differs between the sets.
    """
    x, y = _sets(a, b, 3)
    n, m = len(x), len(y)
    # per image: sum over the other images of its set, so without k(z, z)
    inner = [_kernel_sums(z, z) - ((z * z).mean(1) + 1) ** 3 for z in (x, y)]
    across = [_kernel_sums(x, y), _kernel_sums(y, x)]
    within = [rows.sum() / (len(rows) * (len(rows) - 1)) for rows in inner]
    between = across[0].sum() / (n * m)
    variance = 0.0
    for rows, other, cross, others in ((inner[0], within[1], across[0], m), (inner[1], within[0], across[1], n)):
        k = len(rows)
        without = (rows.sum() - 2 * rows) / ((k - 1) * (k - 2)) + other
        without -= 2 * (cross.sum() - cross) / ((k - 1) * others)
        variance += (k - 1) * np.var(without)
    return Kid(float(sum(within) - 2 * between), float(np.sqrt(variance)))


def _kernel_sums(x: Matrix, y: Matrix) -> Matrix:
    """Sum over y of k(x, y), for each x; blocks of x limit the memory."""
    blocks = np.split(x, range(BLOCK, len(x), BLOCK))
    return np.concatenate([((block @ y.T / y.shape[1] + 1) ** 3).sum(1) for block in blocks])


def _sets(a: ArrayLike, b: ArrayLike, least: int) -> tuple[Matrix, Matrix]:
    found = [np.asarray(features, np.float64) for features in (a, b)]
    for name, features in zip("ab", found, strict=True):
        if features.ndim != 2 or not np.isfinite(features).all():
            raise ValueError(f"{name}: expected finite features, n x d, got an array of shape {features.shape}")
        if len(features) < least:
            raise MetricUnavailable(f"set of images: at least {least} needed, got {len(features)}")
    if found[0].shape[1] != found[1].shape[1]:
        raise ValueError(f"a has {found[0].shape[1]} features, b {found[1].shape[1]}: the numbers must be equal")
    return found[0], found[1]
