"""Every method on every pair: means with their intervals, each face's values, strict JSON.

    score = metric(round to 8 bits(method(degraded)), clean)         as the file that it would become
    interval = 2.5 % to 97.5 % of the means of B resamples of the n faces, drawn with replacement (bootstrap)

The faces are the sample: an interval says how far the mean would move with other faces of the same kind. Two methods
are compared face by face (:meth:`Evaluation.gain`), which is far sharper than to compare their intervals.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hifacegan_lib.images import Pixels, to_float, to_uint8
from hifacegan_lib.metrics import Metric, MetricUnavailable, standard

Batch = Mapping[str, Any]
Method = Callable[[Tensor], Tensor]
"""Degraded faces, float RGB, N x 3 x H x W in [0, 1] -> restored faces, alike."""
Values = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` found.

    Attributes:
        conditions: everything that the numbers depend on, as JSON values.
        rows: a method each: ``method``, ``n``, and for each metric its mean, ``_low`` and ``_high`` (None: see
            ``conditions["unavailable"]``); ``psnr_infinite`` counts the faces that are equal to the clean one.
        keys: the faces.
        scores: method -> metric -> its n values; unavailable metrics are absent.
        metrics: all that were asked for.
        traces: face -> how it was damaged, a trace's JSON object, where the pairs came with it.
    """

    conditions: dict[str, Any]
    rows: list[dict[str, Any]]
    keys: list[str]
    scores: dict[str, dict[str, Values]]
    metrics: dict[str, Metric]
    traces: dict[str, Any] = field(default_factory=dict)

    @property
    def per_image(self) -> list[dict[str, Any]]:
        """One line for each face and method; None where a value is infinite or unavailable."""
        return [
            {"key": key, "method": method, **{m: _finite(values[m][n]) if m in values else None for m in self.metrics}}
            for n, key in enumerate(self.keys)
            for method, values in self.scores.items()
        ]

    @property
    def available(self) -> dict[str, Metric]:
        """The metrics that have values."""
        return {name: metric for name, metric in self.metrics.items() if name not in self.conditions["unavailable"]}

    def best(self, metric: str) -> str | None:
        """The method with the best mean, None where there is none."""
        found = {row["method"]: row[metric] for row in self.rows if row[metric] is not None}
        choose = max if self.metrics[metric].higher_is_better else min
        return choose(found, key=lambda method: found[method]) if found else None

    def gain(self, method: str, over: str = "degraded", metric: str = "psnr") -> Interval:
        """Mean of ``method`` minus ``over``, face by face; faces on which either is infinite are left out."""
        difference = np.subtract(*(np.where(np.isinf(v), np.nan, v) for v in self._values(metric, method, over)))
        values = difference[~np.isnan(difference)]
        return mean_interval(values, self.conditions["bootstrap_samples"], self.conditions["seed"])

    def pick(self, method: str, count: int = 2, metric: str = "psnr") -> dict[str, list[str]]:
        """Keys of a method's ``count`` best, middle and worst faces (worst first); fewer when there are not enough."""
        (values,) = self._values(metric, method)
        order = np.argsort(-values if self.metrics[metric].higher_is_better else values, kind="stable")
        count = min(count, len(order) // 3) or 1
        middle = (len(order) - count) // 2
        places = {"best": order[:count], "median": order[middle : middle + count], "worst": order[::-1][:count]}
        return {name: [self.keys[n] for n in chosen] for name, chosen in places.items()}

    def table(self) -> str:
        """The rows as text; a star marks the best."""
        shown = list(self.available)
        lines = [["method", *(self.metrics[m].title for m in shown)]]
        for row in self.rows:
            cells = [cell(row, m, self.metrics[m].digits) + " *" * (self.best(m) == row["method"]) for m in shown]
            lines.append([row["method"], *cells])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def to_json(self) -> str:
        """Strict JSON: conditions, rows, per_image, traces."""
        names = ("conditions", "rows", "per_image", "traces")
        value = {name: getattr(self, name) for name in names}
        return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    def save(self, path: str | Path) -> Path:
        """Write :meth:`to_json`, whole or not at all."""
        path, text = Path(path), self.to_json()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
        return path

    def _values(self, metric: str, *methods: str) -> list[Values]:
        for method in methods:
            if method not in self.scores:
                raise ValueError(f"method '{method}': not evaluated; there are: {', '.join(self.scores)}")
            if metric not in self.scores[method]:
                raise ValueError(f"metric '{metric}': not available; there are: {', '.join(self.scores[method])}")
        return [self.scores[method][metric] for method in methods]


def evaluate(
    methods: Mapping[str, Method],
    batches: Iterable[Batch],
    bootstrap_samples: int = 1000,
    seed: int = 0,
    conditions: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    device: str | torch.device = "cpu",
) -> Evaluation:
    """Judge methods on pairs; the row ``degraded``, the input as it is, always comes first.

    Args:
        methods: name -> method; called without gradients, on ``device``.
        batches: each with ``clean`` and ``degraded``, N x 3 x H x W in [0, 1], ``key``, N names, and perhaps ``trace``,
            N JSON texts that say how the faces were damaged.
        bootstrap_samples, seed: resamples behind each interval, and what they are drawn by.
        conditions: what the caller knows of the pairs and methods (recipe, data, checkpoint), as JSON values.
        metrics: by default :func:`hifacegan_lib.metrics.standard`.
    Raises:
        ValueError: no pairs; a method's name is taken; a method gives anything but such faces (it is named).
    """
    if "degraded" in methods:
        raise ValueError("method 'degraded': this name is the input's")
    everyone: dict[str, Method] = {"degraded": lambda x: x, **methods}
    metrics = dict(standard() if metrics is None else metrics)
    unavailable: dict[str, str] = {}
    keys: list[str] = []
    traces: dict[str, Any] = {}
    sizes: set[str] = set()
    found: dict[str, dict[str, list[Tensor]]] = {name: {metric: [] for metric in metrics} for name in everyone}
    for batch in batches:
        degraded, clean = (batch[name].to(device) for name in ("degraded", "clean"))
        keys += batch["key"]
        traces |= {key: json.loads(trace) for key, trace in zip(batch["key"], batch.get("trace", ()), strict=False)}
        sizes.add(f"{clean.shape[2]} x {clean.shape[3]}")
        for name, method in everyone.items():
            restored = restore(name, method, degraded)
            for metric in [m for m in metrics if m not in unavailable]:
                try:
                    found[name][metric].append(metrics[metric].compute(restored, clean).cpu())
                except MetricUnavailable as error:
                    unavailable[metric] = str(error)
    if not keys:
        raise ValueError("nothing to evaluate: no pair came")
    scores = {
        name: {m: torch.cat(parts).double().numpy() for m, parts in by_metric.items() if m not in unavailable}
        for name, by_metric in found.items()
    }
    rows = [
        {"method": name, "n": len(keys), **_row(values, metrics, bootstrap_samples, seed)}
        for name, values in scores.items()
    ]
    known = {
        "n": len(keys),
        "image_size": ", ".join(sorted(sizes)),
        "colour": "RGB, range [0, 1]",
        "rounding": "every output to 8 bits before it is scored",
        "metrics": {name: metric.implementation for name, metric in metrics.items()},
        "interval": "95 %, percentile bootstrap of the mean over faces",
        "bootstrap_samples": bootstrap_samples,
        "seed": seed,
        "infinite": "null in per_image, left out of means, counted in psnr_infinite",
        "unavailable": {name: unavailable[name] for name in metrics if name in unavailable},
    }
    return Evaluation({**(conditions or {}), **known}, rows, keys, scores, metrics, traces)


def restore(name: str, method: Method, degraded: Tensor) -> Tensor:
    """A method's faces, N x 3 x H x W in [0, 1], rounded to 8 bits.

    Raises:
        ValueError: it gave another shape, or values that are not in [0, 1]; the message names it.
    """
    with torch.inference_mode():
        restored = method(degraded)
    if not isinstance(restored, Tensor) or restored.shape != degraded.shape:
        got = tuple(restored.shape) if isinstance(restored, Tensor) else type(restored).__name__
        raise ValueError(f"method '{name}': expected faces of shape {tuple(degraded.shape)}, got {got}")
    low, high = restored.aminmax()  # NaN if any is
    if not (low >= 0 and high <= 1):
        raise ValueError(f"method '{name}': expected values in [0, 1], got {low:.4g} to {high:.4g}")
    return torch.stack([to_float(to_uint8(face)) for face in restored]).to(degraded.device)


def examples(
    methods: Mapping[str, Method], batches: Iterable[Batch], keys: Sequence[str], device: str | torch.device = "cpu"
) -> dict[str, dict[str, Pixels]]:
    """Pictures of some faces: key -> "degraded", each method, "clean" -> uint8 H x W x 3, in the order of ``keys``."""
    found: dict[str, dict[str, Pixels]] = {}
    for batch in batches:
        places = [n for n, key in enumerate(batch["key"]) if key in keys]
        if places:
            degraded = batch["degraded"][places].to(device)
            restored = {name: restore(name, method, degraded) for name, method in methods.items()}
            columns = {"degraded": degraded, **restored, "clean": batch["clean"][places]}
            for n, place in enumerate(places):
                found[batch["key"][place]] = {name: to_uint8(faces[n]) for name, faces in columns.items()}
    if missing := [key for key in keys if key not in found]:
        raise ValueError(f"no pair has the key {missing[0]!r}")
    return {key: found[key] for key in keys}


def mean_interval(values: Values, samples: int, seed: int) -> Interval:
    """Mean of n finite values and its 95 % bootstrap interval; the same seed and n draw the same resamples."""
    n = len(values)
    if not n or not np.isfinite(values).all():
        raise ValueError(
            f"an interval needs finite values, at least one; got {n - int(np.isfinite(values).sum())} of {n}"
        )
    rng, block = np.random.default_rng(seed), max(1, 2**22 // n)  # resamples at a time: memory stays small
    counts = [min(block, samples - done) for done in range(0, samples, block)]
    means = np.concatenate([values[rng.integers(n, size=(count, n))].mean(1) for count in counts])
    return Interval(float(values.mean()), *map(float, np.percentile(means, [2.5, 97.5])))


def cell(row: Mapping[str, Any], metric: str, digits: int) -> str:
    """``mean [low, high]`` of a row, or what stands in its place."""
    if row[metric] is None:
        return "infinite" if row.get(f"{metric}_infinite") else "none"
    return f"{row[metric]:.{digits}f} [{row[f'{metric}_low']:.{digits}f}, {row[f'{metric}_high']:.{digits}f}]"


def _row(scores: Mapping[str, Values], metrics: Iterable[str], samples: int, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for metric in metrics:
        values = scores.get(metric, np.empty(0))
        finite = values[np.isfinite(values)]
        summary = mean_interval(finite, samples, seed) if len(finite) else (None, None, None)
        row |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), summary, strict=True))
        if metric == "psnr":
            row["psnr_infinite"] = len(values) - len(finite)
    return row


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
