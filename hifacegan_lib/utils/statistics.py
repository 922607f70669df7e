"""The uncertainty of a mean: bootstrap intervals over faces, Student's intervals over seeds, paired differences.

    faces: 2.5 % to 97.5 % of the means of B resamples of the n faces, drawn with replacement (Efron 1979)
    seeds: mean ± t(0.975, n - 1) s / sqrt(n), for n draws of one distribution (Student 1908)

The faces are the sample: an interval shows how much the mean would vary with other faces of the same kind. Two results
on the same faces are compared face by face, which is far more precise than a comparison of their intervals.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def text(self, digits: int, sign: str = "+") -> str:
        """``+1.23 [+1.01, +1.45]``; without plus signs if ``sign`` is empty."""
        mean, low, high = (f"{x:{sign}.{digits}f}" for x in self)
        return f"{mean} [{low}, {high}]"

    def __str__(self) -> str:
        return self.text(2)


def mean_interval(values: Values, samples: int = 1000, seed: int = 0) -> Interval:
    """The mean of n finite values and its 95 % bootstrap interval; the same seed and n give the same resamples.

    Raises:
        ValueError: no value, or a NaN or infinite value.
    """
    n = len(values)
    if not n or not np.isfinite(values).all():
        raise ValueError(
            f"an interval needs finite values, at least one; got {n - int(np.isfinite(values).sum())} of {n}"
        )
    rng, block = np.random.default_rng(seed), max(1, 2**22 // n)  # resamples per block: limits the memory
    counts = [min(block, samples - done) for done in range(0, samples, block)]
    means = np.concatenate([values[rng.integers(n, size=(count, n))].mean(1) for count in counts])
    return Interval(float(values.mean()), *map(float, np.percentile(means, [2.5, 97.5])))


def finite_interval(values: Values, samples: int = 1000, seed: int = 0) -> Interval | None:
    """:func:`mean_interval` of the finite values; None if there are none."""
    finite = values[np.isfinite(values)]
    return mean_interval(finite, samples, seed) if len(finite) else None


def t_interval(values: Values) -> Interval:
    """The mean of n values and Student's 95 % interval; with n = 1 the ends are NaN, with n = 0 all three numbers."""
    n = len(values)
    mean = float(values.mean()) if n else np.nan
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else np.nan
    return Interval(mean, mean - half, mean + half)


def paired(first: Values, second: Values) -> Values:
    """``first`` minus ``second``, face by face, for the faces where both are finite."""
    both = np.isfinite(first) & np.isfinite(second)
    return first[both] - second[both]
