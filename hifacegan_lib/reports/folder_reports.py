"""Evaluations outside notebooks: folders of anyone's pictures by our rules, and two evaluations against each other.

Both leave a folder that opens anywhere: the numbers as JSON and CSV, the page, and where the pictures were.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hifacegan_lib.evaluation import comparison, identity_drift
from hifacegan_lib.evaluation.image_pairs import FolderPairs, pair_folders
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.scoring import Batch, score
from hifacegan_lib.metrics.full_reference import MetricUnavailable
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.names import METRICS
from hifacegan_lib.reports import evaluation_plots, plots
from hifacegan_lib.reports.html_pages import Section, Slider
from hifacegan_lib.reports.run_report import write_comparison, write_report
from hifacegan_lib.utils.environment import environment
from hifacegan_lib.utils.files import write_json
from hifacegan_lib.utils.images import Pixels, load_image, resize, save_image

WORST, CHANGED, SHOWN = 20, 12, 2  # faces in a page: drifted, changed, and of each of best, median, worst
ABREAST = 10  # faces of a figure
SHOWN_SIDE = 256  # of a face in a figure, pixels


class Shelf:
    """Keeps every scored picture of a run, ``pictures/<column>/<key>.png``, and where it lies, ``pictures.json``.

    Given to :func:`hifacegan_lib.evaluation.scoring` as ``keep``; what an earlier evaluation had kept goes first.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._places: dict[str, dict[str, str]] = {}
        shutil.rmtree(self.folder / "pictures", ignore_errors=True)
        (self.folder / "pictures.json").unlink(missing_ok=True)

    def __call__(self, column: str, key: str, face: Pixels) -> None:
        place = (Path("pictures") / column / key).with_suffix(".png")
        save_image(self.folder / place, face)
        self._places.setdefault(column, {})[key] = place.as_posix()

    def close(self) -> None:
        """Write pictures.json."""
        write_json(self.folder / "pictures.json", self._places)


def evaluate_folders(
    restored: str | Path,
    reference: str | Path,
    out: str | Path,
    degraded: str | Path | None = None,
    metrics: Sequence[str] = METRICS,
    resize_kernel: str = "",
    crop: int = 0,
    labels: str | Path | None = None,
    bootstrap_samples: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
) -> Evaluation:
    """Score a folder of restored faces; metrics.json, metrics.csv, pictures.json and report.html in ``out``.

    Args:
        restored, reference, degraded: folders (trees) whose pictures pair by name.
        resize_kernel, crop: see :class:`hifacegan_lib.evaluation.image_pairs.FolderPairs`.
        labels: a CSV file with groups, see :func:`hifacegan_lib.evaluation.identity_drift.read_labels`.
    Raises:
        FileExistsError: ``out`` holds an evaluation. FileNotFoundError, ValueError: folders that do not pair, pictures
            of other sizes, no pair that can be read, no such metric, bad labels.
    """
    out = Path(out)
    if (out / "metrics.json").exists() and not overwrite:
        raise FileExistsError(f"{out}: holds an evaluation; --overwrite replaces it, --out names another folder")
    grouped = identity_drift.read_labels(labels) if labels else {}
    wanted = standard(metrics)
    columns = {**({"degraded": degraded} if degraded else {}), "restored": restored}
    pairs = pair_folders(reference, columns, resize_kernel, crop)
    bar = tqdm(total=len(pairs), desc="evaluate", unit="pair")
    found = score(lambda batch: batch["columns"], _counted(pairs, bar), bootstrap_samples, seed, None, wanted, device)
    bar.close()
    found.conditions.update(pairs.conditions)
    found.conditions["folders"] = {column: Path(folder).name for column, folder in columns.items()}
    found.conditions["folders"]["reference"] = Path(reference).name
    places = {
        c: {k: str(p.resolve()) for k, p in f.items()} for c, f in {**pairs.columns, "clean": pairs.reference}.items()
    }
    kept = {column: {key: Path(path) for key, path in files.items()} for column, files in places.items()}
    parts = [*identity_part(found, "restored", _pictures(kept)), *group_parts(found, grouped, "restored")]
    sliders, pictures = _shown(found, kept)
    asked = {"resize": resize_kernel or "none", "crop": crop, "bootstrap_samples": bootstrap_samples, "seed": seed}
    title = f"{Path(restored).name} against {Path(reference).name}"
    write_report(out / "report.html", found, pictures, asked, environment(), title, None, sliders, parts)
    write_json(out / "pictures.json", places)
    found.save(out / "metrics.json")  # last: its presence says that the evaluation is whole
    return found


def compare_folders(
    a: str | Path, b: str | Path, out: str | Path, method: str = "", metric: str = ""
) -> comparison.Comparison:
    """Compare two folders with a metrics.json; comparison.json and comparison.html in ``out``.

    Raises:
        FileNotFoundError, ValueError: no evaluation, other faces, no such method or metric.
    """
    sides = [comparison.Side.load(folder, method) for folder in (a, b)]
    if sides[0].name == sides[1].name:
        sides = [
            comparison.Side(f"{s.name} ({n})", *list(vars(s).values())[1:]) for n, s in zip("AB", sides, strict=True)
        ]
    found = comparison.compare(sides[0], sides[1], metric)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "comparison.json").write_text(found.to_json(), encoding="utf-8")
    sliders = []
    for key, change in list(found.changed.items())[:CHANGED]:
        before, after = found.a.picture(found.a.method, key), found.b.picture(found.b.method, key)
        clean = found.a.picture("clean", key)
        if (
            before is not None
            and after is not None
            and clean is not None
            and before.shape == after.shape == clean.shape
        ):
            line = found.lines[0]
            text = f"{line.label}: {change:+.{line.digits}f}"
            sliders.append(Slider(key, before, after, clean, text, ("A", "B")))
    write_comparison(out / "comparison.html", found, {}, sliders)
    return found


def identity_part(
    found: Evaluation, method: str, picture: Callable[[str, str], Pixels | None] = lambda *_: None
) -> list[Section]:
    """Drift against perceptual gain as a part of a page, or the reason why it is missing; nothing if not asked for.

    Args:
        picture: (column, key) -> the face, for the worst; None where it was not kept.
    """
    if "identity" not in found.metrics or "degraded" not in found.scores:
        return []
    title = "Is it still the same person?"
    try:
        moved = identity_drift.drift(found, method, WORST)
    except MetricUnavailable as error:
        return [Section(title, [f"Not measured: {error}."])]
    says = [
        f"{moved.another_person} of {len(moved.keys)} faces are another person to SFace after restoring "
        f"({len(moved.deceptive)} of these look better than their input), "
        f"{int((moved.drift_degraded > 1 - identity_drift.SAME_PERSON).sum())} already were before.",
        f"In {len(moved.not_found)} restored or clean faces no face was found; they are not in this picture.",
    ]
    shown = {
        f"Drift and gain. A dot is a face, by {found.metrics[moved.by].label}.": evaluation_plots.drift_dots(
            moved, found.metrics[moved.by].label
        )
    }
    faces: dict[str, dict[str, Pixels]] = {}
    for key in moved.worst:
        row = {column: picture(column, key) for column in ("degraded", method, "clean")}
        if all(face is not None for face in row.values()):
            faces[key] = {column: _fitted(face) for column, face in row.items() if face is not None}
    if faces:
        drifts = dict(zip(moved.keys, moved.drift, strict=True))
        captions = {key: f"drift {drifts[key]:.2f}" for key in faces}
        for start in range(0, len(faces), ABREAST):
            some = dict(list(faces.items())[start : start + ABREAST])
            said = f"The worst, {start + 1} to {start + len(some)}. Largest drift first."
            shown[said] = evaluation_plots.side_by_side(some, captions)
    return [Section(title, says, [("face", "drift"), *_worst_lines(moved)], shown)]


def _worst_lines(moved: identity_drift.Drift) -> list[tuple[str, str]]:
    drifts = dict(zip(moved.keys, moved.drift, strict=True))
    return [(key, f"{drifts[key]:.3f}") for key in moved.worst]


def group_parts(
    found: Evaluation,
    labels: Mapping[str, Mapping[str, str]],
    method: str,
    names: Iterable[str] = ("psnr", "ssim", "lpips", "identity"),
) -> list[Section]:
    """A table for each way of grouping the faces."""
    parts = []
    over = "degraded" if "degraded" in found.scores else None
    shown = [name for name in names if name in found.scores[method]]
    for column, of in labels.items():
        rows = identity_drift.by_group(found, of, method, over)
        head = [
            "group",
            "faces",
            *(found.metrics[m].title for m in shown),
            *(f"{found.metrics[m].label} gain" for m in shown if over),
        ]
        lines = [head]
        for row in rows:
            means = ["none" if row[m] is None else f"{row[m]:.{found.metrics[m].digits}f}" for m in shown]
            gains = []
            for m in shown if over else ():
                d, low, high = found.metrics[m].digits, row[f"{m}_gain_low"], row[f"{m}_gain_high"]
                gains.append("" if low is None else f"{row[f'{m}_gain']:+.{d}f} [{low:+.{d}f}, {high:+.{d}f}]")
            lines.append([row["group"], f"{row['n']}{' (few)' if row['few'] else ''}", *means, *gains])
        parts.append(
            Section(f"By {column}", ["Labels are the user's own; a group of fewer than ten faces says little."], lines)
        )
    return parts


def _counted(pairs: FolderPairs, bar: Any) -> Iterable[Batch]:
    for batch in pairs:
        yield batch
        bar.update(len(batch["key"]) + len(batch["unreadable"]))


def _pictures(kept: Mapping[str, Mapping[str, Path]]) -> Callable[[str, str], Pixels | None]:
    def picture(column: str, key: str) -> Pixels | None:
        path = kept.get(column, {}).get(key)
        return load_image(path) if path else None

    return picture


def _shown(found: Evaluation, kept: Mapping[str, Mapping[str, Path]]) -> tuple[list[Slider], dict[str, Any]]:
    """Sliders of the best, middle and worst faces, and the figures of means and of before and after."""
    titles = {name: f"{metric.title}\n{metric.wanted}" for name, metric in found.available.items()}
    pictures: dict[str, Any] = {
        "Means. Each method's mean with its 95 % interval.": plots.intervals(found.rows, titles, "restored")
    }
    if "degraded" not in kept:
        return [], pictures
    values = found.values("psnr", "degraded", "restored") if "psnr" in found.scores["restored"] else []
    if values and np.isfinite(values).all(0).any():
        pictures["Face by face. Above the diagonal, a face was brought nearer to the clean one."] = plots.before_after(
            list(values[0]), list(values[1]), name="restoring"
        )
    sliders = []
    first = next(iter(found.scores["restored"]))
    for place, keys in found.pick("restored", SHOWN, first).items():
        for key in keys:
            before, after, clean = (load_image(kept[c][key]) for c in ("degraded", "restored", "clean"))
            height, width = clean.shape[:2]
            before, after = (resize(face, height, width) for face in (before, after))
            text = f"{place} by {found.metrics[first].label}"
            sliders.append(Slider(key, before, after, clean, text, ("degraded", "restored")))
    return sliders, pictures


def _fitted(face: Pixels) -> Pixels:
    side = max(face.shape[:2])
    if side <= SHOWN_SIDE:
        return face
    return resize(face, *(max(1, round(length * SHOWN_SIDE / side)) for length in face.shape[:2]))
