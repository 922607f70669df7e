"""What a benchmark found: methods on sets of faces, ranked face by face.

Each method on each set is an evaluation of its own. Differences and ranks are those of
:mod:`hifacegan_lib.utils.statistics`, on the faces of one set.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hifacegan_lib.data.face_sets import FaceSet
from hifacegan_lib.evaluation.methods import INPUT
from hifacegan_lib.evaluation.results import Evaluation, cell
from hifacegan_lib.metrics.metric import Metric
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.names import DEFAULT_METRICS, TO_INPUT
from hifacegan_lib.utils.files import write_text
from hifacegan_lib.utils.item_guard import printable
from hifacegan_lib.utils.statistics import Values, differences, ranks

ROW = "restored"
"""The row of a method's own evaluation."""


@dataclass(frozen=True)
class Asked:
    """How a benchmark is run.

    Attributes:
        metrics: names; those that need clean faces are left out where a set has none.
        samples, seed: of the bootstrap; the seed also of the damage.
        recipe, size: damage of the sets of clean faces; side of a face, pixels, None: as it is.
        tune: folder of clean training faces on which the classical restorers are tuned; None: stated defaults.
        recogniser, statistics: see :func:`hifacegan_lib.metrics.registry.standard`.
        device: of networks and metrics.
    """

    metrics: Sequence[str] = (*DEFAULT_METRICS, *TO_INPUT)
    recipe: str | Path = ""
    size: int | None = None
    seed: int = 0
    samples: int = 1000
    tune: Path | None = None
    recogniser: str | Path | None = None
    statistics: str | Path | None = None
    device: str = "cpu"

    def standard(self) -> dict[str, Metric]:
        """The metrics, not loaded yet."""
        return standard(self.metrics, recogniser=self.recogniser, statistics=self.statistics)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, paths without their folders, which are private."""
        paths = {name: getattr(self, name) for name in ("recipe", "tune", "recogniser", "statistics")}
        return vars(self) | {name: Path(path).name if path else None for name, path in paths.items()}


def row_of(found: Evaluation) -> dict[str, Any]:
    """The row of a method in its own evaluation: the last one, after the input if that is there."""
    return found.rows[-1]


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark found.

    Attributes:
        folder: of all its files.
        asked: how it was run.
        sets: name -> set, as it was read.
        cards: method -> what it is, as JSON values; None: it could not be loaded.
        evaluations: (set, method) -> its evaluation; the row is "restored".
        files: (set, method) -> key -> picture.
        failed: (set, method) -> reason.
    """

    folder: Path
    asked: Asked
    sets: Mapping[str, FaceSet]
    cards: Mapping[str, Mapping[str, Any] | None]
    evaluations: Mapping[tuple[str, str], Evaluation]
    files: Mapping[tuple[str, str], Mapping[str, Path]]
    failed: Mapping[tuple[str, str], str]

    def of(self, name: str) -> dict[str, Evaluation]:
        """Method -> evaluation on a set."""
        return {method: found for (of, method), found in self.evaluations.items() if of == name}

    def metrics(self, name: str) -> dict[str, Metric]:
        """The metrics that have a value for some method on a set."""
        known = [found.available for found in self.of(name).values()]
        wanted = {m: metric for available in known for m, metric in available.items()}
        return {m: wanted[m] for m in self.asked.metrics if m in wanted}

    def goodness(self, name: str, metric: str) -> dict[str, Values]:
        """Method -> values on a set's faces, the higher the better; empty: the metric has no better side there."""
        found = {}
        for method, e in self.of(name).items():
            if (values := e.scores[ROW].get(metric)) is not None:
                higher = e.metrics[metric].higher_is_better
                if higher is not None:
                    found[method] = values if higher else -values
                elif metric in e.reference:
                    found[method] = -np.abs(values - e.reference[metric])
        return found

    @cached_property
    def ranks(self) -> dict[str, dict[str, dict[str, int]]]:
        """Set -> metric -> method -> rank, best first; :mod:`hifacegan_lib.utils.statistics` has the rule."""
        how = self.asked.samples, self.asked.seed
        return {name: {m: ranks(self.goodness(name, m), *how) for m in self.metrics(name)} for name in self.sets}

    def leading(self, name: str) -> str:
        """The metric by which faces are picked: PSNR, else the first with a better side; "": none has values."""
        sided = [m for m, by in self.ranks[name].items() if by]
        return "psnr" if "psnr" in sided else next(iter(sided), "")

    def examples(self, name: str) -> dict[str, str]:
        """Place -> face: the best, the middle and the worst by the mean of all methods in :meth:`leading`.

        Where no metric has a better side, the first, the middle and the last.
        """
        found = self.of(name)
        if not found:
            return {}
        keys, good = next(iter(found.values())).keys, self.goodness(name, self.leading(name))
        values = [v for method, v in good.items() if method != INPUT] or list(good.values())
        mean = np.mean(values, axis=0) if values else -np.arange(len(keys), dtype=float)
        order = np.argsort(-mean, kind="stable")
        order = order[~np.isnan(mean[order])]
        first, last = ("best", "worst") if values else ("first", "last")
        places = {len(order) // 2: "middle", len(order) - 1: last} | {0: first}  # two faces: first and last; one: first
        return {place: keys[order[n]] for n, place in sorted(places.items()) if 0 <= n < len(order)}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each set and method, in the order in which they were asked for; means, intervals, ranks, marks."""
        found = []
        for name, faces in self.sets.items():
            for method, card in self.cards.items():
                row: dict[str, Any] = {"set": name, "method": method, "failed": self.failed.get((name, method))}
                if e := self.evaluations.get((name, method)):
                    row |= {key: value for key, value in row_of(e).items() if key != "method"}
                    row |= {f"{m}_rank": by[method] for m, by in self.ranks[name].items() if method in by}
                    if faces.card.ntire and method != INPUT:
                        row["ntire"] = str(e.ntire(faces.card.ntire, ROW))
                row |= {"restorer": (card or {}).get("name"), "restorer_sha256": (card or {}).get("sha256")}
                row |= {"set_fingerprint": faces.fingerprint, "set_remarks": "; ".join(faces.remarks)}
                found.append(row)
        return found

    def frame(self) -> pd.DataFrame:
        """The rows, by set and method; of each metric the mean, ``_low``, ``_high`` and ``_rank``; no empty column."""
        return pd.DataFrame(self.rows).set_index(["set", "method"]).dropna(axis="columns", how="all")

    def summary(self, name: str) -> pd.DataFrame:
        """A set's rows as text: ``mean [low, high] #rank``, or why a method has none."""
        columns = {}
        for m, metric in self.metrics(name).items():
            texts = {method: cell(row_of(e), m, metric.digits) for method, e in self.of(name).items() if m in row_of(e)}
            ranked = self.ranks[name][m]
            columns[metric.title] = {k: f"{text} #{ranked[k]}" if k in ranked else text for k, text in texts.items()}
        table = pd.DataFrame(columns).reindex(list(self.cards)).fillna("").rename_axis(name)
        table.loc[[method for method in self.cards if (name, method) in self.failed]] = "failed"
        return table

    def differences(self, name: str, metric: str, over: str = "") -> pd.DataFrame:
        """Each method minus ``over`` (by default the best) on a set, face by face: mean, low, high and n.

        Raises:
            ValueError: no such set, method or metric with values.
        """
        scores = {m: e.scores[ROW][metric] for m, e in self.of(name).items() if metric in e.scores[ROW]}
        over = over or next(iter(self.ranks.get(name, {}).get(metric, scores)), "")
        if over not in scores:
            raise ValueError(f"{name}, {metric}, over {over!r}: no values; there are: {', '.join(scores) or 'none'}")
        return differences(scores, over, self.asked.samples, self.asked.seed)

    @property
    def complete(self) -> bool:
        """Whether every method has every metric of every face, but for metrics that are not available here."""
        unread = any(faces.unreadable for faces in self.sets.values())
        return not self.failed and not unread and not any("failed" in e.conditions for e in self.evaluations.values())

    def to_json(self) -> str:
        """Strict JSON: how it was asked, sets, methods, rows, and each difference to the best."""
        value = {
            "asked": self.asked.to_dict(),
            "sets": {
                name: faces.conditions | {"unreadable": dict(faces.unreadable)} for name, faces in self.sets.items()
            },
            "methods": self.cards,
            "rows": self.rows,
            "differences": {
                name: {m: self.differences(name, m).reset_index().to_dict("records") for m, by in found.items() if by}
                for name, found in self.ranks.items()
            },
        }
        return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    def save(self) -> Path:
        """Write benchmark.json and benchmark.csv into the folder; the path of the first."""
        frame = pd.DataFrame(self.rows, dtype=object)
        write_text(self.folder / "benchmark.csv", printable(frame.to_csv(index=False, lineterminator="\n")))
        return write_text(self.folder / "benchmark.json", self.to_json())
