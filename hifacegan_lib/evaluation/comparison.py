"""Two evaluations of the same faces, compared face by face.

    difference = mean over faces of (B - A), with its bootstrap interval; a face that is hard for both does not widen it

A win is a face on which B is better. Where the clean faces, the damage or the rules of scoring were not the same, the
comparison begins with a caution.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.utils.files import read_json
from hifacegan_lib.utils.inputs import unpaired
from hifacegan_lib.utils.statistics import Interval, mean_interval

COUNTED = {"better": "wins", "worse": "losses", "equal": "ties"}
RULES = ("colour", "rounding", "file_format", "resize_kernel", "crop", "metrics", "backbones")


@dataclass(frozen=True)
class EvaluatedRun:
    """One of the two: a folder with an evaluation, the method that is compared, and the parameters of the run."""

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


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    Attributes:
        metrics: a row for each metric: ``label``; ``digits`` to show; the means ``a`` and ``b``; ``difference``, B - A,
            with its interval, ``low`` and ``high``; on how many faces B ``wins``, ``losses`` and ``ties``, None where
            only the clean faces' value would tell and there is none; the number of faces, ``n``; ``better``, +1 or -1
            when the whole interval is on that side, else 0.
        changed: keys by falling absolute difference of the first metric.
        cautions: sentences about conditions that were not the same and make the numbers less comparable.
        params, conditions: name -> (A's, B's), those that differ.
    """

    a: EvaluatedRun
    b: EvaluatedRun
    metrics: pd.DataFrame
    changed: dict[str, float]
    cautions: list[str]
    params: dict[str, tuple[Any, Any]]
    conditions: dict[str, tuple[Any, Any]]

    def summary(self) -> pd.DataFrame:
        """The metrics as text to read."""
        rows = {
            x.label: {
                "A": f"{x.a:.{x.digits}f}",
                "B": f"{x.b:.{x.digits}f}",
                "B - A": Interval(x.difference, x.low, x.high).text(x.digits),
                **{name: "" if x[n] is None else x[n] for name, n in COUNTED.items()},
            }
            for _, x in self.metrics.iterrows()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns="metric")

    def verdict(self) -> str:
        """The first metric in a sentence."""
        x = self.metrics.iloc[0]
        difference = Interval(x.difference, x.low, x.high).text(x.digits)
        if x.wins is None:
            return f"{x.label}, B - A: {difference} (no better side)"
        relation = {1: "is better than", -1: "is worse than", 0: "cannot be told from"}[x.better]
        return (
            f"B ({self.b.name}) {relation} A ({self.a.name}) by {x.label}: {difference}, "
            f"better on {x.wins} of {x.n} faces"
        )

    def to_json(self) -> str:
        """Strict JSON of everything but the evaluations themselves."""
        value = {
            **{n: {"name": run.name, "method": run.method} for n, run in (("a", self.a), ("b", self.b))},
            "metrics": self.metrics.reset_index().to_dict("records"),
            **{name: getattr(self, name) for name in ("changed", "cautions", "params", "conditions")},
        }
        return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False, default=str) + "\n"


def compare(a: EvaluatedRun, b: EvaluatedRun, metric: str = "") -> Comparison:
    """Compare B with A, face by face, on every metric that both have; ``metric`` comes first (by default
    PSNR, else the first one with a better side).

    Raises:
        ValueError: they judged other faces (both sides are listed), or have no metric in common.
    """
    mine, theirs = a.evaluation, b.evaluation
    if said := unpaired(a.name, mine.keys, b.name, theirs.keys):
        raise ValueError(f"{a.name} and {b.name} judged other faces\n{said}")
    common = [m for m in mine.scores[a.method] if m in theirs.scores[b.method]]
    if not common or (metric and metric not in common):
        raise ValueError(f"metric '{metric or 'any'}': not in both; there are: {', '.join(common) or 'none'}")
    sided = [name for name in common if mine.metrics[name].higher_is_better is not None]
    first = metric or ("psnr" if "psnr" in common else (sided or common)[0])
    common.sort(key=lambda name: name != first)
    order = [theirs.keys.index(key) for key in mine.keys]
    rows = [row for name in common if (row := _difference(a, b, name, order))]
    if not rows:
        raise ValueError("no face has a finite value in both")
    table = pd.DataFrame(rows)
    for side in COUNTED.values():  # pandas alone would make NaN of None, and floats of the counts
        counts = [row[side] for row in rows]
        table[side] = pd.Series(counts, dtype=object if None in counts else int)
    first = rows[0]["metric"]
    change = theirs.scores[b.method][first][order] - mine.scores[a.method][first]
    ranked = sorted(np.flatnonzero(np.isfinite(change)), key=lambda n: -abs(change[n]))
    return Comparison(
        a,
        b,
        table.set_index("metric"),
        {mine.keys[n]: float(change[n]) for n in ranked},
        _cautions(a, b, order),
        differing(a.params, b.params),
        differing(mine.conditions, theirs.conditions),
    )


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ, with both values; None where one side has none."""
    return {key: (a.get(key), b.get(key)) for key in {**a, **b} if a.get(key) != b.get(key)}


def _difference(a: EvaluatedRun, b: EvaluatedRun, name: str, order: list[int]) -> dict[str, Any] | None:
    """One row of :attr:`Comparison.metrics`; None where no face has a finite value in both."""
    metric, c = a.evaluation.metrics[name], a.evaluation.conditions
    before, after = a.evaluation.scores[a.method][name], b.evaluation.scores[b.method][name][order]
    both = np.isfinite(before) & np.isfinite(after)
    if not both.any():
        return None
    before, after = before[both], after[both]
    towards = (after - before) * (1 if metric.higher_is_better else -1)
    if metric.higher_is_better is None:  # nearer to what the clean face has
        clean = a.evaluation.reference[name][both] if name in a.evaluation.reference else np.nan
        towards = np.nan_to_num(abs(before - clean) - abs(after - clean))
    known = metric.higher_is_better is not None or a.evaluation.originals
    difference, sure = (mean_interval(v, c["bootstrap_samples"], c["seed"]) for v in (after - before, towards))
    row = {"metric": name, "label": metric.title, "digits": metric.digits}
    row |= {"a": float(before.mean()), "b": float(after.mean()), "difference": difference.mean}
    row |= {"low": difference.low, "high": difference.high}
    counts = {side: int((np.sign(towards) == sign).sum()) for side, sign in (("wins", 1), ("losses", -1), ("ties", 0))}
    row |= counts if known else dict.fromkeys(counts)
    return row | {"n": len(towards), "better": int(sure.low > 0) - int(sure.high < 0)}


def _cautions(a: EvaluatedRun, b: EvaluatedRun, order: list[int]) -> list[str]:
    mine, theirs = a.evaluation, b.evaluation
    other, found = differing(mine.conditions, theirs.conditions), []
    if mine.originals != theirs.originals:
        found.append("Only one of them has clean faces: the metrics that need them are not compared.")
    elif "input_sha256" in other and order == sorted(order):
        found.append("The inputs are not the same pixels: the two restored other pictures, or one was scored without.")
    elif "clean_sha256" in other and order == sorted(order):
        found.append("The clean faces are not the same pixels: the two were judged against other references.")
    damaged, theirs_damaged = (e.scores.get("degraded", {}).get("psnr") for e in (mine, theirs))
    if damaged is not None and theirs_damaged is not None and not np.allclose(damaged, theirs_damaged[order]):
        found.append("The degraded faces are not the same: the two restored other inputs.")
    return [*found, *(f"They were scored by other rules: {rule.replace('_', ' ')}." for rule in RULES if rule in other)]
