"""Does a face that looks better still look like the same person, and does it in every group of faces?

    drift = 1 - similarity(restored, clean)        perceptual gain = LPIPS(degraded, clean) - LPIPS(restored, clean)

Without originals the drift is from the input, and the gain is that of the first metric that needs no reference. Then a
part of the drift is the input's damage.

A face with a gain and a large drift looks convincing but shows someone else. Means hide such faces, so each face is a
dot and the worst are shown. Group labels come from the user; nothing here guesses the group of a face.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.utils.images import SUFFIXES
from hifacegan_lib.utils.statistics import Interval, finite_interval

PERCEPTUAL = ("lpips", "lpips_vgg", "lpips_squeeze", "ms_ssim", "ssim")  # the first that there is
SAME_PERSON = 0.363  # SFace's cosine, from which OpenCV's documentation counts two pictures as one person
IN_TABLE = ("psnr", "ssim", "lpips", "identity")  # metrics of a table of groups
NO_LABEL = "(no label)"
FEW = 10  # faces below which an interval says little


@dataclass(frozen=True)
class Drift:
    """Each face's drift and gain.

    Attributes:
        faces: a row for each key whose restored and clean face were found: ``drift`` and ``drift_degraded``, 1 - cosine
            to the clean face, 0 to 2, of the restored and of the degraded face (NaN where no face was found in it);
            ``gain``, the perceptual gain, positive is better. The largest drift comes first.
        metric: name of the metric behind the gain.
        not_found: keys without a value.
        origin: where the drift begins: "clean face" or, without originals, "input".
    """

    faces: pd.DataFrame
    metric: str
    not_found: list[str]
    origin: str = "clean face"

    @property
    def another_person(self) -> pd.DataFrame:
        """Faces whose similarity to the clean one is below :data:`SAME_PERSON`."""
        return self.faces[self.faces["drift"] > 1 - SAME_PERSON]

    @property
    def deceptive(self) -> pd.DataFrame:
        """Those of them that look better than their input."""
        return self.another_person[self.another_person["gain"] > 0]


def similarity(evaluation: Evaluation) -> str:
    """The metric behind the drift: ``identity``; without originals ``identity_to_input``."""
    return "identity" if evaluation.originals else "identity_to_input"


def drift(evaluation: Evaluation, method: str = "model") -> Drift:
    """Drift against perceptual gain, face by face.

    Raises:
        MetricUnavailable: identity was not measured; the message says why, and with which command it would be.
        ValueError: no such method.
    """
    identity = similarity(evaluation)
    if identity not in evaluation.available:
        reason = evaluation.conditions["unavailable"].get(identity, "it was not asked for")
        raise MetricUnavailable(f"identity was not measured: {reason}")
    measured, metrics = evaluation.scores["degraded"], evaluation.metrics
    sided = () if evaluation.originals else [name for name in measured if metrics[name].higher_is_better is not None]
    metric = next((name for name in (*PERCEPTUAL, *sided) if name in measured), None)
    if metric is None:
        wanted = f"one of {', '.join(PERCEPTUAL)}" if evaluation.originals else "a metric with a better side"
        raise MetricUnavailable(f"perceptual gain needs {wanted}, and none was measured")
    before, after = evaluation.values(metric, "degraded", method)
    sign = 1 if metrics[metric].higher_is_better else -1
    (alike,) = evaluation.values(identity, method)
    input_alike = measured.get(identity, np.ones_like(alike))
    columns = {"drift": 1 - alike, "drift_degraded": 1 - input_alike, "gain": sign * (after - before)}
    faces = pd.DataFrame(columns, pd.Index(evaluation.keys, dtype="object", name="key"))
    found = faces["drift"].notna()
    ranked = faces[found].sort_values("drift", ascending=False, kind="stable")
    return Drift(ranked, metric, list(faces.index[~found]), "clean face" if evaluation.originals else "input")


def read_labels(path: str | Path) -> dict[str, dict[str, str]]:
    """Group labels from a CSV file with a header: ``key`` and one column for each way of grouping.

    Returns:
        column -> key -> label.
    Raises:
        FileNotFoundError: no such file. ValueError: no ``key`` column, nothing beside it, a key that comes twice.
    """
    try:
        found = pd.read_csv(path, dtype=str, encoding="utf-8-sig", keep_default_na=False, index_col=False).fillna("")
    except ValueError as error:  # no header at all, or a line with too many fields
        raise ValueError(f"{path}: expected a header with 'key' and a column of labels ({error})") from None
    if "key" not in found or len(found.columns) < 2:
        raise ValueError(f"{path}: expected a header with 'key' and a column of labels, got {list(found.columns)}")
    for place in np.flatnonzero(found["key"].duplicated()):
        raise ValueError(f"{path}, line {place + 2}: key {found['key'][place]!r} comes twice")
    labels, names = found.set_index("key"), [str(name) for name in found if name != "key"]
    return {name: {str(key): label.strip() or NO_LABEL for key, label in labels[name].items()} for name in names}


def group_frame(evaluation: Evaluation, labels: Mapping[str, str], method: str = "model") -> pd.DataFrame:
    """A row for each group: faces, each metric's mean, its paired gain over the degraded faces with the interval.

    Keys are matched as they are and without an image file's suffix. Faces without a label are a group of their own.
    ``few`` marks groups below ten faces, whose intervals say little. Of a metric m the columns are m (the mean),
    ``m_no_value`` (faces without a value) and, where there are inputs, ``m_gain``, ``m_gain_low``, ``m_gain_high``.

    Raises:
        ValueError: none of the labels is of a face that was evaluated.
    """
    plain = {_without_suffix(key): label for key, label in labels.items()}
    given = [labels.get(key, plain.get(_without_suffix(key), NO_LABEL)) for key in evaluation.keys]
    if all(label == NO_LABEL for label in given):
        some = f"labels such as {min(labels, default='none')!r}, faces such as {evaluation.keys[0]!r}"
        raise ValueError(f"no label is of an evaluated face: {some}")
    c, rows, before = evaluation.conditions, {}, evaluation.scores.get("degraded", {})
    for group, values in evaluation.faces().loc[method].groupby(given):
        row: dict[str, Any] = {"n": len(values), "few": len(values) < FEW}
        for name, column in values.items():
            row |= {str(name): column[np.isfinite(column)].mean(), f"{name}_no_value": int(column.isna().sum())}
            if name in before:
                change = column - pd.Series(before[str(name)], evaluation.keys)[values.index]
                gain = finite_interval(change.to_numpy(), c["bootstrap_samples"], c["seed"]) or (np.nan,) * 3
                row |= dict(zip((f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high"), gain, strict=True))
        rows[group] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("group")


def _without_suffix(key: str) -> str:
    """A key without the suffix of an image file; ``face 0.5`` has none."""
    return key.removesuffix(suffix) if (suffix := PurePath(key).suffix).lower() in SUFFIXES else key


def group_table(groups: pd.DataFrame, evaluation: Evaluation) -> pd.DataFrame:
    """What :func:`group_frame` found as text: means, then gains, of :data:`IN_TABLE` or, without originals, of all."""
    cells = {"faces": [f"{row.n}{' (few)' if row.few else ''}" for row in groups.itertuples()]}
    names = [name for name in (IN_TABLE if evaluation.originals else evaluation.metrics) if name in groups]
    for metric, values in ((evaluation.metrics[name], groups[name]) for name in names):
        cells[metric.title] = ["none" if np.isnan(x) else f"{x:.{metric.digits}f}" for x in values]
    for name in (name for name in names if f"{name}_gain" in groups):
        metric = evaluation.metrics[name]
        gains = groups[[f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high"]].itertuples(index=False)
        text = ["" if np.isnan(gain[0]) else Interval(*gain).text(metric.digits) for gain in gains]
        cells[f"{metric.label} gain"] = text
    return pd.DataFrame(cells, groups.index)


def group_tables(
    evaluation: Evaluation, labels: Mapping[str, Mapping[str, str]], method: str = "model"
) -> dict[str, pd.DataFrame]:
    """:func:`group_table` of each column of labels."""
    frames = {column: group_frame(evaluation, label_of, method) for column, label_of in labels.items()}
    return {column: group_table(frame, evaluation) for column, frame in frames.items()}
