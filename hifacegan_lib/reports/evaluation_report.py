"""An evaluation as a folder that opens anywhere: the page, the surfaces, and the numbers as JSON and CSV.

Notebook 05 and ``hifacegan evaluate`` write the same files by :func:`write_evaluation`:

    report.html                 tables, faces to slide between, plots, where the model breaks, identity, groups
    surfaces.json               the surfaces, where there are any
    metrics.csv, metrics.json   conditions, means, each face's values
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hifacegan_lib.degradations.traces import Trace
from hifacegan_lib.evaluation import identity_drift
from hifacegan_lib.evaluation.pictures import write_index
from hifacegan_lib.evaluation.results import Evaluation
from hifacegan_lib.evaluation.robustness import Surface
from hifacegan_lib.metrics.metric import MetricUnavailable
from hifacegan_lib.reports import evaluation_plots, plots
from hifacegan_lib.reports.html_pages import Section, Slider, narrowed
from hifacegan_lib.reports.run_report import TrainingRecord, write_report
from hifacegan_lib.utils.files import write_json
from hifacegan_lib.utils.images import Pixels, resize
from hifacegan_lib.utils.machine import environment

PICKED, WORST = 2, 20  # faces in a page: of each of best, median and worst; of the largest drift
ABREAST, WIDEST = 10, 256  # faces of a figure, and their width, pixels
OWN_LABELS = "Labels are the user's own; a group of fewer than ten faces says little."
OTHER_RECOGNISER = "The drift is measured by another network, so SFace's threshold is no verdict on it."
Faces = Mapping[str, Mapping[str, Pixels]]
"""Key -> "degraded", each method, "clean", as far as there are such -> uint8 H x W x 3."""


def shown_keys(found: Evaluation, method: str = "model") -> list[str]:
    """Keys of the faces that the page shows: best, median and worst, then the largest drifts."""
    keys = [key for keys in _picked(found, method).values() for key in keys]
    if keys and "degraded" in found.scores:
        with suppress(MetricUnavailable):
            keys.extend(identity_drift.drift(found, method).faces.index[:WORST])  # + would be pandas' own
    return list(dict.fromkeys(keys))


def write_evaluation(
    folder: str | Path,
    found: Evaluation,
    method: str,
    faces: Faces,
    title: str,
    params: Mapping[str, Any],
    training: TrainingRecord | None = None,
    labels: Mapping[str, Mapping[str, str]] | None = None,
    surfaces: Sequence[Surface] = (),
    remarks: Mapping[str, Sequence[str]] | None = None,
    files: Mapping[str, Mapping[str, Path]] | None = None,
) -> Path:
    """Write the files of an evaluation; metrics.json comes last, its presence says that the evaluation is whole.

    Args:
        method: the row of the evaluation that is judged.
        faces: pictures of :func:`shown_keys`.
        title: of the page; ``params``: what it was asked for.
        labels: column -> key -> label, see :func:`hifacegan_lib.evaluation.identity_drift.read_labels`.
        remarks: sections of sentences alone, by title.
        files: column -> key -> image file, for pictures.json; None: scoring wrote it, or nothing was kept.
    Returns:
        The path of the page.
    Raises:
        ValueError: no such method, or labels of other faces; then nothing was written.
    """
    identity = identity_drift.similarity(found) in found.metrics and "degraded" in found.scores
    picked = _picked(found, method)
    groups = identity_drift.group_tables(found, labels or {}, method)
    sections = [
        *(_surface_section(surface) for surface in surfaces),
        *(Section(name, sentences) for name, sentences in (remarks or {}).items()),
        *([identity_section(found, method, faces)] if identity else []),
        *(Section(f"By {column}", [OWN_LABELS], table) for column, table in groups.items()),
    ]
    figures, sliders = _figures(found, method, faces, picked), _sliders(found, method, faces, picked)
    page = Path(folder) / "report.html"
    write_report(page, found, figures, params, environment(), title, training, sliders, sections)
    if surfaces:
        write_json(Path(folder) / "surfaces.json", {surface.mode: surface.to_dict() for surface in surfaces})
    if files:
        write_index(folder, files)
    found.save(Path(folder) / "metrics.json")
    return page


def _picked(found: Evaluation, method: str) -> dict[str, list[str]]:
    """Place -> keys of the best, median and worst faces; none where there is nothing to compare a face with."""
    shown = "degraded" in found.scores or not found.originals
    return found.pick(method, PICKED) if shown and found.scores.get(method, True) else {}


def _sliders(found: Evaluation, method: str, faces: Faces, picked: Mapping[str, Sequence[str]]) -> list[Slider]:
    if "degraded" not in found.scores or not picked:
        return []
    label, sliders = found.metrics[found.leading].label, []
    for place, keys in picked.items():
        for key in keys:
            clean = faces[key].get("clean")
            sides = (faces[key][method] if clean is None else clean).shape[:2]
            before, after = (resize(faces[key][column], *sides) for column in ("degraded", method))
            sliders.append(Slider(key, before, after, clean, f"{place} by {label}", ("degraded", method)))
    return sliders


def _figures(found: Evaluation, method: str, faces: Faces, picked: Mapping[str, Sequence[str]]) -> dict[str, Figure]:
    """Caption -> figure: the picked faces where there are rivals, the means, and each face before and after."""
    figures = {}
    if picked and not found.originals and list(found.scores) != ["degraded", method]:
        places = [(place, key) for place, keys in picked.items() for key in keys]
        rows = {name.replace("_", " "): [faces[key][name] for _, key in places] for name in found.scores}
        named = ", ".join(key for _, key in places)
        caption = f"Best, median and worst. Ranked by {found.metrics[found.leading].label}: {named}."
        figures[caption] = plots.image_rows(rows, 1.6, [place for place, _ in places])
    elif picked and found.originals and len(found.scores) > 2:
        keys = [key for place in picked.values() for key in place if key in found.traces]
        damage = "; ".join(f"{key}: {Trace.parse(found.traces[key], key).describe()}" for key in keys)
        caption = "Best, median and worst. Ranked by PSNR; a star marks a row's highest."
        caption += f" Damage: {damage}." if damage else ""
        figures[caption] = plots.gallery({place: [faces[key] for key in keys] for place, keys in picked.items()})
    figures["Means. Each method's mean with its 95 % interval."] = evaluation_plots.means(found, method)
    before, after = (found.scores.get(name, {}).get("psnr", np.empty(0)) for name in ("degraded", method))
    if len(before) == len(after) and (np.isfinite(before) & np.isfinite(after)).any():
        caption = "Face by face. Above the diagonal, a face was brought nearer to the clean one."
        name = {"restored": "restoring"}.get(method, method)
        figures[caption] = evaluation_plots.before_after(list(before), list(after), name)
    return figures


def identity_section(found: Evaluation, method: str = "model", faces: Faces | None = None) -> Section:
    """Drift against perceptual gain as a part of a page, or the reason why it is missing.

    Args:
        faces: the worst of these are shown.
    """
    title = "Is it still the same person?"
    try:
        drift = identity_drift.drift(found, method)
    except MetricUnavailable as error:
        return Section(title, [f"Not measured: {error}."])
    if drift.faces.empty:
        return Section(title, ["Not measured: no face was found."])
    label, worst = found.metrics[drift.metric].label, drift.faces["drift"][:WORST]
    figures = {f"Drift and gain. A dot is a face, by {label}.": evaluation_plots.drift_dots(drift, label)}
    shown = {key: faces[key] for key in worst.index if faces and key in faces}
    for start in range(0, len(shown), ABREAST):
        keys = list(shown)[start : start + ABREAST]
        columns = ("degraded", method, *(("clean",) if found.originals else ()))
        rows = {c: [narrowed(shown[key][c], WIDEST) for key in keys] for c in columns}
        below = {columns[-1]: [f"drift {worst[key]:.2f}" for key in keys]}
        caption = f"The worst, {start + 1} to {start + len(keys)}. Largest drift first."
        figures[caption] = plots.image_rows(rows, 1.4, captions=below)
    table = worst.map("{:.3f}".format).to_frame().rename_axis("face")
    return Section(title, _drift_sentences(found, drift), table, figures)


def _drift_sentences(found: Evaluation, drift: identity_drift.Drift) -> list[str]:
    look = f"({len(drift.deceptive)} of these look better than their input)"
    others = f"{len(drift.another_person)} of {len(drift.faces)} faces are another person to SFace"
    before = int((drift.faces["drift_degraded"] > 1 - identity_drift.SAME_PERSON).sum())
    kinds = "restored or clean faces" if found.originals else "restored faces or inputs"
    sentences = [
        f"{others} after restoring {look}, {before} already were before."
        if found.originals
        else f"{others} than in their input {look}. A part of the distance may be the input's own damage.",
        f"In {len(drift.not_found)} {kinds} no face was found; they are not in this picture.",
    ]
    sface = "SFace" in found.metrics[identity_drift.similarity(found)].implementation
    return sentences if sface else [*sentences, OTHER_RECOGNISER]


def _surface_section(surface: Surface) -> Section:
    title, other = {
        "within": ("one kind of damage changed", "with the recipe's other damage"),
        "alone": ("that damage alone", "with no other damage"),
    }[surface.mode]
    maps = {f"{m.label}, {other}.": evaluation_plots.surface_maps(surface, [n]) for n, m in surface.metrics.items()}
    return Section(f"Where it breaks: {title}", surface.sentences, None, maps)
