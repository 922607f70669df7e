"""What an evaluation found: rows, each face's values, and the conditions without which no number can be repeated.

``metrics.json`` holds all of it; :meth:`Evaluation.load` reads it back, so that two evaluations can be compared
wherever they were made. ``metrics.csv`` has a line for each method, the conditions beside the numbers in each.
"""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from hifacegan_lib.metrics.full_reference import Metric
from hifacegan_lib.metrics.registry import known
from hifacegan_lib.utils.statistics import Interval, Values, mean_interval, paired


@dataclass(frozen=True)
class Evaluation:
    """What :func:`hifacegan_lib.evaluation.scoring` found.

    Attributes:
        conditions: everything that the numbers depend on, as JSON values.
        rows: a method each: ``method``, ``n``, for each metric its mean, ``_low`` and ``_high`` (None: see
            ``conditions["unavailable"]``), and how many faces are in no mean: ``psnr_infinite`` (equal to the clean
            one), ``faces_not_found`` (None: nobody looked for faces), ``unreadable``.
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

    @property
    def clean(self) -> dict[str, Interval]:
        """What the clean faces have by the metrics that need no reference."""
        finite = {name: values[np.isfinite(values)] for name, values in self.reference.items()}
        return {name: self._interval(values) for name, values in finite.items() if len(values)}

    def best(self, metric: str) -> str | None:
        """The method with the best mean, None where there is none."""
        found = {row["method"]: row[metric] for row in self.rows if row.get(metric) is not None}
        if not found:
            return None
        wanted = self.metrics[metric].higher_is_better
        if wanted is None:
            if metric not in self.clean:
                return None
            return min(found, key=lambda method: abs(found[method] - self.clean[metric].mean))
        return (max if wanted else min)(found, key=lambda method: found[method])

    def gain(self, method: str, over: str = "degraded", metric: str = "psnr") -> Interval:
        """Mean of ``method`` minus ``over``, face by face; faces on which either has no finite value are left out."""
        return self._interval(paired(*self.values(metric, method, over)))

    def pick(self, method: str, count: int = 2, metric: str = "psnr") -> dict[str, list[str]]:
        """Keys of a method's ``count`` best, middle and worst faces (worst first); fewer when there are not enough."""
        (values,) = self.values(metric, method)
        order = np.argsort(-values if self.metrics[metric].higher_is_better else values, kind="stable")
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

    def table(self) -> str:
        """The rows as text; a star marks the best, the last line is what the clean faces have."""
        shown = list(self.available)
        lines = [["method", *(self.metrics[m].title for m in shown)]]
        for row in self.rows:
            cells = [cell(row, m, self.metrics[m].digits) + " *" * (self.best(m) == row["method"]) for m in shown]
            lines.append([row["method"], *cells])
        if self.clean:
            values = {m: f"{self.clean[m].mean:.{self.metrics[m].digits}f}" for m in shown if m in self.clean}
            lines.append(["(clean)", *(values.get(m, "") for m in shown)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

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
        flat = {
            f"condition: {name}": value
            if isinstance(value, str | int | float)
            else json.dumps(value, ensure_ascii=False)
            for name, value in self.conditions.items()
        }
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, [*self.rows[0], *flat], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **flat} for row in self.rows)
        return buffer.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write :meth:`to_csv` and then :meth:`to_json` beside it, under the same name; each whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, text in ((path.with_suffix(".csv"), self.to_csv()), (path, self.to_json())):
            partial = target.with_name(f".{target.name}.partial")
            partial.write_text(text, encoding="utf-8")
            partial.replace(target)
        return path

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
            metrics = {name: known(name, said) for name, said in conditions["metrics"].items()}
            single = [name for name in metrics if name not in conditions["unavailable"] and name in lines[0]]
            scores = {
                row["method"]: {
                    m: np.array([_number(line[m], m) for line in lines if line["method"] == row["method"]])
                    for m in single
                }
                for row in rows
            }
            keys = [line["key"] for line in lines if line["method"] == rows[0]["method"]]
            reference = {
                name: np.array([_number(value, name) for value in values])
                for name, values in found.get("reference", {}).get("per_image", {}).items()
            }
        except (KeyError, TypeError, IndexError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not the metrics.json of an evaluation ({error!r})") from None
        return cls(conditions, rows, keys, scores, metrics, found.get("traces", {}), reference)

    def _interval(self, values: Values) -> Interval:
        return mean_interval(values, self.conditions["bootstrap_samples"], self.conditions["seed"])


def cell(row: Mapping[str, Any], metric: str, digits: int) -> str:
    """``mean [low, high]`` of a row, or what stands in its place."""
    if row[metric] is None:
        return "infinite" if row.get(f"{metric}_infinite") else "none"
    if row[f"{metric}_low"] is None:
        return f"{row[metric]:.{digits}f}"
    return f"{row[metric]:.{digits}f} [{row[f'{metric}_low']:.{digits}f}, {row[f'{metric}_high']:.{digits}f}]"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: float | None, metric: str) -> float:
    """What None stood for: PSNR is infinite, any other metric has no value."""
    return value if value is not None else np.inf if metric == "psnr" else np.nan
