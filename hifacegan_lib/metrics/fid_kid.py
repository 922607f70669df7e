"""How far two SETS of pictures lie apart: no pair needs to match, only the two clouds of features.

    FID = |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))                         Heusel et al. 2017
    KID = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),   k(x, y) = (x . y / d + 1)^3      Binkowski et al. 2018

x, x' are features of different pictures of one set, y of the other. Features are the 2048 of TensorFlow's Inception of
2015, in torch-fidelity's port. FID takes the clouds for Gaussians and is biased: its value falls as n grows, and n
pictures give a covariance of rank n - 1, singular up to 2048 of them. So FIDs compare at equal n only
(:func:`caution` says it). KID has no bias; near 0 it is as often negative, which is right.
"""

import tempfile
from importlib import import_module
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hifacegan_lib.metrics.full_reference import MetricUnavailable, check
from hifacegan_lib.utils import weight_registry

FEATURES = 2048
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
    except ImportError as error:
        raise MetricUnavailable(
            f"FID and KID need torch-fidelity ({error}): run `pip install 'hifacegan-workbench[metrics]'`"
        ) from None
    try:
        file = weight_registry.verify("inception")  # torch-fidelity would take any pickle that it is given
    except weight_registry.MissingWeights as error:
        raise MetricUnavailable(str(error)) from None
    with torch.random.fork_rng(devices=[]):  # it draws weights before it loads them
        return module.FeatureExtractorInceptionV3(
            "inception", [str(FEATURES)], feature_extractor_weights_path=str(file)
        )


class FeatureSet:
    """The features of a set of pictures, n x d, added batch by batch: how many, mean, covariance, and all of them.

    In memory: mean and scatter in float64, d x d. On disk: the features in float32, in a temporary file that is gone
    after :meth:`close` or with the process.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Matrix = np.empty(0)
        self._scatter: Matrix = np.empty((0, 0))
        self._file = tempfile.TemporaryFile(prefix="hifacegan-features-")  # noqa: SIM115 (open until close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file; mean and covariance stay."""
        self._file.close()

    def add(self, features: Tensor | ArrayLike) -> None:
        """Add a batch, n x d, of at least one row; kept as float32.

        Raises:
            ValueError: another shape, or a value that is not finite; the set is as before.
        """
        rows = np.asarray(features.detach().cpu() if isinstance(features, Tensor) else features, np.float32)
        dimension = len(self._mean) if self.count else "d"
        if rows.ndim != 2 or not rows.size or (self.count and rows.shape[1] != dimension):
            raise ValueError(f"expected features, n x {dimension}, got an array of shape {rows.shape}")
        if not np.isfinite(rows).all():
            raise ValueError(f"expected finite features, got {int((~np.isfinite(rows)).sum())} that are not")
        self._file.write(rows.tobytes())
        if not self.count:
            self._mean, self._scatter = np.zeros(rows.shape[1]), np.zeros((rows.shape[1], rows.shape[1]))
        n, total = len(rows), self.count + len(rows)
        mean = rows.mean(0, dtype=np.float64)
        between = (mean - self._mean) * np.sqrt(self.count * n / total)  # Chan et al. 1979: no large sums to cancel
        deviations = np.vstack([rows - mean, between])
        self._scatter += deviations.T @ deviations
        self._mean = self._mean + (mean - self._mean) * n / total
        self.count = total

    @property
    def mean(self) -> Matrix:
        """Mean of the features, d."""
        self._need(1)
        return self._mean.copy()

    @property
    def covariance(self) -> Matrix:
        """Sample covariance, d x d, divided by n - 1."""
        self._need(2)
        return self._scatter / (self.count - 1)

    def features(self) -> NDArray[np.float32]:
        """All features, n x d, read from disk where they are touched."""
        self._need(1)
        self._file.flush()
        return np.memmap(self._file, np.float32, "r", shape=(self.count, len(self._mean)))

    def _need(self, pictures: int) -> None:
        if self.count < pictures:
            raise MetricUnavailable(f"a set of pictures: at least {pictures} needed, got {self.count}")


def fid(a: FeatureSet, b: FeatureSet) -> float:
    """Frechet inception distance, from 0; lower is nearer.

    Raises:
        MetricUnavailable: a set of fewer than two pictures.
    """
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)


def frechet_distance(mean_a: ArrayLike, cov_a: ArrayLike, mean_b: ArrayLike, cov_b: ArrayLike) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians in d dimensions (Dowson and Landau 1982).

    With C = R R^T, tr (C_a C_b)^(1/2) is the sum of the singular values of R_a^T R_b: real, and exact to rounding where
    the matrix root of a singular product is neither.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or matrices that are no covariances.
    """
    means, roots, traces = [], [], []
    for name, mean, cov in (("a", mean_a, cov_a), ("b", mean_b, cov_b)):
        mu, c = np.asarray(mean, np.float64), np.asarray(cov, np.float64)
        if mu.ndim != 1 or c.shape != (len(mu), len(mu)) or not (np.isfinite(mu).all() and np.isfinite(c).all()):
            raise ValueError(f"{name}: expected finite mean, d, and covariance, d x d, got {mu.shape} and {c.shape}")
        means.append(mu)
        roots.append(_root(name, c))
        traces.append(c.trace())
    if means[0].shape != means[1].shape:
        raise ValueError(f"a has {len(means[0])} features, b {len(means[1])}: they must be alike")
    overlap = np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum()
    return max(0.0, float(np.square(means[0] - means[1]).sum() + sum(traces) - 2 * overlap))  # 0 but for rounding


def _root(name: str, covariance: Matrix) -> Matrix:
    """R with R R^T = covariance, d x rank."""
    values, vectors = np.linalg.eigh(covariance)
    noise = np.abs(values).max() * len(values) * np.finfo(float).eps  # eigenvalues of 0 come out as large as this
    if values[0] < -10 * noise or not np.allclose(covariance, covariance.T, rtol=0, atol=10 * noise):
        raise ValueError(f"{name}: expected a covariance, symmetric without negative eigenvalues, got {values[0]:.3g}")
    kept = values > noise
    return vectors[:, kept] * np.sqrt(values[kept])


def caution(count_a: int, count_b: int, dimension: int = FEATURES) -> str:
    """What must be said beside a FID of sets with so many pictures; nothing where nothing must."""
    said = []
    if min(count_a, count_b) <= dimension:
        said.append(
            f"FID of {min(count_a, count_b)} pictures: up to {dimension} the covariance is singular and the value too "
            "high, the more the fewer they are; compare with FIDs of as many only"
        )
    if count_a != count_b:
        said.append(f"the sets have {count_a} and {count_b} pictures: not comparable with a FID of equal sets")
    return "; ".join(said)


class Kid(NamedTuple):
    """Kernel inception distance and its standard error: how far other pictures of the same kind would move it."""

    mean: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, by the normal law."""
        return self.mean - 1.96 * self.error, self.mean + 1.96 * self.error


def kid(a: FeatureSet, b: FeatureSet, subset_size: int = 1000, subsets: int = 100, seed: int = 0) -> Kid:
    """Kernel inception distance: mean over random subsets, each drawn without replacement from both sets.

    ``subset_size`` is cut to the smaller set; where it takes all of both, there is one subset. The error is a
    jackknife's (each picture left out in turn), scaled to the full sets, and too wide where the sets hardly
    differ. The deviation over subsets, which others report, says how small the subsets are: it is 0 where they are all.

    Raises:
        MetricUnavailable: a set of fewer than three pictures.
        ValueError: subsets of fewer than three, no subset, or sets of other features.
    """
    if subset_size < 3 or subsets < 1:
        raise ValueError(f"expected subsets >= 1 of at least 3 pictures, got {subsets} of {subset_size}")
    for side in (a, b):
        side._need(3)
    all_a, all_b = a.features(), b.features()
    if all_a.shape[1] != all_b.shape[1]:
        raise ValueError(f"a has {all_a.shape[1]} features, b {all_b.shape[1]}: they must be alike")
    size, rng = min(subset_size, a.count, b.count), np.random.default_rng(seed)
    values, variances = [], []
    for _ in range(1 if size == a.count == b.count else subsets):
        x, y = (f[np.sort(rng.choice(len(f), size, replace=False))] for f in (all_a, all_b))
        value, spread_a, spread_b = _squared_mmd(x.astype(np.float64), y.astype(np.float64))
        values.append(value)
        variances.append(spread_a * size / a.count + spread_b * size / b.count)
    drawing = np.var(values) / len(values)  # of the subsets, given the sets
    return Kid(float(np.mean(values)), float(np.sqrt(np.mean(variances) + drawing)))


def _squared_mmd(x: Matrix, y: Matrix) -> tuple[float, float, float]:
    """Unbiased squared MMD of two samples, n x d each, and the jackknife variances by either; n >= 3."""
    n = len(x)
    within = []
    for z in (x, y):
        kernel = _kernel(z, z)
        np.fill_diagonal(kernel, 0)
        within.append(kernel.sum(1))
    across = _kernel(x, y)
    total = across.sum()
    inner = [rows.sum() / (n * (n - 1)) for rows in within]
    variances = []
    for mine, other, between in ((0, 1, across.sum(1)), (1, 0, across.sum(0))):
        rows = within[mine]
        without = (rows.sum() - 2 * rows) / ((n - 1) * (n - 2)) + inner[other] - 2 * (total - between) / (n * (n - 1))
        variances.append((n - 1) * np.var(without))
    return sum(inner) - 2 * total / n**2, *variances


def _kernel(x: Matrix, y: Matrix) -> Matrix:
    return (x @ y.T / x.shape[1] + 1) ** 3


def fid_row(a: FeatureSet, b: FeatureSet, seed: int) -> tuple[float, None, None]:  # noqa: ARG001 (as KID's)
    """FID as an evaluation's value and interval: it has none."""
    return fid(a, b), None, None


def kid_row(a: FeatureSet, b: FeatureSet, seed: int) -> tuple[float, float, float]:
    """KID as an evaluation's value and 95 % interval."""
    found = kid(a, b, seed=seed)
    return found.mean, *found.interval
