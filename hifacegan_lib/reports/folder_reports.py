"""Evaluations outside notebooks: folders of anyone's pictures by our rules, and two evaluations against each other.

Each writes a folder: the numbers, a page that opens anywhere, and the paths of the pictures.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hifacegan_lib.evaluation import comparison, identity_drift, pictures
from hifacegan_lib.evaluation.folder_pairs import pair_folders
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.scoring import evaluate
from hifacegan_lib.reports import evaluation_report
from hifacegan_lib.reports.html_pages import CARD, Slider, narrowed, render
from hifacegan_lib.reports.run_report import LISTED_SEPARATELY
from hifacegan_lib.utils.files import write_text
from hifacegan_lib.utils.folder_lock import locked
from hifacegan_lib.utils.images import load_image, resize
from hifacegan_lib.utils.jobs import workers

CHANGED = 12  # faces in a comparison's page


def evaluate_folders(
    restored: str | Path,
    reference: str | Path | None,
    out: str | Path,
    degraded: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    resize_kernel: str = "",
    crop: int = 0,
    labels: str | Path | None = None,
    bootstrap_samples: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
    recogniser: str | Path | None = None,
    statistics: str | Path | None = None,
    ntire: str = "",
    jobs: int = 1,
    scheduler: str = "",
) -> Evaluation:
    """Score a folder of restored faces; metrics.json, metrics.csv, pictures.json and report.html in ``out``.

    Args:
        restored, reference, degraded: folders (trees) whose pictures pair by name; ``reference`` None: there are no
            originals; ``degraded``: the restorer's inputs.
        metrics, recogniser, statistics: see :func:`hifacegan_lib.evaluation.scoring.evaluate`.
        ntire: kind of set for the score of NTIRE 2026, see :meth:`Evaluation.ntire`; the page has it.
        resize_kernel, crop: see :class:`hifacegan_lib.evaluation.folder_pairs.FolderPairs`.
        jobs, scheduler: see :func:`hifacegan_lib.utils.jobs.workers`.
        labels: a CSV file with groups, see :func:`hifacegan_lib.evaluation.identity_drift.read_labels`.
    Raises:
        FileExistsError: ``out`` holds an evaluation. FileNotFoundError, ValueError: folders that do not pair, pictures
            of other sizes, no pair that can be read, no such metric or none with a value, bad labels.
            BlockingIOError: another process writes into ``out``.
    """
    out = Path(out)
    grouped = identity_drift.read_labels(labels) if labels else {}
    columns = {**({"degraded": degraded} if degraded else {}), "restored": restored}
    with locked(out), workers(jobs, scheduler) as each:
        if (out / "metrics.json").exists() and not overwrite:
            raise FileExistsError(f"{out}: holds an evaluation; --overwrite replaces it, --out names another folder")
        pairs = pair_folders(reference, columns, resize_kernel, crop, out)
        for said in pairs.aside:
            tqdm.write(said, file=sys.stderr)
        with tqdm(total=len(pairs), desc="evaluate", unit="pair") as bar:
            how: dict[str, Any] = {"recogniser": recogniser, "statistics": statistics, "each": each, "tick": bar.update}
            found = evaluate({}, pairs, bootstrap_samples, seed, None, metrics, device, **how)
        if not found.available:
            reasons = [f"  {name}: {why}" for name, why in found.conditions["unavailable"].items()]
            raise ValueError("\n".join(["no metric has a value", *reasons]))
        folders = {**columns, **({"reference": reference} if reference else {})}
        names = {column: Path(folder).name for column, folder in folders.items()}
        found.conditions.update(pairs.conditions | {"folders": names})
        files = {**pairs.columns, **({"clean": pairs.reference} if reference else {})}
        faces = {
            key: {column: narrowed(load_image(paths[key]), CARD) for column, paths in files.items()}
            for key in evaluation_report.shown_keys(found, "restored")
        }
        asked = {"resize": resize_kernel or "none", "crop": crop, "bootstrap_samples": bootstrap_samples, "seed": seed}
        title = f"{names['restored']} against {names['reference']}" if reference else names["restored"]
        remarks = {"NTIRE 2026": [f"Set like {ntire}: {found.ntire(ntire)}."]} if ntire else {}
        options: dict[str, Any] = {"labels": grouped, "files": files, "remarks": remarks}
        evaluation_report.write_evaluation(out, found, "restored", faces, title, asked, **options)
    return found


def compare_folders(
    a: str | Path, b: str | Path, out: str | Path, method: str = "", metric: str = ""
) -> comparison.Comparison:
    """Compare two folders with a metrics.json; comparison.json and comparison.html in ``out``.

    Raises:
        FileNotFoundError, ValueError: no evaluation, other faces, no such method or metric.
    """
    first, second = (comparison.EvaluatedRun.load(folder, method) for folder in (a, b))
    if first.name == second.name:
        first, second = replace(first, name=f"{first.name} (A)"), replace(second, name=f"{second.name} (B)")
    found = comparison.compare(first, second, metric)
    out, sliders = Path(out), _changed_faces(found, a, b)
    write_text(out / "comparison.json", found.to_json())
    title = f"{second.name} against {first.name}"
    differing = {"Parameters that differ": found.params, "Conditions that differ": found.conditions}
    values = {"title": title, "found": found, "sliders": sliders, "differing": differing}
    write_text(out / "comparison.html", render("comparison.html", **values, listed_separately=LISTED_SEPARATELY))
    return found


def _changed_faces(found: comparison.Comparison, a: str | Path, b: str | Path) -> list[Slider]:
    """The faces that changed most, as far as their pictures are there and of one size."""
    row, sliders, originals = found.metrics.iloc[0], [], found.a.evaluation.originals
    beside = "clean" if originals else "degraded"
    for key, change in list(found.changed.items())[:CHANGED]:
        columns = [(a, found.a.method), (b, found.b.method), (a, beside)]
        before, after, third = (pictures.read_picture(folder, column, key) for folder, column in columns)
        if before is None or after is None or (originals and third is None):
            continue
        if not originals:  # the two may have restored at other sizes
            before = resize(before, *after.shape[:2])
            third = third if third is None else resize(third, *after.shape[:2])
        if len({face.shape for face in (before, after, third) if face is not None}) == 1:
            text = f"{row.label}: {change:+.{row.digits}f}"
            sliders.append(Slider(key, before, after, third, text, ("A", "B"), beside))
    return sliders
