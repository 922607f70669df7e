"""How far two SETS of pictures lie apart: no pair needs to match, only the two clouds of features, n x d each.

    FID = |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))                         Heusel et al. 2017
    KID = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),   k(x, y) = (x . y / d + 1)^3      Binkowski et al. 2018

x, x' are features of different pictures of one set, y of the other. Features are the 2048 of TensorFlow's Inception of
2015, in torch-fidelity's port. FID takes the clouds for Gaussians and is biased: its value falls as n grows, and n
pictures give a covariance of rank n - 1, singular up to 2048 of them. So FIDs compare at equal n only
(:func:`caution` says it). KID has no bias; near 0 it is as often negative, which is right.
"""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hifacegan_lib.metrics.metric import MetricUnavailable, check
from hifacegan_lib.utils import weight_registry

FEATURES = 2048
BLOCK = 1024  # pictures of a set whose kernel values are in memory at once
Matrix = NDArray[np.float64]


class Inception:
    """Float RGB, N x 3 x H x W in [0, 1] -> features, N x 2048 float32; the network is loaded at the first call.

    Values are rounded to 8 bits and the network resizes to 299 x 299 itself, as TensorFlow 1 did (bilinear, corners
    where it puts them, no filter against aliasing): pictures resized beforehand give other features.

    Raises (when called):
        MetricUnavailable: torch-fidelity is not installed, or the weights are not downloaded.
        ValueError: no such images, or the file of weights is damaged.
    """

    def __init__(self) -> None:
        self._network: Any = None

    def __call__(self, image: Tensor) -> Tensor:
        check(image, image)
        if self._network is None:
            self._network = _inception()
        with torch.no_grad():
            return self._network.to(image.device)(image.mul(255).round().byte())[0]


def _inception() -> Any:
    try:
        module = import_module("torch_fidelity.feature_extractor_inceptionv3")
        file = weight_registry.verify("inception")  # torch-fidelity would take any pickle that it is given
    except ImportError as error:
        raise MetricUnavailable(
            f"FID and KID need torch-fidelity ({error}): run `pip install 'hifacegan-workbench[metrics]'`"
        ) from None
    except weight_registry.MissingWeights as error:
        raise MetricUnavailable(str(error)) from None
    with torch.random.fork_rng(devices=[]):  # it draws weights before it loads them
        return module.FeatureExtractorInceptionV3(
            "inception", [str(FEATURES)], feature_extractor_weights_path=str(file)
        )


def fid(a: ArrayLike, b: ArrayLike) -> float:
    """Frechet inception distance of two sets of features, n x d, from 0; lower is nearer.

    It is the squared Frechet distance of two Gaussians (Dowson and Landau 1982). With C = R^T R, R from the QR
    decomposition of the centred features, tr (C_a C_b)^(1/2) is the sum of the singular values of R_a R_b^T: real, and
    exact to rounding where the matrix root of a singular product is neither.

    Raises:
        MetricUnavailable: a set of fewer than two pictures.
        ValueError: not finite features, n x d, or another d in each set.
    """
    sets = _sets(a, b, 2)
    means = [x.mean(0) for x in sets]
    roots = [np.linalg.qr(x - mu, mode="r") / np.sqrt(len(x) - 1) for x, mu in zip(sets, means, strict=True)]
    overlap = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    apart = np.square(means[0] - means[1]).sum() + sum(np.square(root).sum() for root in roots)
    return max(0.0, float(apart - 2 * overlap))  # below 0 by rounding alone


def caution(count: int, dimension: int = FEATURES) -> str:
    """The warning that belongs to a FID of sets of ``count`` pictures; empty for large sets."""
    if count > dimension:
        return ""
    return (
        f"FID of {count} pictures: up to {dimension} the covariance is singular and the value too high, the more the "
        "fewer they are; compare with FIDs of as many only"
    )


class Kid(NamedTuple):
    """Kernel inception distance and its standard error: how far other pictures of the same kind would move it."""

    mean: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, by the normal law."""
        return self.mean - 1.96 * self.error, self.mean + 1.96 * self.error


def kid(a: ArrayLike, b: ArrayLike) -> Kid:
    """Kernel inception distance of two sets of features, n x d: the unbiased squared MMD over all pairs of pictures.

    Others report the mean over random subsets of 1000, which estimates the same value with more noise, and their
    deviation, which says how small the subsets are. The error here is a jackknife's: each picture left out in turn.

    Raises:
        MetricUnavailable: a set of fewer than three pictures.
        ValueError: not finite features, n x d, or another d in each set.
    """
    x, y = _sets(a, b, 3)
    n, m = len(x), len(y)
    inner = [_kernel_sums(z, z) - _kernel(z, z) for z in (x, y)]  # each picture's sum over the others of its set
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
    """Sum over y of k(x, y), for each x; blocks of x keep memory small."""
    blocks = np.split(x, range(BLOCK, len(x), BLOCK))
    return np.concatenate([((block @ y.T / y.shape[1] + 1) ** 3).sum(1) for block in blocks])


def _kernel(x: Matrix, y: Matrix) -> Matrix:
    """k(x, y) of each row with its partner."""
    return ((x * y).mean(1) + 1) ** 3


def _sets(a: ArrayLike, b: ArrayLike, least: int) -> tuple[Matrix, Matrix]:
    found = [np.asarray(features, np.float64) for features in (a, b)]
    for name, features in zip("ab", found, strict=True):
        if features.ndim != 2 or not np.isfinite(features).all():
            raise ValueError(f"{name}: expected finite features, n x d, got an array of shape {features.shape}")
        if len(features) < least:
            raise MetricUnavailable(f"a set of pictures: at least {least} needed, got {len(features)}")
    if found[0].shape[1] != found[1].shape[1]:
        raise ValueError(f"a has {found[0].shape[1]} features, b {found[1].shape[1]}: they must be alike")
    return found[0], found[1]


def fid_row(a: ArrayLike, b: ArrayLike) -> tuple[float, None, None]:
    """FID as an evaluation's value and interval: it has none."""
    return fid(a, b), None, None


def kid_row(a: ArrayLike, b: ArrayLike) -> tuple[float, float, float]:
    """KID as an evaluation's value and 95 % interval."""
    found = kid(a, b)
    return found.mean, *found.interval
