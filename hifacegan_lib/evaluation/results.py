"""What an evaluation found: rows, each face's values, and the conditions without which no number can be repeated.

``metrics.json`` holds all of it; :meth:`Evaluation.load` reads it back, so that two evaluations can be compared
wherever they were made. ``metrics.csv`` has a line for each method, the conditions beside the numbers in each.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from hifacegan_lib.metrics.metric import Metric
from hifacegan_lib.metrics.ntire import PARTS, Ntire, score
from hifacegan_lib.metrics.registry import recorded
from hifacegan_lib.utils.files import write_text
from hifacegan_lib.utils.item_guard import printable
from hifacegan_lib.utils.statistics import Interval, Values, finite_interval, mean_interval, paired

SIZES = 5  # most sizes of faces that a sentence lists; the conditions hold all


@dataclass(frozen=True)
class Evaluation:
    """What :func:`hifacegan_lib.evaluation.scoring` found.

    Attributes:
        conditions: everything that the numbers depend on, as JSON values.
        rows: a method each: ``method``, ``n``, for each metric its mean, ``_low`` and ``_high`` (None: see
            ``conditions["unavailable"]``; of a metric to the input, ``degraded`` has none), and how many faces are in
            no mean: ``psnr_infinite`` (equal to the clean one), ``faces_not_found`` (None: nobody looked for faces),
            ``unreadable``.
        keys: the faces.
        scores: method -> metric -> its n values; unavailable metrics and those of whole sets are absent.
        metrics: all that were asked for.
        traces: face -> how it was damaged, a trace's JSON object, where the pairs came with it.
        reference: metric that needs no clean face -> its n values on the clean faces themselves.
    """

    conditions: dict[str, Any]
    rows: list[dict[str, Any]]
    keys: list[str]
    scores: dict[str, dict[str, Values]]
    metrics: dict[str, Metric]
    traces: dict[str, Any] = field(default_factory=dict)
    reference: dict[str, Values] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """A row for each method: ``n``, and each metric's mean, ``_low`` and ``_high``; empty columns are left out."""
        return pd.DataFrame(self.rows).set_index("method").dropna(axis="columns", how="all")

    def faces(self) -> pd.DataFrame:
        """A row for each method and face, a column for each metric; infinite and NaN as they were measured."""
        keys = pd.Index(self.keys, dtype="object", name="key")  # a name that is not UTF-8 is no text to pandas
        return pd.concat({method: pd.DataFrame(v, keys) for method, v in self.scores.items()}, names=["method"])

    @property
    def per_image(self) -> list[dict[str, Any]]:
        """One line for each face and method; None where a value is infinite, does not exist or is unavailable."""
        single = [name for name, metric in self.metrics.items() if metric.compute]
        return [
            {"key": key, "method": method, **{m: _finite(values[m][n]) if m in values else None for m in single}}
            for n, key in enumerate(self.keys)
            for method, values in self.scores.items()
        ]

    @property
    def available(self) -> dict[str, Metric]:
        """The metrics that have values."""
        return {name: metric for name, metric in self.metrics.items() if name not in self.conditions["unavailable"]}

    @cached_property
    def clean(self) -> dict[str, Interval]:
        """What the clean faces have by the metrics that need no reference."""
        c = self.conditions
        found = {name: finite_interval(v, c["bootstrap_samples"], c["seed"]) for name, v in self.reference.items()}
        return {name: interval for name, interval in found.items() if interval}

    @property
    def originals(self) -> bool:
        """Whether the faces were compared with clean ones."""
        return "originals" not in self.conditions

    @property
    def sizes(self) -> str:
        """Height x width of the faces; of many sizes, how many there are, the smallest and the largest."""
        found = str(self.conditions["image_size"]).split(", ")
        if len(found) <= SIZES:
            return ", ".join(found)
        ordered = sorted(found, key=lambda size: np.prod([int(side) for side in size.split(" x ")]))
        return f"{len(found)} sizes, {ordered[0]} to {ordered[-1]}"

    @property
    def leading(self) -> str:
        """The metric by which faces are ordered: PSNR where it was measured, else the first one with a better side.

        Raises:
            ValueError: no metric has a value for each face.
        """
        measured = list(next(reversed(self.scores.values()), {}))
        sided = [name for name in measured if self.metrics[name].higher_is_better is not None]
        if not measured:
            raise ValueError("no metric has a value for each face")
        return "psnr" if "psnr" in measured else (sided or measured)[0]

    def direction(self, metric: str) -> str:
        """Which values are better, in words."""
        sided = self.originals or self.metrics[metric].higher_is_better is not None
        return self.metrics[metric].direction if sided else "no better side without clean faces"

    def best(self, metric: str) -> str | None:
        """The method with the best mean; None where there is none, or where only the clean faces' value would tell."""
        found = pd.Series({row["method"]: row[metric] for row in self.rows if row.get(metric) is not None}, dtype=float)
        better = self.metrics[metric].higher_is_better
        if better is None and metric in self.clean:
            found, better = (found - self.clean[metric].mean).abs(), False
        if better is None or not len(found):
            return None
        return str(found.idxmax() if better else found.idxmin())

    def gain(self, method: str, over: str = "degraded", metric: str = "") -> Interval:
        """Mean of ``method`` minus ``over``, face by face, by :attr:`leading` or the named metric.

        Faces on which either has no finite value are left out.
        """
        c, values = self.conditions, self.values(metric or self.leading, method, over)
        return mean_interval(paired(*values), c["bootstrap_samples"], c["seed"])

    def gains(self, method: str, metric: str = "") -> pd.DataFrame:
        """:meth:`gain` of a method over each other one: a row each, with the columns mean, low and high."""
        metric = metric or self.leading
        to_input = metric in self.metrics and self.metrics[metric].against == "degraded"  # then the input is no rival
        others = [other for other in self.scores if other != method and not (to_input and other == "degraded")]
        return pd.DataFrame([self.gain(method, other, metric) for other in others], pd.Index(others, name="over"))

    def pick(self, method: str, count: int = 2, metric: str = "") -> dict[str, list[str]]:
        """Keys of a method's ``count`` best, middle and worst faces (worst first); fewer when there are not enough."""
        metric = metric or self.leading
        (values,) = self.values(metric, method)
        order = np.argsort(-values if self.metrics[metric].higher_is_better else values, kind="stable")
        order = order[~np.isnan(values[order])]
        count = min(count, len(order) // 3) or 1
        middle = (len(order) - count) // 2
        places = {"best": order[:count], "median": order[middle : middle + count], "worst": order[::-1][:count]}
        return {name: [self.keys[n] for n in chosen] for name, chosen in places.items()}

    def values(self, metric: str, *methods: str) -> list[Values]:
        """Each method's n values of one metric.

        Raises:
            ValueError: no such method, or the metric has no values.
        """
        for method in methods:
            if method not in self.scores:
                raise ValueError(f"method '{method}': not evaluated; there are: {', '.join(self.scores)}")
            if metric not in self.scores[method]:
                raise ValueError(f"metric '{metric}': not available; there are: {', '.join(self.scores[method])}")
        return [self.scores[method][metric] for method in methods]

    def summary(self) -> pd.DataFrame:
        """The rows as text, ``mean [low, high]``; a star marks the best, the last line is what the clean faces have."""
        names, columns = [row["method"] for row in self.rows], {}
        for m, metric in self.available.items():
            best = self.best(m)
            cells = [cell(row, m, metric.digits) + (" *" if best == row["method"] else "  ") for row in self.rows]
            clean = f"{self.clean[m].mean:.{metric.digits}f}  " if m in self.clean else ""
            columns[metric.title] = [*cells, *([clean] if self.clean else [])]
        table = pd.DataFrame(columns, [*names, *(["(clean)"] if self.clean else [])])
        return table.rename_axis(columns="method")

    def ntire(self, kind: str, method: str = "restored") -> Ntire:
        """The score and gate of NTIRE 2026 of one method, see :mod:`hifacegan_lib.metrics.ntire`.

        FID counts only against statistics, as the challenge's is against FFHQ. The gate is meant for AdaFace's cosines.

        Args:
            kind: of set: wider, webphoto, lfw, celebchild or celeba.
        Raises:
            ValueError: no such method or kind.
        """
        row = next((row for row in self.rows if row["method"] == method), None)
        if row is None:
            raise ValueError(f"method '{method}': not evaluated; there are: {', '.join(self.scores)}")
        means = {name: row.get(name) for name in PARTS}
        if "; against " not in self.conditions["metrics"].get("fid", ""):
            means["fid"] = None
        return score(means, list(self.scores[method].get("identity_to_input", ())), kind)

    def exclusions(self) -> list[str]:
        """Sentences that count what is in no mean: pairs that could not be read, faces without a value."""
        found, n = [], len(self.keys)
        if unreadable := self.conditions.get("unreadable", {}):
            kind = "pairs" if self.originals or "degraded" in self.scores else "pictures"
            count = f"{len(unreadable)} of {len(unreadable) + n}"
            found.append(f"{count} {kind} could not be read: {_some(unreadable, 5)}.")
        for row in self.rows:
            name = row["method"].replace("_", " ")
            if row.get("psnr_infinite"):
                found.append(f"{name}: {row['psnr_infinite']} faces equal the clean one, their PSNR is infinite.")
            for metric, keys in self.conditions.get("no_value", {}).get(row["method"], {}).items():
                label = self.metrics[metric].label
                found.append(f"{name}: no {label} for {len(keys)} of {n} faces: {_some(keys, 3)}.")
        return found

    def to_json(self) -> str:
        """Strict JSON: conditions, rows, reference, per_image, traces."""
        reference = {
            "n": len(self.keys),
            **{k: dict(zip(Interval._fields, v, strict=True)) for k, v in self.clean.items()},
            "per_image": {name: [_finite(v) for v in values] for name, values in self.reference.items()},
        }
        value = {"conditions": self.conditions, "rows": self.rows, "reference": reference}
        value |= {"per_image": self.per_image, "traces": self.traces}
        return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    def to_csv(self) -> str:
        """A line for each method: its row, then every condition, so that no line stands without them."""
        flat = {}
        for name, value in self.conditions.items():
            plain = isinstance(value, str | int | float)
            flat[f"condition: {name}"] = value if plain else printable(json.dumps(value, ensure_ascii=False))
        return pd.DataFrame(self.rows, dtype=object).assign(**flat).to_csv(index=False, lineterminator="\n")

    def save(self, path: str | Path) -> Path:
        """Write :meth:`to_csv` and then :meth:`to_json` beside it, under the same name; each whole or not at all."""
        write_text(Path(path).with_suffix(".csv"), self.to_csv())
        return write_text(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: no such file. ValueError: not such a file; the message names it.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; notebook 05 and `hifacegan evaluate` write one")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            conditions, rows, lines = found["conditions"], found["rows"], found["per_image"]
            metrics = {name: recorded(name, said) for name, said in conditions["metrics"].items()}
            single = [name for name in metrics if name not in conditions["unavailable"] and name in lines[0]]
            by_method = pd.DataFrame(lines, dtype=object).groupby("method", sort=False)
            to_input = [name for name in single if metrics[name].against == "degraded"]
            scores = {
                str(method): {m: _array(part[m], m) for m in single if method != "degraded" or m not in to_input}
                for method, part in by_method
            }
            keys = list(by_method.get_group(rows[0]["method"])["key"])
            measured = found.get("reference", {}).get("per_image", {})
            reference = {name: _array(values, name) for name, values in measured.items()}
        except (KeyError, TypeError, IndexError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not the metrics.json of an evaluation ({error!r})") from None
        return cls(conditions, rows, keys, scores, metrics, found.get("traces", {}), reference)


def cell(row: Mapping[str, Any], metric: str, digits: int) -> str:
    """``mean [low, high]`` of a row, or what stands in its place."""
    if row[metric] is None:
        return "infinite" if row.get(f"{metric}_infinite") else "none"
    if row[f"{metric}_low"] is None:
        return f"{row[metric]:.{digits}f}"
    return f"{row[metric]:.{digits}f} [{row[f'{metric}_low']:.{digits}f}, {row[f'{metric}_high']:.{digits}f}]"


def _some(names: Collection[str], most: int) -> str:
    return ", ".join(list(names)[:most]) + (" ..." if len(names) > most else "")


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _array(values: Iterable[float | None], metric: str) -> Values:
    """Values of metrics.json; None stood for an infinite PSNR, of any other metric for no value."""
    found = np.array(list(values), np.float64)  # None becomes NaN
    return np.where(np.isnan(found), np.inf, found) if metric == "psnr" else found
