"""The same pictures, scored by other rules: how far would the numbers move, though no picture got better or worse?

    moved = mean of the values under a protocol - mean of the values under ours

A protocol says what is scored (the pictures after what was done to them), of which faces, and how the values become one
number. Some are conventions, to be named beside the number; some are mistakes. Ours: eight bits as PNG keeps them, RGB,
whole pictures at full size, every face, the plain mean; values that are infinite are left out of it and counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hifacegan_lib.degradations.compression import jpeg
from hifacegan_lib.metrics.full_reference import MetricUnavailable, psnr
from hifacegan_lib.utils.images import Pixels, check_pixels, to_float

Values = NDArray[np.float64]
Score = Callable[[Tensor, Tensor], Tensor]
BATCH = 24  # of the protocols that go by batches: faces; seldom a divisor of their number


class Face(NamedTuple):
    """Three pictures of a face: uint8 RGB, H x W x 3, of one size."""

    degraded: Pixels
    restored: Pixels
    clean: Pixels


@dataclass(frozen=True)
class Protocol:
    """A way to score restored faces.

    Attributes:
        says: what is done, who does it or why it moves numbers; one sentence.
        pictures: what is scored instead of restored and clean; None: these.
        keep: (faces, seed) -> the places of those that are scored; None: all.
        mean: (values, number of faces that ``keep`` dropped) -> the number that is reported.
        metrics: the names of those that it concerns; none: all.
    """

    name: str
    kind: Literal["ours", "convention", "mistake"]
    says: str
    pictures: Callable[[Face], tuple[Pixels, Pixels]] | None = None
    keep: Callable[[Sequence[Face], int], list[int]] | None = None
    mean: Callable[[Values, int], float] = lambda values, _: float(values.mean())
    metrics: tuple[str, ...] = ()

    def apply(self, faces: Sequence[Face], seed: int = 0) -> tuple[list[Pixels], list[Pixels], list[int]]:
        """Restored and clean pictures as they would be scored, and the places of their faces."""
        kept = list(range(len(faces))) if self.keep is None else self.keep(faces, seed)
        pairs = [self.pictures(faces[n]) if self.pictures else faces[n][1:] for n in kept]
        return [restored for restored, _ in pairs], [clean for _, clean in pairs], kept


OURS = Protocol("ours", "ours", "PNG, RGB, whole pictures, every face, the mean over faces.")


def jpeg_triptych(quality: int = 95) -> Protocol:
    """Degraded, restored and clean side by side in one JPEG file, cut apart again."""

    def pictures(face: Face) -> tuple[Pixels, Pixels]:
        width = face.clean.shape[1]
        sheet = jpeg(np.hstack(face), quality)
        return sheet[:, width : 2 * width], sheet[:, 2 * width :]

    return Protocol(
        *(f"jpeg_triptych_{quality}", "mistake"),
        "Scores are read from the picture that was saved for looking, degraded, restored and clean in one JPEG of "
        f"quality {quality}: output and reference are damaged alike, and colours run over the seams.",
        pictures,
    )


def jpeg_outputs(quality: int = 90) -> Protocol:
    """Restored faces as JPEG, the reference as PNG."""
    return Protocol(
        *(f"jpeg_outputs_{quality}", "mistake"),
        f"Outputs are saved as JPEG of quality {quality} before they are scored, the reference is not: its loss, "
        "or the noise that it smooths away, counts as the method's.",
        lambda face: (jpeg(face.restored, quality), face.clean),
    )


BGR_BOTH = Protocol(
    *("bgr_both", "mistake"),
    "Both are read by OpenCV and never turned to RGB: PSNR and SSIM over channels do not see it, networks trained "
    "on RGB (LPIPS, FID, identity) score other colours.",
    lambda face: (_swap(face.restored), _swap(face.clean)),
)

BGR_RESTORED = Protocol(
    *("bgr_restored", "mistake"),
    "The output is read by OpenCV, the reference by Pillow: red is compared with blue.",
    lambda face: (_swap(face.restored), face.clean),
)

LUMA_ONLY = Protocol(
    *("luma_only", "convention"),
    "Super-resolution scores Y of BT.601, 16 to 235, against a peak of 255: errors of colour do not count, and the "
    "narrower range alone is worth 1.3 dB.",
    lambda face: (_luma(face.restored), _luma(face.clean)),
)

LUMA_OF_BGR = Protocol(
    *("luma_of_bgr", "mistake"),
    "Y is computed from what OpenCV read as if it were RGB: blue weighs as red should, in output and reference.",
    lambda face: (_luma(_swap(face.restored)), _luma(_swap(face.clean))),
)


def cropped_border(pixels: int = 4) -> Protocol:
    """A border is left out."""
    inside = slice(pixels, -pixels or None)
    return Protocol(
        *(f"cropped_border_{pixels}", "convention"),
        f"Super-resolution leaves out {pixels} pixels at each side, where networks lack context.",
        lambda face: (face.restored[inside, inside], face.clean[inside, inside]),
    )


RESIZED_REFERENCES = Protocol(
    *("resized_references", "mistake"),
    "Both are made half as large (bilinear) before they are scored: fine errors are averaged away.",
    lambda face: (_halve(face.restored), _halve(face.clean)),
)


def dropped_last_batch(batch: int = BATCH) -> Protocol:
    """Only full batches."""
    return Protocol(
        *("dropped_last_batch", "mistake"),
        f"A loader made for training drops the last batch when it has fewer than {batch} faces: they are never scored.",
        keep=lambda faces, _: list(range(len(faces) // batch * batch)),
    )


def faces_not_found_dropped(which: Sequence[int] | None = None, share: float = 0.1) -> Protocol:
    """Without the faces at the places ``which``; None: without the ``share`` that is worst by PSNR, at least one."""

    def keep(faces: Sequence[Face], _: int) -> list[int]:
        worst = np.argsort([_value(psnr, face.restored, face.clean) for face in faces], kind="stable")
        gone = worst[: _few(share, len(faces))].tolist() if which is None else which
        return [n for n in range(len(faces)) if n not in gone]

    stand_in = f"; here the {share:.0%} lowest by PSNR stand for them" if which is None else ""
    return Protocol(
        *("faces_not_found_dropped", "mistake"),
        f"Faces that a detector does not find after restoring are silently left out: the worst do not count{stand_in}.",
        keep=keep,
    )


def unreadable_as_80(share: float = 0.05) -> Protocol:
    """A ``share`` of the pairs, drawn by seed, at least one, cannot be read."""

    def keep(faces: Sequence[Face], seed: int) -> list[int]:
        gone = np.random.default_rng(seed).choice(len(faces), _few(share, len(faces)), replace=False)
        return [n for n in range(len(faces)) if n not in gone]

    return Protocol(
        *("unreadable_as_80", "mistake"),
        f"A bare `except` counts a pair that cannot be read as 80 dB, an almost perfect one; here {share:.0%} of them.",
        keep=keep,
        mean=lambda values, dropped: float((values.sum() + 80 * dropped) / (len(values) + dropped)),
        metrics=("psnr",),
    )


MEAN_OF_MSE = Protocol(
    *("mean_of_mse", "convention"),
    "The squared errors are averaged over faces and made one PSNR: never higher than the mean of PSNRs, and led by "
    "the worst faces.",
    mean=lambda values, _: float(-10 * np.log10(np.mean(10 ** (-values / 10)))),
    metrics=("psnr",),
)


def mean_of_batches(batch: int = BATCH) -> Protocol:
    """The mean of batches' means."""
    return Protocol(
        *("mean_of_batches", "mistake"),
        f"Each batch of {batch} gives its mean, and those are averaged: a face in a smaller last batch weighs more.",
        mean=lambda values, _: float(np.mean([values[n : n + batch].mean() for n in range(0, len(values), batch)])),
    )


def standard() -> list[Protocol]:
    """Ours first, then conventions and mistakes of the literature."""
    return [
        *(OURS, jpeg_triptych(95), jpeg_triptych(75), jpeg_outputs(), BGR_BOTH, BGR_RESTORED, LUMA_ONLY),
        *(LUMA_OF_BGR, cropped_border(4), cropped_border(8), RESIZED_REFERENCES, dropped_last_batch()),
        *(faces_not_found_dropped(), unreadable_as_80(), MEAN_OF_MSE, mean_of_batches()),
    ]


def moved(
    protocols: Sequence[Protocol],
    restored: Sequence[Pixels],
    clean: Sequence[Pixels],
    degraded: Sequence[Pixels],
    metrics: Mapping[str, Score],
    seed: int = 0,
) -> list[dict[str, Any]]:
    """A row for each protocol and metric that it concerns.

    ``protocol``, ``kind``, ``says``, ``metric``; ``n`` values in the mean; ``left_out``: faces without a finite value
    in it; ``value``, the mean, and ``moved``, its difference to ours: None where there is no value; ``why`` then says
    why not.

    Args:
        metrics: name -> (image, clean) -> N values, as in :mod:`hifacegan_lib.metrics.full_reference`.
    Raises:
        ValueError: no faces, pictures that are none, lists or pictures of different sizes.
    """
    faces = _faces(degraded, restored, clean)
    unchanged = {name: _measure(score, restored, clean) for name, score in metrics.items()}
    base = {name: _row(OURS, name, values, len(faces))["value"] for name, values in unchanged.items()}
    rows = []
    for protocol in protocols:
        images, references, kept = protocol.apply(faces, seed)
        for name, score in metrics.items():
            if protocol.metrics and name not in protocol.metrics:
                continue
            found = unchanged[name]
            if protocol.pictures:
                found = _measure(score, images, references)
            elif not isinstance(found, str):
                found = found[kept]
            row = _row(protocol, name, found, len(faces))
            there = row["value"] is not None and base[name] is not None
            rows.append({**row, "moved": row["value"] - base[name] if there else None})
    return rows


def table(rows: Sequence[Mapping[str, Any]], digits: Mapping[str, int] | None = None) -> str:
    """The rows as text: a line a protocol, each metric's value and how far it moved; ``digits``: psnr 2, else 4."""
    shown = {"psnr": 2, **(digits or {})}
    names = list(dict.fromkeys(row["metric"] for row in rows))
    found = {(row["protocol"], row["metric"]): row for row in rows}
    lines = [["protocol", "kind", "faces", *(word for name in names for word in (name, "moved"))]]
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        mine = [found.get((protocol, name)) for name in names]
        first = next(row for row in mine if row)
        line = [protocol, first["kind"], str(max(row["n"] for row in mine if row))]
        for name, row in zip(names, mine, strict=True):
            value, step = (row["value"], row["moved"]) if row else (None, None)
            d = shown.get(name, 4)
            line.append("-" if value is None else f"{value:.{d}f}")
            line.append("-" if step is None else f"{round(step, d) + 0.0:+.{d}f}")  # + 0.0: no minus before a zero
        lines.append(line)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    fit = [str.ljust, str.ljust, *[str.rjust] * (len(widths) - 2)]
    return "\n".join("  ".join(f(c, w) for f, c, w in zip(fit, line, widths, strict=True)).rstrip() for line in lines)


def _faces(degraded: Sequence[Pixels], restored: Sequence[Pixels], clean: Sequence[Pixels]) -> list[Face]:
    if not len(degraded) == len(restored) == len(clean) > 0:
        counts = f"{len(degraded)} degraded, {len(restored)} restored and {len(clean)} clean"
        raise ValueError(f"expected pictures, as many of each, got {counts}")
    faces = [Face(*pictures) for pictures in zip(degraded, restored, clean, strict=True)]
    for n, face in enumerate(faces):
        for name, picture in face._asdict().items():
            check_pixels(picture, f"{name} {n}: ")
        if not face.degraded.shape == face.restored.shape == face.clean.shape:
            raise ValueError(f"face {n}: expected pictures of one size, got {[picture.shape for picture in face]}")
    return faces


def _measure(score: Score, images: Sequence[Pixels], references: Sequence[Pixels]) -> Values | str:
    """A value a pair, or why there are none."""
    try:
        return np.array([_value(score, *pair) for pair in zip(images, references, strict=True)])
    except MetricUnavailable as error:
        return str(error)


def _value(score: Score, image: Pixels, clean: Pixels) -> float:
    return float(score(to_float(image)[None], to_float(clean)[None]))


def _row(protocol: Protocol, metric: str, found: Values | str, faces: int) -> dict[str, Any]:
    row = {"protocol": protocol.name, "kind": protocol.kind, "says": protocol.says, "metric": metric}
    values = np.empty(0) if isinstance(found, str) else found[np.isfinite(found)]
    why = found if isinstance(found, str) else None if len(values) else f"none of {faces} faces has a finite value"
    value = None if why else protocol.mean(values, faces - len(found))
    return {**row, "n": len(values), "left_out": faces - len(values), "value": value, "why": why}


def _few(share: float, faces: int) -> int:
    return min(faces, max(1, round(share * faces)))


def _swap(image: Pixels) -> Pixels:
    return np.ascontiguousarray(image[..., ::-1])


def _luma(image: Pixels) -> Pixels:
    """Y of ITU-R BT.601 in 8 bits, 16 to 235, three times: metrics of three channels then see it alone."""
    y = 16 + image @ np.array([65.481, 128.553, 24.966]) / 255
    return np.repeat(y.round().astype(np.uint8)[..., None], 3, 2)


def _halve(image: Pixels) -> Pixels:
    height, width = (max(1, side // 2) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
