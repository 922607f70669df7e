"""Every method on every pair, and what the numbers depend on.

    score = metric(round to 8 bits(method(degraded)), clean)         as the file that it would become

What a face has no value for is counted and listed, never dropped in silence: equal images (PSNR is infinite), faces
that no detector finds, pairs that cannot be read. Batches come and go: what stays is a number for each face and metric.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.metrics.fid_kid import FeatureSet, caution
from hifacegan_lib.metrics.full_reference import Metric, MetricUnavailable
from hifacegan_lib.metrics.registry import FACES, standard
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import Pixels, to_float, to_uint8
from hifacegan_lib.utils.statistics import Values, mean_interval

Batch = Mapping[str, Any]
Method = Callable[[Tensor], Tensor]
"""Degraded faces, float RGB, N x 3 x H x W in [0, 1] -> restored faces, alike."""
Keep = Callable[[str, str, Pixels], object]
"""Gets the column ("degraded", a method's name, "clean"), the key and the picture of each face."""

CONTRACT = {
    "colour": "RGB, range [0, 1]",
    "rounding": "every output to 8 bits before it is scored",
    "file_format": "none: scored in memory, as lossless 8-bit files would hold it",
    "resize_kernel": "none: scored at the size at which it was restored",
    "crop": "none: every pixel counts",
}
"""What holds unless the caller's conditions say otherwise."""


def evaluate(
    methods: Mapping[str, Method],
    batches: Iterable[Batch],
    bootstrap_samples: int = 1000,
    seed: int = 0,
    conditions: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    device: str | torch.device = "cpu",
    keep: Keep | None = None,
) -> Evaluation:
    """Judge methods on pairs; the row ``degraded``, the input as it is, always comes first.

    Args:
        methods: name -> method; called without gradients, on ``device``.
        batches: each with ``clean`` and ``degraded``, N x 3 x H x W in [0, 1], ``key``, N names, and perhaps ``trace``,
            N JSON texts that say how the faces were damaged.
        bootstrap_samples, seed: resamples behind each interval, and what they are drawn by.
        conditions: what the caller knows of the pairs and methods (recipe, data, checkpoint), as JSON values.
        metrics: by default :func:`hifacegan_lib.metrics.registry.standard`.
        keep: gets every picture that is scored.
    Raises:
        ValueError: no pairs; a method's name is taken; a method gives anything but such faces (it is named).
    """
    if taken := {"degraded", "clean"} & set(methods):
        raise ValueError(f"method '{min(taken)}': this name is the input's, or the reference's")

    def columns(batch: Batch) -> dict[str, Tensor]:
        degraded = batch["degraded"].to(device)
        return {"degraded": restore("degraded", lambda x: x, degraded)} | {
            name: restore(name, method, degraded) for name, method in methods.items()
        }

    return score(columns, batches, bootstrap_samples, seed, conditions, metrics, device, keep)


def score(
    columns: Callable[[Batch], Mapping[str, Tensor]],
    batches: Iterable[Batch],
    bootstrap_samples: int = 1000,
    seed: int = 0,
    conditions: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    device: str | torch.device = "cpu",
    keep: Keep | None = None,
) -> Evaluation:
    """As :func:`evaluate`, for pictures that are there already: ``columns`` gives a batch's, in rows' order.

    ``batches`` may carry ``unreadable``: key -> reason of pairs that could not be read before this batch.
    """
    tally = _Tally(dict(standard() if metrics is None else metrics))
    keys: list[str] = []
    traces: dict[str, Any] = {}
    unreadable: dict[str, str] = {}
    sizes: set[str] = set()
    digest = hashlib.sha256()
    with tally:
        for batch in batches:
            unreadable |= batch.get("unreadable", {})
            if not batch["key"]:
                continue
            clean, found = batch["clean"].to(device), columns(batch)
            keys += batch["key"]
            traces |= {key: json.loads(trace) for key, trace in zip(batch["key"], batch.get("trace", ()), strict=False)}
            sizes.add(f"{clean.shape[2]} x {clean.shape[3]}")
            digest.update(np.rint(clean.cpu().numpy() * 255).astype(np.uint8).tobytes())
            tally.add(found, clean)
            if keep:
                for column, faces in {**found, "clean": clean}.items():
                    for key, face in zip(batch["key"], faces, strict=True):
                        keep(column, key, to_uint8(face))
        if not keys:
            raise ValueError(
                "nothing to evaluate: no pair came"
                + "".join(f"\n  {key}: {reason}" for key, reason in list(unreadable.items())[:5])
            )
        scores, reference = tally.values()
        sets = tally.sets(seed)
    available = {name: metric for name, metric in tally.metrics.items() if name not in tally.unavailable}
    rows = []
    for method, values in scores.items():
        missing = [int(np.isnan(values[name]).sum()) for name in FACES if name in values]
        row = {"method": method, "n": len(keys), **_row(values, tally.metrics, bootstrap_samples, seed)}
        row |= sets.get(method, {})
        rows.append(row | {"faces_not_found": max(missing, default=None), "unreadable": len(unreadable)})
    known = {
        "n": len(keys),
        "image_size": ", ".join(sorted(sizes)),
        "clean_sha256": digest.hexdigest(),
        "metrics": {name: metric.implementation for name, metric in tally.metrics.items()},
        "backbones": {
            file: weight_registry.sha256(file)
            for file in sorted({f for metric in available.values() for f in metric.backbone})
        },
        "interval": "95 %, percentile bootstrap of the mean over faces",
        "bootstrap_samples": bootstrap_samples,
        "seed": seed,
        "infinite": "null in per_image, left out of means, counted in psnr_infinite",
        "no_value": _without_value(keys, scores),
        "unreadable": unreadable,
        "unavailable": {name: tally.unavailable[name] for name in tally.metrics if name in tally.unavailable},
    }
    if "fid" in available and (said := caution(len(keys), len(keys))):
        known["fid_caution"] = said
    everything = {**CONTRACT, **(conditions or {}), **known}
    return Evaluation(everything, rows, keys, scores, tally.metrics, traces, reference)


def _without_value(keys: Sequence[str], scores: Mapping[str, Mapping[str, Values]]) -> dict[str, dict[str, list[str]]]:
    """Method -> metric -> the faces that have none; what has all its values is left out."""
    found = {
        method: {
            m: [key for key, gone in zip(keys, np.isnan(v), strict=True) if gone]
            for m, v in values.items()
            if np.isnan(v).any()
        }
        for method, values in scores.items()
    }
    return {method: by_metric for method, by_metric in found.items() if by_metric}


class _Tally(ExitStack):
    """Values as they come: a number for each face, running sums for what belongs to whole sets."""

    def __init__(self, metrics: dict[str, Metric]) -> None:
        super().__init__()
        self.metrics = metrics
        self.unavailable: dict[str, str] = {}
        self._found: dict[str, dict[str, list[Tensor]]] = {}
        self._clean: dict[str, list[Tensor]] = {}
        self._sets: dict[tuple[Any, str], FeatureSet] = {}

    def add(self, columns: Mapping[str, Tensor], clean: Tensor) -> None:
        for column, faces in columns.items():
            found = self._found.setdefault(column, {})
            for name in self._open(single=True):
                self._measure(name, faces, clean, found.setdefault(name, []))
        for name in self._open(single=True):
            if not self.metrics[name].reference:
                self._measure(name, clean, clean, self._clean.setdefault(name, []))
        seen: set[Any] = set()
        for name in self._open(single=False):
            extractor = self.metrics[name].features
            if extractor not in seen:
                self._try(name, lambda m: self._extend(m.features, {**columns, "clean": clean}))
                seen |= {extractor} if name not in self.unavailable else set()

    def _extend(self, extractor: Any, columns: Mapping[str, Tensor]) -> None:
        for column, faces in columns.items():
            features = extractor(faces)
            if (extractor, column) not in self._sets:
                self._sets[extractor, column] = self.enter_context(FeatureSet())
            self._sets[extractor, column].add(features)

    def _open(self, single: bool) -> list[str]:
        return [n for n, m in self.metrics.items() if n not in self.unavailable and (m.compute is not None) == single]

    def _measure(self, name: str, faces: Tensor, clean: Tensor, found: list[Tensor]) -> None:
        self._try(name, lambda metric: found.append(metric.compute(faces, clean).cpu()))

    def _try(self, name: str, call: Callable[[Any], object]) -> None:
        try:
            call(self.metrics[name])
        except MetricUnavailable as error:
            self.unavailable[name] = str(error)

    def values(self) -> tuple[dict[str, dict[str, Values]], dict[str, Values]]:
        """Method -> metric -> values, and metric -> values of the clean faces."""
        names = self._open(single=True)
        scores = {
            column: {name: torch.cat(found[name]).double().numpy() for name in names}
            for column, found in self._found.items()
        }
        return scores, {n: torch.cat(parts).double().numpy() for n, parts in self._clean.items() if n in names}

    def sets(self, seed: int) -> dict[str, dict[str, float | None]]:
        """Method -> what belongs to the whole set of its faces, with ``_low`` and ``_high``."""
        rows: dict[str, dict[str, float | None]] = {}
        for name in self._open(single=False):
            metric = self.metrics[name]
            for column in self._found:
                pair = [self._sets[metric.features, c] for c in (column, "clean")]

                def measure(m: Any, column: str = column, pair: list[FeatureSet] = pair, name: str = name) -> None:
                    value = dict(zip((name, f"{name}_low", f"{name}_high"), m.distance(*pair, seed), strict=True))
                    rows.setdefault(column, {}).update(value)

                self._try(name, measure)
        return rows


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


def _row(scores: Mapping[str, Values], metrics: Iterable[str], samples: int, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for metric in metrics:
        values = scores.get(metric, np.empty(0))
        finite = values[np.isfinite(values)]
        summary = mean_interval(finite, samples, seed) if len(finite) else (None, None, None)
        row |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), summary, strict=True))
        if metric == "psnr":
            row["psnr_infinite"] = int(np.isinf(values).sum())
    return row
