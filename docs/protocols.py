"""Score the same images by other protocols, and measure the shift of the numbers.

    moved = mean of the values under a protocol - mean of the values under this project's protocol

Some protocols are conventions, which should be reported with the number; some are mistakes of papers and public code.
This project's protocol: eight bits as in PNG, RGB, whole images, every face, the plain mean. Infinite values are left
out.

    python docs/protocols.py runs/demo          # a run that notebook 05 evaluated, with its images

writes protocols.json and figures/05_protocols.png into the folder of the run; docs/results.py copies both into docs/.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hifacegan_lib.degradations.compression import jpeg
from hifacegan_lib.evaluation.comparison import EvaluatedRun
from hifacegan_lib.evaluation.pictures import read_picture
from hifacegan_lib.metrics.metric import Metric, MetricUnavailable
from hifacegan_lib.reports import plots
from hifacegan_lib.utils.files import write_json
from hifacegan_lib.utils.images import Pixels, to_float

METRICS = ("psnr", "ssim", "lpips", "colour_shift")  # if the run has them
FACES = 256  # largest number of faces
BATCH = 24  # batch size of the protocols with batches; rarely a divisor of the number of faces
NOT_FOUND, UNREADABLE = 0.1, 0.05  # shares of the faces
Values = NDArray[np.float64]


class Face(NamedTuple):
    """Three images of a face: uint8 RGB, H x W x 3, of equal size."""

    degraded: Pixels
    restored: Pixels
    clean: Pixels


def triptych(face: Face, quality: int) -> tuple[Pixels, Pixels]:
    """Restored and clean image, cut out of one JPEG file with all three images side by side."""
    width = face.clean.shape[1]
    sheet = jpeg(np.hstack(face), quality)
    return sheet[:, width : 2 * width], sheet[:, 2 * width :]


def swap(image: Pixels) -> Pixels:
    return np.ascontiguousarray(image[..., ::-1])


def luma(image: Pixels) -> Pixels:
    """Y of ITU-R BT.601 in 8 bits, 16 to 235, copied to three channels for metrics of RGB images."""
    y = 16 + image @ np.array([65.481, 128.553, 24.966]) / 255
    return np.repeat(y.round().astype(np.uint8)[..., None], 3, 2)


def inner(image: Pixels, border: int) -> Pixels:
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def halved(image: Pixels) -> Pixels:
    height, width = (max(1, side // 2) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


PICTURES: dict[str, tuple[str, str, Callable[[Face], tuple[Pixels, Pixels]]]] = {
    **{
        f"jpeg_triptych_{quality}": (
            "mistake",
            "Scores are computed from a preview image with degraded, restored and clean face in one JPEG of quality "
            f"{quality}: output and reference get the same damage, and colours leak across the borders.",
            lambda face, quality=quality: triptych(face, quality),  # type: ignore[misc]
        )
        for quality in (95, 75)
    },
    "jpeg_outputs_90": (
        "mistake",
        "Only the outputs are saved as JPEG of quality 90 before they are scored: the loss of JPEG, or its removal of "
        "noise, counts as the method's.",
        lambda face: (jpeg(face.restored, 90), face.clean),
    ),
    "bgr_both": (
        "mistake",
        "OpenCV reads both images, and they are never converted to RGB: PSNR and SSIM over channels do not change, but "
        "networks trained on RGB (LPIPS, FID, identity) score wrong colours.",
        lambda face: (swap(face.restored), swap(face.clean)),
    ),
    "bgr_restored": (
        "mistake",
        "OpenCV reads the output, Pillow the reference: red is compared with blue.",
        lambda face: (swap(face.restored), face.clean),
    ),
    "luma_only": (
        "convention",
        "Super-resolution papers score Y of BT.601, 16 to 235, with a peak of 255: errors of colour do not count, and "
        "the narrower range alone adds 1.3 dB.",
        lambda face: (luma(face.restored), luma(face.clean)),
    ),
    "luma_of_bgr": (
        "mistake",
        "Y is computed from BGR images as if they were RGB: blue gets the weight of red, in output and reference.",
        lambda face: (luma(swap(face.restored)), luma(swap(face.clean))),
    ),
    **{
        f"cropped_border_{border}": (
            "convention",
            f"Super-resolution papers leave out {border} pixels at each side, where networks lack context.",
            lambda face, border=border: (inner(face.restored, border), inner(face.clean, border)),  # type: ignore[misc]
        )
        for border in (4, 8)
    },
    "resized_references": (
        "mistake",
        "Both images are halved in size (bilinear) before they are scored: fine errors are averaged out.",
        lambda face: (halved(face.restored), halved(face.clean)),
    ),
}
"""Protocols that change the images: name -> kind, description, function of a face -> restored and clean image."""


def full_batches(values: Values, *_: Any) -> float:
    return mean(values[: len(values) // BATCH * BATCH])


def without_the_worst(values: Values, psnr: Values, _: int) -> float:
    return mean(np.delete(values, np.argsort(psnr, kind="stable")[: face_count(NOT_FOUND, len(values))]))


def unreadable_as_80(values: Values, _: Values, seed: int) -> float:
    gone = np.random.default_rng(seed).choice(len(values), face_count(UNREADABLE, len(values)), replace=False)
    read = finite(np.delete(values, gone))
    return float((read.sum() + 80 * len(gone)) / (len(read) + len(gone)))


def mean_of_errors(values: Values, *_: Any) -> float:
    return float(-10 * np.log10(mean(10 ** (-finite(values) / 10))))


def mean_of_batches(values: Values, *_: Any) -> float:
    shown = finite(values)
    return mean(np.array([shown[n : n + BATCH].mean() for n in range(0, len(shown), BATCH)]))


MEANS: dict[str, tuple[str, str, Callable[[Values, Values, int], float]]] = {
    "dropped_last_batch": (
        "mistake",
        f"A loader for training drops a last batch of fewer than {BATCH} faces: these faces are never scored.",
        full_batches,
    ),
    "faces_not_found_dropped": (
        "mistake",
        "Faces that a detector does not find after restoration are silently left out, so the worst do not count; here "
        f"the {NOT_FOUND:.0%} with the lowest PSNR are left out instead.",
        without_the_worst,
    ),
    "unreadable_as_80": (
        "mistake",
        "A bare `except` counts an unreadable pair as 80 dB, an almost perfect value; here "
        f"{UNREADABLE:.0%} of the pairs.",
        unreadable_as_80,
    ),
    "mean_of_mse": (
        "convention",
        "The squared errors are averaged over faces before one PSNR is computed: it is never above the mean of PSNRs, "
        "and the worst faces dominate it.",
        mean_of_errors,
    ),
    "mean_of_batches": (
        "mistake",
        f"The means of batches of {BATCH} are averaged: a face in a smaller last batch has more weight.",
        mean_of_batches,
    ),
}
"""Protocols that change the mean: name -> kind, description, (values, PSNRs, seed) -> number."""

PSNR_ALONE = ("unreadable_as_80", "mean_of_mse")


def finite(values: Values) -> Values:
    return values[np.isfinite(values)]


def mean(values: Values) -> float:
    """Mean of the finite values; NaN without any."""
    return float(finite(values).mean()) if len(finite(values)) else float("nan")


def face_count(share: float, faces: int) -> int:
    return min(faces, max(1, round(share * faces)))


def moved(faces: Sequence[Face], metrics: Mapping[str, Metric], seed: int = 0) -> list[dict[str, Any]]:
    """A row per protocol and metric: ``protocol``, ``kind``, ``says`` (description), ``metric``, ``value``, ``moved``.

    ``value`` and ``moved`` are None if the metric has no value.
    """
    pairs = [(face.restored, face.clean) for face in faces]
    ours = {name: measure(metric, pairs) for name, metric in metrics.items()}
    says = "PNG, RGB, whole images, every face, the mean over faces."
    numbers = {("ours", "ours", says): {name: mean(values) for name, values in ours.items()}}
    for name, (kind, says, change) in PICTURES.items():
        pairs = [change(face) for face in faces]
        numbers[name, kind, says] = {m: mean(measure(metric, pairs)) for m, metric in metrics.items()}
    for name, (kind, says, number) in MEANS.items():
        affected = [m for m in metrics if m == "psnr" or name not in PSNR_ALONE]
        numbers[name, kind, says] = {m: number(ours[m], ours["psnr"], seed) for m in affected}
    rows = []
    for (name, kind, says), by_metric in numbers.items():
        for m, value in by_metric.items():
            step = value - mean(ours[m])
            shown = {key: x if np.isfinite(x) else None for key, x in (("value", value), ("moved", step))}
            rows.append({"protocol": name, "kind": kind, "says": says, "metric": m, **shown})
    return rows


def measure(metric: Metric, pairs: Sequence[tuple[Pixels, Pixels]]) -> Values:
    """A value per pair; NaN if the metric is not defined for this size."""
    assert metric.compute is not None
    try:
        return np.array([float(metric.compute(*(to_float(x)[None] for x in pair))) for pair in pairs])
    except MetricUnavailable:
        return np.full(len(pairs), np.nan)


def bars(rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, Metric]) -> Figure:
    """The shift of each metric under each protocol, one panel per metric; mistakes are red, conventions blue."""
    protocols = list(dict.fromkeys(row["protocol"] for row in rows if row["protocol"] != "ours"))
    kinds = {row["protocol"]: row["kind"] for row in rows}
    size = (2.2 + 2.7 * len(metrics), 0.42 * len(protocols) + 0.9)
    figure, axes = plots.canvas(1, len(metrics), figsize=size, sharey=True, layout="constrained")
    for axis, (name, metric) in zip(axes[0], metrics.items(), strict=True):
        found = {row["protocol"]: row["moved"] for row in rows if row["metric"] == name}
        widest = max((abs(v) for v in found.values() if v is not None), default=0) or 1.0
        for place, protocol in enumerate(protocols):
            step = found.get(protocol)
            if step is None:
                axis.text(0, place, "  not affected", va="center", color="0.5", fontsize=9)
                continue
            axis.barh(place, step, color="C3" if kinds[protocol] == "mistake" else "C0", height=0.62)
            text = f"{round(step, metric.digits) + 0.0:+.{metric.digits}f}"  # + 0.0: no minus before a zero
            side = {"ha": "left" if step >= 0 else "right", "va": "center", "fontsize": 9}
            axis.annotate(text, (step, place), (4 if step >= 0 else -4, 0), textcoords="offset points", **side)
        axis.axvline(0, color="0.3", linewidth=1)
        axis.set_title(f"{metric.title}, shift", fontsize=11, loc="left")
        axis.set(xlim=(-1.7 * widest, 1.7 * widest), ylim=(len(protocols) - 0.5, -0.5))
        axis.set_yticks(range(len(protocols)), [name.replace("_", " ") for name in protocols], fontsize=10)
        axis.tick_params(axis="y", length=0)
        axis.locator_params(axis="x", nbins=4)
        axis.spines[["top", "right", "left"]].set_visible(False)
    return figure


def load_run(folder: Path) -> tuple[list[Face], dict[str, Metric], int]:
    """The faces, metrics and seed of a run.

    Raises:
        FileNotFoundError: notebook 05 has not evaluated the run, or not kept its images (keep_pictures).
    """
    run = EvaluatedRun.load(folder)
    faces = []
    for key in run.evaluation.keys[:FACES]:
        pictures = [read_picture(folder, column, key) for column in ("degraded", run.method, "clean")]
        if any(picture is None for picture in pictures):
            raise FileNotFoundError(f"{folder}: no image of {key}; notebook 05 keeps images with keep_pictures = true")
        faces.append(Face(*pictures))  # type: ignore[arg-type]
    metrics = {name: run.evaluation.metrics[name] for name in METRICS if name in run.evaluation.available}
    return faces, metrics, run.evaluation.conditions["seed"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run that notebook 05 evaluated")
    folder = parser.parse_args(arguments).run
    faces, metrics, seed = load_run(folder)
    rows = moved(faces, metrics, seed)
    write_json(folder / "protocols.json", rows)
    plots.save(bars(rows, metrics), folder / "figures" / "05_protocols.png")
    for row in rows:
        value, step = (f"{row[key]:+.4f}" if row[key] is not None else "none" for key in ("value", "moved"))
        print(f"{row['protocol']:24} {row['kind']:10} {row['metric']:12} {value:>10} {step:>10}")


if __name__ == "__main__":
    main()
