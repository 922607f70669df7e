"""The quality of a model's faces against the severity of each kind of damage, and where it falls steeply.

A cell is the mean over faces of metric(model(damaged), clean), with one operation at one severity of its ladder:

    within   every face has the damage that the recipe draws for it, but the step of this kind is the cell's
    alone    the face has no other damage

``trained`` marks severities that the recipe itself draws. A **cliff** is the steepest fall from one severity to the
next, when it is twice what the other steps lose on average, and at least 1 dB (not in dB: a tenth of all values' span).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hifacegan_lib.degradations.operations import MAX_SEED
from hifacegan_lib.degradations.recipes import Recipe, pair_seed
from hifacegan_lib.degradations.severity import LADDERS
from hifacegan_lib.degradations.traces import Step, Trace
from hifacegan_lib.evaluation.identity_drift import PERCEPTUAL
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.scoring import Method, restore
from hifacegan_lib.metrics.metric import Metric, MetricUnavailable
from hifacegan_lib.utils.images import Pixels, to_float
from hifacegan_lib.utils.statistics import Values

KINDS = ("downsample", "gaussian_noise", "laplace_noise", "gaussian_blur", "motion_blur", "jpeg")
BATCH = 16  # faces at a time
RECOGNISED = 112  # side of the faces that SFace compares, pixels


@dataclass(frozen=True)
class Surface:
    """What :func:`surface` measured; all arrays are kinds x severities, NaN where no face has a value.

    Attributes:
        mode: "within" the recipe's other damage, or "alone".
        severities: kind -> its ladder's values, mild to strong.
        restored, degraded: metric -> means of the model's faces, and of its inputs.
        ranges: kind -> (low, high), what the recipe draws; None where it never draws this kind.
        metrics: metric -> its description. ``faces``: how many.
    """

    mode: Literal["within", "alone"]
    severities: dict[str, tuple[float, ...]]
    restored: dict[str, Values]
    degraded: dict[str, Values]
    ranges: dict[str, tuple[float, float] | None]
    metrics: dict[str, Metric]
    faces: int

    @property
    def trained(self) -> NDArray[np.bool_]:
        """Severities that the recipe draws."""
        ends = {kind: found or (np.inf, -np.inf) for kind, found in self.ranges.items()}
        return np.array([[ends[k][0] <= v <= ends[k][1] for v in values] for k, values in self.severities.items()])

    @property
    def sentences(self) -> list[str]:
        """In words: of each kind the steepest fall of the first metric, then the other metrics' cliffs."""
        first, *others = self.metrics
        sharp = [cliff for name in others for cliff in cliffs(self, name) if cliff.sharp]
        return [cliff.sentence for cliff in [*cliffs(self, first), *sharp]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""

        def listed(values: Values) -> list[list[float | None]]:
            return [[None if np.isnan(x) else round(float(x), 4) for x in line] for line in values]

        means = {m: {"restored": listed(self.restored[m]), "degraded": listed(self.degraded[m])} for m in self.metrics}
        shared = {"mode": self.mode, "faces": self.faces, "severities": self.severities, "ranges": self.ranges}
        return {**shared, "means": means, "cliffs": self.sentences}


class Cliff(NamedTuple):
    """The steepest fall of one kind: from severity number ``place`` to the next."""

    kind: str
    place: int
    drop: float
    sharp: bool
    sentence: str


def metrics_for(evaluation: Evaluation) -> dict[str, Metric]:
    """PSNR, the first perceptual metric and identity: those of them that an evaluation has, for :func:`surface`.

    Identity is left out below the recogniser's own size of 112 pixels: it would take most of the time and say little.
    """
    perceptual = next((name for name in PERCEPTUAL if name in evaluation.available), None)
    small = min(int(side) for side in re.findall(r"\d+", evaluation.conditions["image_size"])) < RECOGNISED
    wanted = ("psnr", perceptual, *(() if small else ("identity",)))
    return {name: evaluation.metrics[name] for name in wanted if name in evaluation.available}


def surface(
    method: Method,
    faces: Mapping[str, Pixels],
    recipe: Recipe,
    metrics: Mapping[str, Metric],
    kinds: Sequence[str] = KINDS,
    mode: Literal["within", "alone"] = "within",
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Surface:
    """Measure a model on every severity of every kind.

    Args:
        method: degraded N x 3 x H x W in [0, 1] -> restored, alike.
        faces: key -> clean face, uint8, all of one size; the key draws its damage, as a loader of ``seed`` would.
        metrics: of pairs of images; those that are unavailable for these faces are left out.
    Raises:
        ValueError: no face, sizes that differ, no ladder for a kind.
    """
    if not faces or len({face.shape for face in faces.values()}) != 1:
        raise ValueError(f"expected faces of one size, got {sorted({face.shape[:2] for face in faces.values()})}")
    if unknown := [kind for kind in kinds if kind not in LADDERS]:
        raise ValueError(f"kind '{unknown[0]}': no ladder; there are: {', '.join(LADDERS)}")
    clean = torch.stack([to_float(face) for face in faces.values()]).to(device)
    shape = (len(kinds), len(LADDERS[kinds[0]].values))
    restored, degraded = ({name: np.full(shape, np.nan) for name, m in metrics.items() if m.compute} for _ in range(2))
    for cell in np.ndindex(shape):
        kind, value = kinds[cell[0]], LADDERS[kinds[cell[0]]].values[cell[1]]
        damaged = [_damage(key, face, recipe, kind, value, mode, seed) for key, face in faces.items()]
        inputs = torch.stack([to_float(image) for image in damaged]).to(device)
        outputs = torch.cat([restore("model", method, part) for part in inputs.split(BATCH)])
        for name in list(restored):
            try:
                restored[name][cell], degraded[name][cell] = (_mean(metrics[name], x, clean) for x in (outputs, inputs))
            except MetricUnavailable:
                del restored[name], degraded[name]
    return Surface(
        mode=mode,
        severities={kind: tuple(LADDERS[kind].values) for kind in kinds},
        restored=restored,
        degraded=degraded,
        ranges={kind: trained_range(recipe, kind) for kind in kinds},
        metrics={name: metrics[name] for name in restored},
        faces=len(faces),
    )


def _mean(metric: Metric, images: Tensor, clean: Tensor) -> float:
    """Mean of the finite values of a batch, NaN where there is none."""
    values = metric.compute(images, clean).double()  # type: ignore[misc]
    return values[values.isfinite()].mean().item()


def _damage(key: str, face: Pixels, recipe: Recipe, kind: str, value: float, mode: str, seed: int) -> Pixels:
    grid, ladder, draw = min(face.shape[:2]), LADDERS[kind], pair_seed(key, 0, seed)
    numbers = {**ladder.fixed, ladder.parameter: value}
    if "seed" in numbers:
        numbers["seed"] = draw % (MAX_SEED + 1)
    alone = Trace.of(recipe.name, {"op": kind, **numbers}, grid=grid)
    if mode == "alone":
        return alone.apply(face)
    trace, step = recipe.sample(draw, grid=grid), alone.operations[0]
    return trace.model_copy(update={"operations": _placed(trace.operations, step)}).apply(face)


def _placed(steps: tuple[Step, ...], step: Step) -> tuple[Step, ...]:
    """``step`` in the place of the first one of its family; before all others where there is none."""
    family = LADDERS[step.op].family
    alike = [n for n, other in enumerate(steps) if other.op in LADDERS and LADDERS[other.op].family == family]
    if not alike:
        return (step, *steps)
    return tuple(step if n == alike[0] else other for n, other in enumerate(steps) if n not in alike[1:])


def trained_range(recipe: Recipe, kind: str) -> tuple[float, float] | None:
    """The span of the ladder's parameter over every place where a recipe draws ``kind``; None where it never does."""
    name, entries = LADDERS[kind].parameter, _draws(recipe.to_dict()["operations"])
    ends = [float(value) for entry in entries if entry["op"] == kind for value in np.ravel(entry[name])]
    return (min(ends), max(ends)) if ends else None


def _draws(entries: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for entry in entries:
        if "op" in entry:
            yield entry
        for group in ("one_of", "steps", "shuffled"):
            yield from _draws(entry.get(group, []))


def cliffs(found: Surface, metric: str = "psnr") -> list[Cliff]:
    """Each kind's steepest fall in words, the deepest first.

    Raises:
        ValueError: the metric was not measured.
    """
    if metric not in found.metrics:
        raise ValueError(f"metric '{metric}': not measured; there are: {', '.join(found.metrics)}")
    m, values = found.metrics[metric], found.restored[metric]
    least = 1.0 if m.unit == "dB" else 0.1 * float(np.nanmax(values) - np.nanmin(values))
    listed = []
    for row, kind in enumerate(found.severities):
        drops = np.diff(values[row]) * (-1 if m.higher_is_better else 1)
        if np.isfinite(drops).any():
            place = int(np.nanargmax(drops))
            drop = float(drops[place])
            sharp = drop >= max(least, 2 * float(np.nanmean(np.delete(drops, place))))
            listed.append(Cliff(kind, place, drop, sharp, _sentence(found, metric, row, place, sharp)))
    return sorted(listed, key=lambda cliff: (-cliff.sharp, -cliff.drop))


def _sentence(found: Surface, metric: str, row: int, place: int, sharp: bool) -> str:
    kind, rungs = list(found.severities.items())[row]
    m, ends = found.metrics[metric], found.ranges[kind]
    restored, degraded = found.restored[metric][row], found.degraded[metric][row]
    before, after = (f"{value:.{m.digits}f}" for value in restored[place : place + 2])
    name = f"{kind.replace('_', ' ')}, {LADDERS[kind].parameter}: {'a cliff' if sharp else 'no cliff, steepest'}"
    fall = f"where {m.label} goes from {before} to {after}{f' {m.unit}' if m.unit else ''}"
    side = ("outside", "at the edge of", "inside")[int(found.trained[row, place : place + 2].sum())]
    where = f"{side} the recipe's range, {ends[0]:g} to {ends[1]:g}" if ends else "never drawn by the recipe"
    helps = restored > degraded if m.higher_is_better else restored < degraded
    some = ", ".join(f"{value:g}" for value, good in zip(rungs, helps, strict=True) if good)
    verdict = "at every severity" if helps.all() else f"at {some}" if some else "at no severity"
    step = f"{name} between {rungs[place]:g} and {rungs[place + 1]:g}, {fall}"
    return f"{step}; {where}; the model improves on its input {verdict}."
