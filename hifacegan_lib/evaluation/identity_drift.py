"""Identity honesty: does a face that looks better still look like the person, and is it so for everyone?

    drift = 1 - similarity(restored, clean)        perceptual gain = LPIPS(degraded, clean) - LPIPS(restored, clean)

A face with a gain and a large drift is the dangerous one: it convinces, and is someone else. Means hide it, so each
face is a dot and the worst are shown. Group labels are the user's own; nothing here guesses what group a face is of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.utils.statistics import Interval, Values, finite_interval, paired

PERCEPTUAL = ("lpips", "lpips_vgg", "lpips_squeeze", "ms_ssim", "ssim")  # the first that there is
SAME_PERSON = 0.363  # SFace's cosine, from which OpenCV's documentation counts two pictures as one person
SHOWN = ("psnr", "ssim", "lpips", "identity")  # metrics of a table of groups
NO_LABEL = "(no label)"
FEW = 10  # faces below which an interval says little


@dataclass(frozen=True)
class Drift:
    """Each face's drift and gain.

    Attributes:
        keys: faces in which the restored and the clean face were found.
        drift, drift_degraded: 1 - cosine to the clean face, 0 to 2, of the restored and of the degraded face (NaN where
            no face was found in it).
        gain: perceptual gain, positive is better, by the metric ``by``.
        worst: keys of the largest drifts, largest first.
        not_found: keys without a value.
    """

    keys: list[str]
    drift: Values
    drift_degraded: Values
    gain: Values
    by: str
    worst: list[str]
    not_found: list[str]

    @property
    def another_person(self) -> int:
        """Faces whose similarity to the clean one is below :data:`SAME_PERSON`."""
        return int((1 - self.drift < SAME_PERSON).sum())

    @property
    def deceptive(self) -> list[str]:
        """Those of them that look better than their input: keys by falling drift."""
        found = [n for n in np.argsort(-self.drift) if 1 - self.drift[n] < SAME_PERSON and self.gain[n] > 0]
        return [self.keys[n] for n in found]


def drift(evaluation: Evaluation, method: str = "model", count: int = 20) -> Drift:
    """Drift against perceptual gain, face by face.

    Raises:
        MetricUnavailable: identity was not measured; the message says why, and with which command it would be.
        ValueError: no such method.
    """
    if "identity" not in evaluation.available:
        reason = evaluation.conditions["unavailable"].get("identity", "it was not asked for")
        raise MetricUnavailable(f"identity was not measured: {reason}")
    by = next((name for name in PERCEPTUAL if name in evaluation.scores["degraded"]), None)
    if by is None:
        raise MetricUnavailable(f"perceptual gain needs one of {', '.join(PERCEPTUAL)}, and none was measured")
    before, after = evaluation.values(by, "degraded", method)
    sign = 1 if evaluation.metrics[by].higher_is_better else -1
    input_alike, alike = evaluation.values("identity", "degraded", method)
    there, keys = np.isfinite(alike), np.array(evaluation.keys)
    order = np.argsort(alike[there], kind="stable")
    return Drift(
        keys=keys[there].tolist(),
        drift=1 - alike[there],
        drift_degraded=1 - input_alike[there],
        gain=(sign * (after - before))[there],
        by=by,
        worst=keys[there][order[:count]].tolist(),
        not_found=keys[~there].tolist(),
    )


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


def by_group(
    evaluation: Evaluation, labels: Mapping[str, str], method: str = "model", over: str | None = "degraded"
) -> pd.DataFrame:
    """A row for each group: faces, each metric's mean, its paired gain over ``over`` with the interval.

    Keys are matched as they are and without their suffix; faces without a label are a group of their own; ``few`` marks
    groups below ten faces, whose intervals say little. Of a metric m the columns are m (the mean), ``m_no_value``
    (faces without a value) and, unless ``over`` is None, ``m_gain``, ``m_gain_low``, ``m_gain_high``.

    Raises:
        ValueError: none of the labels is of a face that was evaluated.
    """
    plain = {str(Path(key).with_suffix("")): label for key, label in labels.items()}
    given = [labels.get(key, plain.get(str(Path(key).with_suffix("")), NO_LABEL)) for key in evaluation.keys]
    if all(label == NO_LABEL for label in given):
        some = f"labels such as {min(labels, default='none')!r}, faces such as {evaluation.keys[0]!r}"
        raise ValueError(f"no label is of an evaluated face: {some}")
    rows, c = [], evaluation.conditions
    for group in sorted(set(given)):
        mine = np.array([label == group for label in given])
        row: dict[str, Any] = {"group": group, "n": int(mine.sum()), "few": bool(mine.sum() < FEW)}
        for name, values in evaluation.scores[method].items():
            finite = values[mine & np.isfinite(values)]
            row[name] = finite.mean() if len(finite) else np.nan
            row[f"{name}_no_value"] = int(np.isnan(values[mine]).sum())
            if over is not None:
                change = paired(values[mine], evaluation.values(name, over)[0][mine])
                gain = finite_interval(change, c["bootstrap_samples"], c["seed"]) or (np.nan,) * 3
                row |= dict(zip((f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high"), gain, strict=True))
        rows.append(row)
    return pd.DataFrame(rows).set_index("group")


def group_table(groups: pd.DataFrame, evaluation: Evaluation, metrics: Sequence[str] = SHOWN) -> pd.DataFrame:
    """What :func:`by_group` found as text to read: of each metric the mean, and the gain with its interval."""
    cells = {"faces": [f"{row.n}{' (few)' if row.few else ''}" for row in groups.itertuples()]}
    metrics = [name for name in metrics if name in groups]
    for name in metrics:
        digits = evaluation.metrics[name].digits
        cells[evaluation.metrics[name].title] = ["none" if np.isnan(x) else f"{x:.{digits}f}" for x in groups[name]]
    for name in metrics if any(f"{name}_gain" in groups for name in metrics) else ():
        gains = groups[[f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high"]].itertuples(index=False)
        text = ["" if np.isnan(gain[0]) else Interval(*gain).text(evaluation.metrics[name].digits) for gain in gains]
        cells[f"{evaluation.metrics[name].label} gain"] = text
    return pd.DataFrame(cells, groups.index)
