"""Every method on every pair, and what the numbers depend on.

    score = metric(round to 8 bits(method(degraded)), clean)         as the file that it would become

Without originals no batch has ``clean``: metrics that need the clean faces are left out, and the conditions name them.
A face without a value is counted and listed, never dropped in silence: equal images (PSNR is infinite), faces that no
detector finds, pairs that cannot be read, faces for which a metric fails (too small). Batches come and go: a number for
each face and metric stays, and for FID and KID the 2048 features of each face.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hifacegan_lib.evaluation.face_values import FaceValues
from hifacegan_lib.evaluation.pictures import PictureWriter
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.metrics.fid_kid import small_set_warning
from hifacegan_lib.metrics.metric import Metric
from hifacegan_lib.metrics.registry import FACES, standard
from hifacegan_lib.names import DEFAULT_METRICS, TO_INPUT
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import Pixels, to_float, to_uint8
from hifacegan_lib.utils.statistics import Values, finite_interval

Batch = Mapping[str, Any]
Method = Callable[[Tensor], Tensor]
"""Degraded faces, float RGB, N x 3 x H x W in [0, 1] -> restored faces, alike."""

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
    metrics: Mapping[str, Metric] | Sequence[str] | None = None,
    device: str | torch.device = "cpu",
    keep: str | Path | None = None,
    recogniser: str | Path | None = None,
    statistics: str | Path | None = None,
) -> Evaluation:
    """Judge methods on pairs; the row ``degraded``, the input as it is, always comes first.

    Args:
        methods: name -> method; called without gradients, on ``device``.
        batches: each with ``clean`` and ``degraded``, N x 3 x H x W in [0, 1], ``key``, N names, and perhaps ``trace``,
            N JSON texts that say how the faces were damaged. Pictures that are there already: instead of ``degraded``,
            ``columns``, name -> N x 3 x H x W; these are the rows, and ``degraded`` among them is the methods' input.
            ``unreadable``: key -> reason of pairs that could not be read before this batch. Without originals no batch
            has ``clean``. H and W may be other ones in each batch.
        bootstrap_samples, seed: resamples behind each interval, and what they are drawn by.
        conditions: what the caller knows of the pairs and methods (recipe, data, checkpoint), as JSON values.
        metrics: names, or metrics by name; None: :data:`hifacegan_lib.names.DEFAULT_METRICS`, without originals those
            of :data:`hifacegan_lib.names.TO_INPUT` too. Those that need clean faces or an input that the batches do
            not have are left out; ``conditions["left_out"]`` names them.
        keep: folder for every picture that is scored, see :mod:`hifacegan_lib.evaluation.pictures`.
        recogniser, statistics: of named metrics, see :func:`hifacegan_lib.metrics.registry.standard`.
    Raises:
        ValueError: no pairs; a method's name is taken; a method gives anything but such faces (it is named); batches
            with unlike columns; no metric is left.
    """
    if taken := {"degraded", "clean"} & set(methods):
        raise ValueError(f"method '{min(taken)}': this name is the input's, or the reference's")
    if not isinstance(metrics, Mapping):
        names, by_default = metrics or (*DEFAULT_METRICS, *TO_INPUT), not metrics
        found = FaceValues(standard(names, recogniser=recogniser, statistics=statistics), by_default)
    else:
        found = FaceValues(metrics)
    keys: list[str] = []
    traces: dict[str, Any] = {}
    unreadable: dict[str, str] = {}
    sizes: set[str] = set()
    digest = hashlib.sha256()
    with PictureWriter(keep) if keep else nullcontext() as writer:
        for batch in batches:
            unreadable |= batch.get("unreadable", {})
            if not batch["key"]:
                continue
            faces = _columns(methods, batch, device)
            keys += batch["key"]
            traces |= {key: json.loads(trace) for key, trace in zip(batch["key"], batch.get("trace", ()), strict=False)}
            first = faces.get("clean", faces.get("degraded", next(iter(faces.values()))))
            sizes.add(f"{first.shape[2]} x {first.shape[3]}")
            digest.update(np.rint(first.cpu().numpy() * 255).astype(np.uint8).tobytes())
            found.add(faces, batch["key"])
            if writer:
                writer.write(batch["key"], faces)
        if not keys:
            reasons = "".join(f"\n  {key}: {why}" for key, why in list(unreadable.items())[:5])
            raise ValueError(f"nothing to evaluate: no pair came{reasons}")
        failed = found.failures(len(keys))
    sets, scores = found.sets(), found.scores()
    reference = scores.pop("clean", {})
    rows = []
    for method, values in scores.items():
        missing = [int(np.isnan(values[name]).sum()) for name in FACES if name in values]
        row = {"method": method, "n": len(keys), **_row(values, found.metrics, bootstrap_samples, seed), **sets[method]}
        rows.append(row | {"faces_not_found": max(missing, default=None), "unreadable": len(unreadable)})
    known = {
        "n": len(keys),
        "image_size": ", ".join(sorted(sizes)),
        **found.kind(digest.hexdigest()),
        "interval": "95 %, percentile bootstrap of the mean over faces",
        "bootstrap_samples": bootstrap_samples,
        "seed": seed,
        "unreadable": unreadable,
        **_conditions(found, keys, scores),
    }
    known |= {"failed": failed} if failed else {}
    return Evaluation({**CONTRACT, **(conditions or {}), **known}, rows, keys, scores, found.metrics, traces, reference)


def _conditions(found: FaceValues, keys: Sequence[str], scores: Mapping[str, Mapping[str, Values]]) -> dict[str, Any]:
    """How each metric was measured, and where there is no value."""
    backbones = sorted({file for metric in found.open().values() for file in metric.backbone})
    no_value = {
        method: {m: [keys[int(n)] for n in np.flatnonzero(np.isnan(v))] for m, v in by.items() if np.isnan(v).any()}
        for method, by in scores.items()
    }
    known = {
        "metrics": {name: metric.implementation for name, metric in found.metrics.items()},
        "backbones": {file: weight_registry.sha256(file) for file in backbones},
        "infinite": "null in per_image, left out of means, counted in psnr_infinite",
        "no_value": {method: listed for method, listed in no_value.items() if listed},
        "unavailable": {name: found.unavailable[name] for name in found.metrics if name in found.unavailable},
    }
    caution = small_set_warning(len(keys)) if "fid" in found.open() else None
    return known | ({"fid_caution": caution} if caution else {})


def _columns(methods: Mapping[str, Method], batch: Batch, device: str | torch.device) -> dict[str, Tensor]:
    """The pictures of a batch: the rows in their order, then "clean", if there are originals."""
    columns = {name: faces.to(device) for name, faces in batch.get("columns", {}).items()}
    if methods or not columns:
        degraded = columns["degraded"] if columns else batch["degraded"].to(device)
        columns = columns or {"degraded": restore("degraded", lambda x: x, degraded)}
        columns |= {name: restore(name, method, degraded) for name, method in methods.items()}
    return {**columns, **({"clean": batch["clean"].to(device)} if "clean" in batch else {})}


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
        if places := [n for n, key in enumerate(batch["key"]) if key in keys]:
            chosen = {name: batch[name][places] for name in ("degraded", "clean") if name in batch}
            columns = _columns(methods, chosen, device)
            for n, place in enumerate(places):
                found[batch["key"][place]] = {name: to_uint8(faces[n]) for name, faces in columns.items()}
    if missing := [key for key in keys if key not in found]:
        raise ValueError(f"no pair has the key {missing[0]!r}")
    return {key: found[key] for key in keys}


def _row(scores: Mapping[str, Values], metrics: Iterable[str], samples: int, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for metric in metrics:
        values = scores.get(metric, np.empty(0))
        summary = finite_interval(values, samples, seed) or (None, None, None)
        row |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), summary, strict=True))
        if metric == "psnr":
            row["psnr_infinite"] = int(np.isinf(values).sum())
    return row
