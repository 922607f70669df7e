"""The value of each face by each metric, gathered batch by batch, with the reason where there is none.

A metric is measured on every column of pictures: "degraded", the methods, "clean". Its second image is the clean face,
the restorer's input or none (:attr:`hifacegan_lib.metrics.metric.Metric.against`); where there is no such column, the
metric is left out.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from hifacegan_lib.metrics.metric import Metric, MetricUnavailable, TooSmall
from hifacegan_lib.utils.item_guard import reason
from hifacegan_lib.utils.statistics import Values


class FaceValues:
    """Values of each column's faces as they come, and the features of sets' metrics; "clean" is a column too.

    Attributes:
        metrics: those that are measured, chosen when the first batch shows which columns there are.
        left_out: "clean" or "degraded" -> the metrics that need this column, where there is none.
        unavailable: metric -> reason.
        columns: names, in their order.
    """

    def __init__(self, metrics: Mapping[str, Metric], by_default: bool = False) -> None:
        self.metrics = dict(metrics)
        self._by_default = by_default
        self.left_out: dict[str, list[str]] = {}
        self.columns: list[str] = []
        self.unavailable: dict[str, str] = {}
        self._failed: dict[str, dict[str, Exception]] = defaultdict(dict)  # metric -> face
        self._parts: dict[str, dict[str, list[Tensor]]] = defaultdict(partial(defaultdict, list))

    def _choose(self, columns: Collection[str]) -> None:
        """Leave out the metrics whose second image is not among the columns; by default, those to the input too."""
        if self._by_default and "clean" in columns:
            self.metrics = {name: metric for name, metric in self.metrics.items() if metric.against != "degraded"}
        for name, metric in list(self.metrics.items()):
            if metric.against and metric.against not in columns:
                self.left_out.setdefault(metric.against, []).append(name)
                del self.metrics[name]
        if self.left_out and not self.metrics:
            raise ValueError(f"no metric is left: {self._says_left_out()}")

    def _says_left_out(self) -> str:
        need = {"clean": "need clean faces", "degraded": "need the restorer's input"}
        return "; ".join(f"{', '.join(names)}: {need[column]}" for column, names in self.left_out.items())

    def compared_with(self, sha256: str) -> dict[str, str]:
        """Conditions: whether there are clean faces or inputs, the SHA-256 of their pixels, and metrics left out."""
        said = {"left_out": self._says_left_out()} if self.left_out else {}
        if "clean" in self.columns:
            return {"clean_sha256": sha256} | said
        return {"originals": "none"} | ({"input_sha256": sha256} if "degraded" in self.columns else {}) | said

    @property
    def available(self) -> dict[str, Metric]:
        """The metrics that are available so far."""
        return {name: metric for name, metric in self.metrics.items() if name not in self.unavailable}

    def failures(self, count: int) -> dict[str, dict[str, str]]:
        """Metric -> face -> reason. A metric that is too large for all ``count`` faces is unavailable.

        Raises:
            Exception: a metric's error, if that came for every face: it is the metric's, not a face's.
        """
        for name, errors in list(self._failed.items()):
            if len(errors) == count:
                error = next(iter(errors.values()))
                if not isinstance(error, TooSmall):
                    raise error
                self.unavailable[name] = str(error)
                del self._failed[name]
        return {name: {key: reason(e, key) for key, e in errors.items()} for name, errors in self._failed.items()}

    def _measure(self, name: str, pictures: Tensor, others: Tensor, keys: Sequence[str]) -> Tensor:
        """N values; if the batch fails, face by face, and NaN for each face that fails alone."""
        try:
            return self.metrics[name].compute(pictures, others).double().cpu()  # type: ignore[misc]
        except Exception as error:
            if isinstance(error, MetricUnavailable) and not isinstance(error, TooSmall):
                raise
            if len(keys) == 1:
                self._failed[name].setdefault(keys[0], error)
                return torch.full((1,), torch.nan, dtype=torch.float64)
            rows = zip(pictures.split(1), others.split(1), keys, strict=True)
            return torch.cat([self._measure(name, picture, face, [key]) for picture, face, key in rows])

    def _join(self, columns: Sequence[str], keys: Sequence[str]) -> None:
        """The first batch shows which columns there are; later ones must have the same."""
        if not self.columns:
            self.columns = list(columns)
            self._choose(columns)
        if self.columns != list(columns):
            before, now = (", ".join(names) for names in (self.columns, columns))
            raise ValueError(f"batch of {keys[0]!r}: its pictures are {now}; those of the first batch were {before}")

    def add(self, faces: Mapping[str, Tensor], keys: Sequence[str]) -> None:
        """Measure a batch: column -> N x 3 x H x W; ``keys``: N names."""
        self._join(list(faces), keys)
        for column, images in faces.items():
            new: dict[str, Tensor] = {}
            for name, metric in self.available.items():
                try:
                    if metric.compute and column != metric.against:
                        new[name] = self._measure(name, images, faces[metric.against or column], keys)
                    elif metric.features and (metric.against or column != "clean"):
                        extractor = self._extractor(name)
                        if extractor not in new:
                            new[extractor] = metric.features(images).cpu()
                except MetricUnavailable as error:
                    self.unavailable[name] = str(error)
            parts = self._parts[column]  # also of a column without values: it is a row
            for what, values in new.items():
                parts[what].append(values)

    def _extractor(self, name: str) -> str:
        """Two metrics of sets may share an extractor; the first one names it."""
        return next(n for n, metric in self.metrics.items() if metric.features is self.metrics[name].features)

    def merge(self, other: "FaceValues", keys: Sequence[str]) -> None:
        """Add what another process measured of the faces ``keys``, which come after those that are here."""
        self._join(other.columns, keys)
        self.unavailable = {**other.unavailable, **self.unavailable}
        for metric, errors in other._failed.items():
            self._failed[metric] |= errors
        for column, found in other._parts.items():
            parts = self._parts[column]
            for what, values in found.items():
                parts[what] += values

    def scores(self) -> dict[str, dict[str, Values]]:
        """Column -> metric -> n values, of the metrics that have a value for each face."""
        return {
            column: {n: torch.cat(parts[n]).numpy() for n, m in self.available.items() if m.compute and n in parts}
            for column, parts in self._parts.items()
        }

    def sets(self) -> dict[str, dict[str, float | None]]:
        """Column -> metrics of whole sets, with ``_low`` and ``_high``."""
        rows: dict[str, dict[str, float | None]] = {column: {} for column in self._parts}
        for name, metric in self.available.items():
            for column in rows.keys() - {"clean"} if metric.distance else ():
                mine, clean = (
                    torch.cat(self._parts[c][self._extractor(name)]).numpy() if c else None
                    for c in (column, metric.against)
                )
                try:
                    summary = metric.distance(mine, clean)  # type: ignore[misc]
                    rows[column] |= dict(zip((name, f"{name}_low", f"{name}_high"), summary, strict=True))
                except MetricUnavailable as error:
                    self.unavailable[name] = str(error)
        return rows
