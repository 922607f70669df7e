"""The uncertainty of a mean: bootstrap intervals over faces, Student's intervals over seeds, paired differences.

    faces: 2.5 % to 97.5 % of the means of B resamples of the n faces, drawn with replacement (Efron 1979)
    seeds: mean ± t(0.975, n - 1) s / sqrt(n), for n draws of one distribution (Student 1908)

The faces are the sample: an interval shows how much the mean would vary with other faces of the same kind. Two results
on the same faces are compared face by face, which is far more precise than a comparison of their intervals.

Ranks: the methods are put in order of their means, and the first one leads. A method has the leader's rank if the
interval of its difference to the leader includes zero. If not, it leads the methods after it, and its rank is 1 + the
number of methods before it. Nothing is corrected for the number of comparisons.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]
FEWEST = 2  # faces for an interval of a difference


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


def ranks(scores: Mapping[str, Values], samples: int = 1000, seed: int = 0) -> dict[str, int]:
    """Method -> rank, 1 is the best, by n values each of which the higher are the better; faces in one order.

    The methods come in order of their means. Faces on which a method has no finite value are left out of its mean and
    its differences. With fewer than two faces all methods are tied.
    """
    means = {name: values[np.isfinite(values)].mean() for name, values in scores.items() if np.isfinite(values).any()}
    found: dict[str, int] = {}
    leader = ""
    for place, method in enumerate(sorted(means, key=lambda name: -means[name]), 1):
        change = paired(scores[method], scores[leader or method])
        worse = len(change) >= FEWEST and mean_interval(change, samples, seed).high < 0
        leader = method if worse or not leader else leader
        found[method] = found.get(leader, place)
    return found


def differences(scores: Mapping[str, Values], over: str, samples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Each method minus ``over``, face by face: a row each with mean, low, high and n faces; NaN without a face."""
    rows = {}
    for method, values in scores.items():
        change = paired(values, scores[over])
        rows[method] = [*(mean_interval(change, samples, seed) if len(change) else [np.nan] * 3), len(change)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high", "n"]).rename_axis("method")
