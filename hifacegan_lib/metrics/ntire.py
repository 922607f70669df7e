"""The score of NTIRE 2026's challenge of real-world face restoration, and its gate of identity.

    score = CLIPIQA + MANIQA + MUSIQ / 100 + max(0, (10 - NIQE) / 10) + Q-Align / 5 + max(0, (100 - FID) / 100)

Each part is the mean over a set's restored faces; FID is that of the set against FFHQ. So the score is 6 at most. The
gate comes first: the cosine of AdaFace's embeddings of restored face and input must not be below the set's threshold
for more than ten faces. A score of fewer parts would be another score, so a missing part gives none.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

THRESHOLDS = {"wider": 0.30, "webphoto": 0.30, "lfw": 0.60, "celebchild": 0.60, "celeba": 0.50}
"""Kind of set -> least cosine to the input."""
ALLOWED = 10  # faces below the threshold
_PARTS = {
    "clip_iqa": lambda x: x,
    "maniqa": lambda x: x,
    "musiq": lambda x: x / 100,
    "niqe": lambda x: max(0.0, (10 - x) / 10),
    "qalign": lambda x: x / 5,
    "fid": lambda x: max(0.0, (100 - x) / 100),
}
PARTS = tuple(_PARTS)
"""Names of the metrics that the score needs."""


class Gate(NamedTuple):
    """How many of the faces lie below the threshold; a face without a cosine (none was found) counts as below."""

    threshold: float
    below: int
    faces: int

    @property
    def passed(self) -> bool:
        """Whether at most ten faces lie below."""
        return self.below <= ALLOWED

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "failed"
        return f"gate {verdict}: {self.below} of {self.faces} faces below {self.threshold:.2f}, {ALLOWED} are allowed"


class Ntire(NamedTuple):
    """The score; None where a part is missing.

    Attributes:
        parts: name of a metric -> what it adds.
        missing: names of metrics without a value, and "identity" where there are no cosines.
        gate: None where there are no cosines.
    """

    score: float | None
    parts: dict[str, float]
    missing: tuple[str, ...]
    gate: Gate | None

    def __str__(self) -> str:
        lacks = f"no NTIRE score: {', '.join(self.missing)} missing"
        told = lacks if self.score is None else f"NTIRE score {self.score:.4f}"
        return f"{told}; {self.gate}" if self.gate else told


def score(means: Mapping[str, float | None], cosines: Sequence[float] | None, kind: str) -> Ntire:
    """The score and gate of one method on one set.

    Args:
        means: name of a metric -> mean over the set (``fid``: of the set); None, NaN or absent: not measured.
        cosines: of each face, its identity to the input by AdaFace; NaN without a face; None or empty: not measured.
        kind: of set, a key of :data:`THRESHOLDS`.
    Raises:
        ValueError: no such kind.
    """
    if kind not in THRESHOLDS:
        raise ValueError(f"kind of set {kind!r}: unknown; expected one of: {', '.join(THRESHOLDS)}")
    known = {name: value for name in PARTS if (value := means.get(name)) is not None and math.isfinite(value)}
    parts = {name: float(_PARTS[name](value)) for name, value in known.items()}
    threshold = THRESHOLDS[kind]
    gate = Gate(threshold, sum(not cosine >= threshold for cosine in cosines), len(cosines)) if cosines else None
    missing = (*(name for name in PARTS if name not in parts), *(() if gate else ("identity",)))
    return Ntire(None if missing else sum(parts.values()), parts, missing, gate)
