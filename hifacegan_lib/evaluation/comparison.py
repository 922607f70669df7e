"""Two evaluations of the same faces: what differs, by how much, how surely, and where to look.

    difference = mean over faces of (B - A), with its bootstrap interval: a face's difficulty falls out of it

A win is a face on which B is better. When the clean faces, the damage or the rules of scoring were not the same, the
numbers are not comparable in that respect, and the comparison says so first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from hifacegan_lib.evaluation.image_pairs import unpaired
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.utils.files import read_json
from hifacegan_lib.utils.images import Pixels, load_image
from hifacegan_lib.utils.statistics import Interval, mean_interval, paired

RULES = ("colour", "rounding", "file_format", "resize_kernel", "crop", "metrics", "backbones")


@dataclass(frozen=True)
class Side:
    """One of the two: an evaluation, the method that is compared, and what lies beside it."""

    name: str
    folder: Path
    evaluation: Evaluation
    method: str
    params: Mapping[str, Any]

    @classmethod
    def load(cls, folder: str | Path, method: str = "", name: str = "") -> Self:
        """A folder with metrics.json: a run that notebook 05 judged, or what ``hifacegan evaluate`` wrote.

        Args:
            method: row of the evaluation; by default "model", else "restored", else its only one but the input.
        Raises:
            FileNotFoundError: no metrics.json. ValueError: not one, or no such method; the message lists them.
        """
        folder = Path(folder)
        evaluation = Evaluation.load(folder / "metrics.json")
        others = [found for found in evaluation.scores if found != "degraded"]
        guess = next((n for n in ("model", "restored") if n in others), others[0] if len(others) == 1 else "")
        if (method or guess) not in evaluation.scores:
            raise ValueError(f"{folder}: method {method!r}: there are: {', '.join(evaluation.scores)}; name one")
        params = folder / "params.json"
        found = read_json(params) if params.exists() else {}
        return cls(name or folder.name, folder, evaluation, method or guess, found)

    def picture(self, column: str, key: str) -> Pixels | None:
        """The picture of a face, where it was kept (pictures.json says where); None where it was not."""
        index = self.folder / "pictures.json"
        if not index.exists():
            return None
        files = read_json(index).get(column, {})
        path = self.folder / files[key] if key in files else None  # an absolute path stays what it is
        return load_image(path) if path and path.exists() else None


@dataclass(frozen=True)
class Line:
    """One metric of the comparison; ``better`` is +1 or -1 when the whole interval is on that side, else 0."""

    metric: str
    label: str
    digits: int
    a: float
    b: float
    difference: Interval
    wins: int
    losses: int
    ties: int
    better: int

    @property
    def n(self) -> int:
        """Faces on which both have a value."""
        return self.wins + self.losses + self.ties


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    Attributes:
        lines: a metric each; ``changed``: keys by falling absolute difference of the first of them.
        cautions: sentences: what was not the same, and makes the numbers less comparable.
        params, conditions: name -> (A's, B's), those that differ.
    """

    a: Side
    b: Side
    lines: list[Line]
    changed: dict[str, float]
    cautions: list[str]
    params: dict[str, tuple[Any, Any]]
    conditions: dict[str, tuple[Any, Any]]

    def table(self) -> str:
        """The lines as text."""
        rows = [
            {
                "A": f"{x.a:.{x.digits}f}",
                "B": f"{x.b:.{x.digits}f}",
                "B - A": x.difference.text(x.digits),
                "better": x.wins,
                "worse": x.losses,
                "equal": x.ties,
            }
            for x in self.lines
        ]
        table = pd.DataFrame(rows, [x.label for x in self.lines])
        return table.rename_axis(columns="metric").to_string()

    def verdict(self) -> str:
        """The first metric in a sentence."""
        x = self.lines[0]
        says = {1: "is better than", -1: "is worse than", 0: "cannot be told from"}[x.better]
        return (
            f"B ({self.b.name}) {says} A ({self.a.name}) by {x.label}: {x.difference.text(x.digits)}, "
            f"better on {x.wins} of {x.n} faces"
        )

    def to_json(self) -> str:
        """Strict JSON of everything but the evaluations themselves."""
        value = {
            **{n: {"name": side.name, "method": side.method} for n, side in (("a", self.a), ("b", self.b))},
            "lines": [{**vars(x), "difference": x.difference._asdict()} for x in self.lines],
            **{name: getattr(self, name) for name in ("changed", "cautions", "params", "conditions")},
        }
        return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False, default=str) + "\n"


def compare(a: Side, b: Side, metric: str = "") -> Comparison:
    """Compare B with A, face by face, on every metric that both have; ``metric`` comes first (by default PSNR).

    Raises:
        ValueError: they judged other faces (both sides are listed), or have no metric in common.
    """
    mine, theirs = a.evaluation, b.evaluation
    if said := unpaired(a.name, mine.keys, b.name, theirs.keys):
        raise ValueError(f"{a.name} and {b.name} judged other faces\n{said}")
    common = [m for m in mine.scores[a.method] if m in theirs.scores[b.method]]
    if not common or (metric and metric not in common):
        raise ValueError(f"metric '{metric or 'any'}': not in both; there are: {', '.join(common) or 'none'}")
    common.sort(key=lambda name: name != (metric or "psnr"))
    order = [theirs.keys.index(key) for key in mine.keys]
    lines = [line for name in common if (line := _line(a, b, name, order))]
    if not lines:
        raise ValueError("no face has a finite value in both")
    first = lines[0].metric
    change = theirs.scores[b.method][first][order] - mine.scores[a.method][first]
    ranked = sorted(np.flatnonzero(np.isfinite(change)), key=lambda n: -abs(change[n]))
    return Comparison(
        a,
        b,
        lines,
        {mine.keys[n]: float(change[n]) for n in ranked},
        _cautions(a, b, order),
        differing(a.params, b.params),
        differing(mine.conditions, theirs.conditions),
    )


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ, with both values; None where one side has none."""
    return {key: (a.get(key), b.get(key)) for key in {**a, **b} if a.get(key) != b.get(key)}


def _line(a: Side, b: Side, name: str, order: list[int]) -> Line | None:
    metric, c = a.evaluation.metrics[name], a.evaluation.conditions
    before, after = a.evaluation.scores[a.method][name], b.evaluation.scores[b.method][name][order]
    change = paired(after, before)
    if not len(change):
        return None
    both = np.isfinite(before) & np.isfinite(after)
    towards = change if metric.higher_is_better else -change
    if metric.higher_is_better is None:  # nearer to what the clean face has
        clean = a.evaluation.reference.get(name, np.full(len(both), np.nan))[both]
        towards = np.nan_to_num(abs(before[both] - clean) - abs(after[both] - clean))
    difference, sure = (mean_interval(v, c["bootstrap_samples"], c["seed"]) for v in (change, towards))
    a_mean, b_mean = (float(values[both].mean()) for values in (before, after))
    wins, losses = int((towards > 0).sum()), int((towards < 0).sum())
    counts = (wins, losses, len(change) - wins - losses)
    better = int(sure.low > 0) - int(sure.high < 0)
    return Line(name, metric.title, metric.digits, a_mean, b_mean, difference, *counts, better)


def _cautions(a: Side, b: Side, order: list[int]) -> list[str]:
    mine, theirs = a.evaluation, b.evaluation
    found = []
    if mine.conditions.get("clean_sha256") != theirs.conditions.get("clean_sha256") and order == sorted(order):
        found.append("The clean faces are not the same pixels: the two were judged against other references.")
    damaged = [e.scores.get("degraded", {}).get("psnr") for e in (mine, theirs)]
    if damaged[0] is not None and damaged[1] is not None and not np.allclose(damaged[0], damaged[1][order]):
        found.append("The degraded faces are not the same: the two restored other inputs.")
    for rule in RULES:
        if mine.conditions.get(rule) != theirs.conditions.get(rule):
            found.append(f"They were scored by other rules: {rule.replace('_', ' ')}.")
    return found
