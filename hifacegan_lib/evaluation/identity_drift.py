"""Identity honesty: does a face that looks better still look like the person, and is it so for everyone?

    drift = 1 - similarity(restored, clean)        perceptual gain = LPIPS(degraded, clean) - LPIPS(restored, clean)

A face with a gain and a large drift is the dangerous one: it convinces, and is someone else. Means hide it, so each
face is a dot and the worst are shown. Group labels are the user's own; nothing here guesses what group a face is of.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.metrics.full_reference import MetricUnavailable
from hifacegan_lib.utils.statistics import Values, mean_interval, paired

PERCEPTUAL = ("lpips", "lpips_vgg", "lpips_squeeze", "ms_ssim", "ssim")  # the first that there is
SAME_PERSON = 0.363  # SFace's cosine, from which OpenCV's documentation counts two pictures as one person
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
    there = np.isfinite(alike)
    places = np.flatnonzero(there)
    order = places[np.argsort(alike[places], kind="stable")]
    return Drift(
        [evaluation.keys[n] for n in places],
        1 - alike[places],
        1 - input_alike[places],
        (sign * (after - before))[places],
        by,
        [evaluation.keys[n] for n in order[:count]],
        [evaluation.keys[n] for n in np.flatnonzero(~there)],
    )


def read_labels(path: str | Path) -> dict[str, dict[str, str]]:
    """Group labels from a CSV file with a header: ``key`` and one column for each way of grouping.

    Returns:
        column -> key -> label.
    Raises:
        FileNotFoundError: no such file. ValueError: no ``key`` column, nothing beside it, a key that comes twice.
    """
    path = Path(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        names = [name for name in reader.fieldnames or [] if name != "key"]
        if "key" not in (reader.fieldnames or []) or not names:
            raise ValueError(f"{path}: expected a header with 'key' and a column of labels, got {reader.fieldnames}")
        found: dict[str, dict[str, str]] = {name: {} for name in names}
        for number, line in enumerate(reader, 2):
            key = line["key"]
            if key in found[names[0]]:
                raise ValueError(f"{path}, line {number}: key {key!r} comes twice")
            for name in names:
                found[name][key] = (line[name] or "").strip() or NO_LABEL
    return found


def by_group(
    evaluation: Evaluation, labels: Mapping[str, str], method: str = "model", over: str | None = "degraded"
) -> list[dict[str, Any]]:
    """A row for each group: faces, each metric's mean, its paired gain over ``over`` with the interval (None: no gain).

    Keys are matched as they are and without their suffix; faces without a label are a group of their own; ``few`` marks
    groups below ten faces, whose intervals say little.

    Raises:
        ValueError: none of the labels is of a face that was evaluated.
    """
    plain = {str(Path(key).with_suffix("")): label for key, label in labels.items()}
    given = [labels.get(key, plain.get(str(Path(key).with_suffix("")), NO_LABEL)) for key in evaluation.keys]
    if all(label == NO_LABEL for label in given):
        some = f"labels such as {min(labels, default='none')!r}, faces such as {evaluation.keys[0]!r}"
        raise ValueError(f"no label is of an evaluated face: {some}")
    rows = []
    c = evaluation.conditions
    for group in sorted(set(given)):
        mine = np.array([label == group for label in given])
        row: dict[str, Any] = {"group": group, "n": int(mine.sum()), "few": bool(mine.sum() < FEW)}
        for name in evaluation.scores[method]:
            after, before = (values[mine] for values in evaluation.values(name, method, over or method))
            finite = after[np.isfinite(after)]
            change = paired(after, before)
            row[name] = float(finite.mean()) if len(finite) else None
            row[f"{name}_no_value"] = int(np.isnan(after).sum())
            told = over and len(change)
            gain = mean_interval(change, c["bootstrap_samples"], c["seed"]) if told else (None, None, None)
            row |= dict(zip((f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high"), gain, strict=True))
        rows.append(row)
    return rows


def group_table(rows: list[dict[str, Any]], evaluation: Evaluation, metrics: tuple[str, ...]) -> str:
    """The rows as text: of each metric the mean and the gain with its interval."""
    shown = [name for name in metrics if name in rows[0]]
    lines = [["group", "faces", *(f"{evaluation.metrics[m].title}: mean, gain" for m in shown)]]
    for row in rows:
        cells = []
        for m in shown:
            d = evaluation.metrics[m].digits
            mean = "none" if row[m] is None else f"{row[m]:.{d}f}"
            low, high = row[f"{m}_gain_low"], row[f"{m}_gain_high"]
            cells.append(mean + ("" if low is None else f", {row[f'{m}_gain']:+.{d}f} [{low:+.{d}f}, {high:+.{d}f}]"))
        lines.append([row["group"], f"{row['n']}{' (few)' if row['few'] else ''}", *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
