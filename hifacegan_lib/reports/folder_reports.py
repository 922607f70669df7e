"""Evaluations outside notebooks: folders of anyone's pictures by our rules, and two evaluations against each other.

Each writes a folder: the numbers, a page that opens anywhere, and the paths of the pictures.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hifacegan_lib.evaluation import comparison, identity_drift, pictures
from hifacegan_lib.evaluation.folder_pairs import FolderPairs, pair_folders
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.scoring import Batch, evaluate
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.names import DEFAULT_METRICS
from hifacegan_lib.reports import evaluation_report
from hifacegan_lib.reports.html_pages import CARD, Slider, narrowed, render
from hifacegan_lib.reports.run_report import LISTED_SEPARATELY
from hifacegan_lib.utils.files import write_text
from hifacegan_lib.utils.images import load_image

CHANGED = 12  # faces in a comparison's page


def evaluate_folders(
    restored: str | Path,
    reference: str | Path,
    out: str | Path,
    degraded: str | Path | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
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
        resize_kernel, crop: see :class:`hifacegan_lib.evaluation.folder_pairs.FolderPairs`.
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
    pairs = pair_folders(reference, columns, resize_kernel, crop, out)
    for said in pairs.aside:
        tqdm.write(said, file=sys.stderr)
    with tqdm(total=len(pairs), desc="evaluate", unit="pair") as bar:
        batches = _counted(pairs, bar)
        found = evaluate({}, batches, bootstrap_samples, seed, None, wanted, device)
    names = {column: Path(folder).name for column, folder in {**columns, "reference": reference}.items()}
    found.conditions.update(pairs.conditions | {"folders": names})
    files = {**pairs.columns, "clean": pairs.reference}
    faces = {
        key: {column: narrowed(load_image(paths[key]), CARD) for column, paths in files.items()}
        for key in evaluation_report.shown_keys(found, "restored")
    }
    asked = {"resize": resize_kernel or "none", "crop": crop, "bootstrap_samples": bootstrap_samples, "seed": seed}
    title = f"{names['restored']} against {names['reference']}"
    evaluation_report.write_evaluation(out, found, "restored", faces, title, asked, labels=grouped, files=files)
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
    out, metric_row, sliders = Path(out), found.metrics.iloc[0], []
    for key, change in list(found.changed.items())[:CHANGED]:
        columns = [(a, first.method), (b, second.method), (a, "clean")]
        faces = [pictures.read_picture(folder, column, key) for folder, column in columns]
        shown = [face for face in faces if face is not None]
        if len(shown) == 3 and len({face.shape for face in shown}) == 1:
            before, after, clean = shown
            text = f"{metric_row.label}: {change:+.{metric_row.digits}f}"
            sliders.append(Slider(key, before, after, clean, text, ("A", "B")))
    write_text(out / "comparison.json", found.to_json())
    title = f"{second.name} against {first.name}"
    differing = {"Parameters that differ": found.params, "Conditions that differ": found.conditions}
    values = {"title": title, "found": found, "sliders": sliders, "differing": differing}
    write_text(out / "comparison.html", render("comparison.html", **values, listed_separately=LISTED_SEPARATELY))
    return found


def _counted(pairs: FolderPairs, bar: Any) -> Iterable[Batch]:
    for batch in pairs:
        yield batch
        bar.update(len(batch["key"]) + len(batch["unreadable"]))
