"""Every method on every pair, and what the numbers depend on.

    score = metric(round to 8 bits(method(degraded)), clean)         as the file that it would become

Without originals no batch has ``clean``: metrics that need the clean faces are left out, and the conditions name them.
Faces without a value are counted and listed: equal images (PSNR is infinite), faces that no detector finds, pairs that
cannot be read, faces for which a metric fails (too small). Memory holds one batch, a number for each face and metric,
and for FID and KID the 2048 features of each face.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hifacegan_lib.evaluation.face_values import FaceValues
from hifacegan_lib.evaluation.folder_pairs import FolderPairs
from hifacegan_lib.evaluation.pictures import PictureWriter
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.metrics.fid_kid import small_set_warning
from hifacegan_lib.metrics.metric import Metric
from hifacegan_lib.metrics.registry import FACES, standard
from hifacegan_lib.names import DEFAULT_METRICS, TO_INPUT
from hifacegan_lib.utils import weight_registry
from hifacegan_lib.utils.images import Pixels, to_float, to_uint8
from hifacegan_lib.utils.jobs import Each, ordered, serial
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
    each: Each = serial,
    tick: Callable[[int], object] = lambda _: None,
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
        each: of :func:`hifacegan_lib.utils.jobs.workers`: these score named metrics of :class:`FolderPairs`, block by
            block; batches of another kind, and all with ``methods`` or ``keep``, are scored here.
        tick: is called with the number of pairs that came.
    Raises:
        ValueError: no pairs; a method's name is taken; a method gives anything but such faces (it is named); batches
            with unlike columns; no metric is left.
    """
    if taken := {"degraded", "clean"} & set(methods):
        raise ValueError(f"method '{min(taken)}': this name is the input's, or the reference's")
    by_default, opened = not metrics, None
    if not isinstance(metrics, Mapping):
        names = tuple(metrics or (*DEFAULT_METRICS, *TO_INPUT))
        metrics = standard(names, recogniser=recogniser, statistics=statistics)
        opened = partial(_opened, names, recogniser, statistics, _marks(metrics))
    found, digest = FaceValues(metrics, by_default), hashlib.sha256()
    tally = _Tally(found, digest.update)
    if opened and isinstance(batches, FolderPairs) and each is not serial and not (keep or methods):
        score = partial(_score_block, opened=opened, by_default=by_default, device=device)
        for scored, formats, resized in ordered(each, score, batches.blocks()):
            tick(tally.merge(scored))
            batches.formats.update(formats)
            batches.resized.update(resized)
    else:
        with PictureWriter(keep) if keep else nullcontext() as writer:
            for batch in batches:
                faces = tally.add(methods, batch, device)
                if writer:
                    writer.write(batch["key"], faces)
                tick(len(batch["key"]) + len(batch.get("unreadable", ())))
            tally.check()  # here, so that no pictures are kept of an evaluation that fails
    tally.check()
    keys, unreadable = tally.keys, tally.unreadable
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
        "image_size": ", ".join(sorted(tally.sizes)),
        **found.compared_with(digest.hexdigest()),
        "interval": "95 %, percentile bootstrap of the mean over faces",
        "bootstrap_samples": bootstrap_samples,
        "seed": seed,
        "unreadable": unreadable,
        **_conditions(found, keys, scores),
    }
    known |= {"failed": failed} if failed else {}
    return Evaluation(
        {**CONTRACT, **(conditions or {}), **known}, rows, keys, scores, found.metrics, tally.traces, reference
    )


def _marks(metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Implementation and downloaded files of each metric: what its values depend on."""
    there = weight_registry.is_present
    return tuple(f"{m.implementation} {[file for file in m.backbone if there(file)]}" for m in metrics.values())


@lru_cache(maxsize=1)
def _opened(
    names: tuple[str, ...], recogniser: str | Path | None, statistics: str | Path | None, marks: tuple[str, ...]
) -> dict[str, Metric]:
    """The same metrics in another process, which loads their networks once; ``marks``: those of the first process."""
    metrics = standard(names, recogniser=recogniser, statistics=statistics)
    for name, mark, expected in zip(names, _marks(metrics), marks, strict=True):
        if mark != expected:
            raise ValueError(f"metric '{name}': this worker has {mark}; expected {expected}")
    return metrics


@dataclass
class _Tally:
    """What is known of the batches so far; ``pixels`` takes the bytes of the clean faces, else of the inputs."""

    values: FaceValues
    pixels: Callable[[bytes], object]
    keys: list[str] = field(default_factory=list)
    traces: dict[str, Any] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    sizes: set[str] = field(default_factory=set)

    def add(self, methods: Mapping[str, Method], batch: Batch, device: str | torch.device) -> dict[str, Tensor]:
        """Score a batch; its pictures."""
        self.unreadable |= batch.get("unreadable", {})
        if not batch["key"]:
            return {}
        faces = _columns(methods, batch, device)
        self.keys += batch["key"]
        given = zip(batch["key"], batch.get("trace", ()), strict=False)
        self.traces |= {key: json.loads(trace) for key, trace in given}
        first = faces.get("clean", faces.get("degraded", next(iter(faces.values()))))
        self.sizes.add(f"{first.shape[2]} x {first.shape[3]}")
        self.pixels(np.rint(first.cpu().numpy() * 255).astype(np.uint8).tobytes())
        self.values.add(faces, batch["key"])
        return faces

    def merge(self, scored: tuple[Any, ...]) -> int:
        """Add a block that another process has scored; its number of pairs."""
        values, pixels, keys, unreadable, sizes = scored
        self.unreadable |= unreadable
        if keys:
            self.keys += keys
            self.sizes |= sizes
            self.pixels(pixels)
            self.values.merge(values, keys)
        return len(keys) + len(unreadable)

    def check(self) -> None:
        """Raises ValueError if no pair came."""
        if not self.keys:
            reasons = "".join(f"\n  {key}: {why}" for key, why in list(self.unreadable.items())[:5])
            raise ValueError(f"nothing to evaluate: no pair came{reasons}")


def _score_block(
    pairs: FolderPairs, opened: Callable[[], dict[str, Metric]], by_default: bool, device: str | torch.device
) -> tuple[Any, ...]:
    """Score a block of pairs in another process."""
    pixels = bytearray()
    tally = _Tally(FaceValues(opened(), by_default), pixels.extend)
    for batch in pairs:
        tally.add({}, batch, device)
    tally.values.metrics = {}  # their networks stay here
    scored = tally.values, bytes(pixels), tally.keys, tally.unreadable, tally.sizes
    return scored, pairs.formats, pairs.resized


def _conditions(found: FaceValues, keys: Sequence[str], scores: Mapping[str, Mapping[str, Values]]) -> dict[str, Any]:
    """How each metric was measured, and where there is no value."""
    backbones = sorted({file for metric in found.available.values() for file in metric.backbone})
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
    caution = small_set_warning(len(keys)) if "fid" in found.available else None
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
