"""Evaluations outside notebooks: folders of anyone's pictures by our rules, and two evaluations against each other.

Both leave a folder that opens anywhere: the numbers as JSON and CSV, the page, and where the pictures were.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from hifacegan_lib.evaluation import comparison, identity_drift
from hifacegan_lib.evaluation.image_pairs import FolderPairs, pair_folders
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.scoring import Batch, score
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.names import METRICS
from hifacegan_lib.reports import evaluation_plots, plots
from hifacegan_lib.reports.html_pages import Section, Slider
from hifacegan_lib.reports.run_report import write_comparison, write_report
from hifacegan_lib.utils.files import write_json, write_text
from hifacegan_lib.utils.images import Pixels, load_image, resize, save_image
from hifacegan_lib.utils.versions import environment

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
    with tqdm(total=len(pairs), desc="evaluate", unit="pair") as bar:
        batches = _counted(pairs, bar)
        found = score(lambda batch: batch["columns"], batches, bootstrap_samples, seed, None, wanted, device)
    names = {column: Path(folder).name for column, folder in {**columns, "reference": reference}.items()}
    found.conditions.update(pairs.conditions | {"folders": names})
    files = {**pairs.columns, "clean": pairs.reference}

    def picture(column: str, key: str) -> Pixels:
        return load_image(files[column][key])

    parts = [*identity_part(found, "restored", picture), *group_parts(found, grouped, "restored")]
    sliders, pictures = _shown(found, picture)
    asked = {"resize": resize_kernel or "none", "crop": crop, "bootstrap_samples": bootstrap_samples, "seed": seed}
    title = f"{names['restored']} against {names['reference']}"
    write_report(out / "report.html", found, pictures, asked, environment(), title, None, sliders, parts)
    places = {column: {key: str(path.resolve()) for key, path in of.items()} for column, of in files.items()}
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
    first, second = (comparison.Side.load(folder, method) for folder in (a, b))
    if first.name == second.name:
        first, second = replace(first, name=f"{first.name} (A)"), replace(second, name=f"{second.name} (B)")
    found = comparison.compare(first, second, metric)
    out, line, sliders = Path(out), found.lines[0], []
    for key, change in list(found.changed.items())[:CHANGED]:
        faces = [first.picture(first.method, key), second.picture(second.method, key), first.picture("clean", key)]
        shown = [face for face in faces if face is not None]
        if len(shown) == 3 and len({face.shape for face in shown}) == 1:
            before, after, clean = shown
            text = f"{line.label}: {change:+.{line.digits}f}"
            sliders.append(Slider(key, before, after, clean, text, ("A", "B")))
    write_text(out / "comparison.json", found.to_json())
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
    metric, drifts = found.metrics[moved.by].label, dict(zip(moved.keys, moved.drift, strict=True))
    shown = {f"Drift and gain. A dot is a face, by {metric}.": evaluation_plots.drift_dots(moved, metric)}
    faces: dict[str, dict[str, Pixels]] = {}
    for key in moved.worst:
        row = {column: picture(column, key) for column in ("degraded", method, "clean")}
        if all(face is not None for face in row.values()):
            faces[key] = {column: _fitted(face) for column, face in row.items() if face is not None}
    captions = {key: f"drift {drifts[key]:.2f}" for key in faces}
    for start in range(0, len(faces), ABREAST):
        some = dict(list(faces.items())[start : start + ABREAST])
        said = f"The worst, {start + 1} to {start + len(some)}. Largest drift first."
        shown[said] = evaluation_plots.side_by_side(some, captions)
    return [Section(title, says, [("face", "drift"), *((key, f"{drifts[key]:.3f}") for key in moved.worst)], shown)]


def group_parts(found: Evaluation, labels: Mapping[str, Mapping[str, str]], method: str) -> list[Section]:
    """A table for each way of grouping the faces; gains are over the degraded faces, where there are such."""
    parts = []
    over = "degraded" if "degraded" in found.scores else None
    says = ["Labels are the user's own; a group of fewer than ten faces says little."]
    for column, of in labels.items():
        table = identity_drift.group_table(identity_drift.by_group(found, of, method, over), found).reset_index()
        parts.append(Section(f"By {column}", says, [list(table.columns), *table.to_numpy().tolist()]))
    return parts


def _counted(pairs: FolderPairs, bar: Any) -> Iterable[Batch]:
    for batch in pairs:
        yield batch
        bar.update(len(batch["key"]) + len(batch["unreadable"]))


def _shown(found: Evaluation, picture: Callable[[str, str], Pixels]) -> tuple[list[Slider], dict[str, Figure]]:
    """Sliders of the best, middle and worst faces, and the figures of means and of before and after."""
    titles = {name: f"{metric.title}\n{metric.direction}" for name, metric in found.available.items()}
    figures = {"Means. Each method's mean with its 95 % interval.": plots.intervals(found.rows, titles, "restored")}
    if "degraded" not in found.scores:
        return [], figures
    before, after = (found.scores[method].get("psnr", np.empty(0)) for method in ("degraded", "restored"))
    if (np.isfinite(before) & np.isfinite(after)).any():
        figures["Face by face. Above the diagonal, a face was brought nearer to the clean one."] = plots.before_after(
            list(before), list(after), name="restoring"
        )
    sliders = []
    first = next(iter(found.scores["restored"]))
    for place, keys in found.pick("restored", SHOWN, first).items():
        for key in keys:
            clean = picture("clean", key)
            left, right = (resize(picture(column, key), *clean.shape[:2]) for column in ("degraded", "restored"))
            text = f"{place} by {found.metrics[first].label}"
            sliders.append(Slider(key, left, right, clean, text, ("degraded", "restored")))
    return sliders, figures


def _fitted(face: Pixels) -> Pixels:
    side = max(face.shape[:2])
    if side <= SHOWN_SIDE:
        return face
    return resize(face, *(max(1, round(length * SHOWN_SIDE / side)) for length in face.shape[:2]))
