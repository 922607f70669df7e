"""A benchmark as one page with tables and faces to slide between, and as a Markdown table for a paper.

out/benchmark.html    opens anywhere; any two methods can be put on the two sides of a face
out/benchmark.md      a table for each set, with its conditions
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hifacegan_lib import __version__
from hifacegan_lib.evaluation.benchmark_results import ROW, Benchmark, row_of
from hifacegan_lib.evaluation.methods import INPUT
from hifacegan_lib.evaluation.results import Evaluation, cell
from hifacegan_lib.reports.html_pages import CARD, SMALL, narrowed, render, webp_uri
from hifacegan_lib.utils.files import write_text
from hifacegan_lib.utils.images import load_image, resize
from hifacegan_lib.utils.statistics import Interval

FEW = 10  # faces; with fewer an interval is too narrow
RULE = (
    "Methods share a rank where the 95 % bootstrap interval of their difference to the first method of that rank, face "
    "by face, includes zero. The intervals are not corrected for the number of comparisons."
)
PICKED = "the best, the middle and the worst face by the mean {} of all methods but the input"
ARROWS = {True: "↑", False: "↓", None: ""}


def write_benchmark(found: Benchmark) -> Path:
    """Write all files of a benchmark: its numbers, benchmark.md and benchmark.html; the path of the page."""
    found.save()
    write_text(found.folder / "benchmark.md", markdown(found))
    parts = [_part(found, name) for name in found.sets]
    title = f"{_many(len(found.cards) - 1, 'method')} on {_many(len(parts), 'set')} of faces"
    cards = {method: card for method, card in found.cards.items() if card}
    values = {"title": title, "cards": cards, "parts": parts, "rule": RULE}
    return write_text(found.folder / "benchmark.html", render("benchmark.html", **values))


def _part(found: Benchmark, name: str) -> dict[str, Any]:
    """A set, for the template."""
    metrics, ranks, faces, of = found.metrics(name), found.ranks[name], found.sets[name], found.of(name)
    leading, shown = found.leading(name), [_shown(found, name, *example) for example in found.examples(name).items()]
    first = next(iter(of.values()), None)
    best = next((method for method in ranks.get(leading, {}) if method != INPUT), INPUT)
    return {
        "name": name,
        "faces": faces,
        "about": about(found, name),
        "methods": list(of),
        "metrics": metrics,
        "directions": {m: next(e for e in of.values() if m in e.metrics).direction(m) for m in metrics},
        "cells": {
            m: {method: cell(row_of(e), m, metric.digits).partition(" ") for method, e in of.items() if m in row_of(e)}
            for m, metric in metrics.items()
        },
        "ranks": ranks,
        "differences": {m: _differences(found, name, m, metrics[m].digits) for m in metrics if ranks[m]},
        "failed": {method: why for (there, method), why in found.failed.items() if there == name},
        "remarks": remarks(found, name),
        "exclusions": {method: said for method, e in of.items() if (said := _exclusions(e))},
        "missing": missing(found, name),
        "ntire": {row["method"]: row["ntire"] for row in found.rows if row["set"] == name and "ntire" in row},
        "picked": PICKED.format(metrics[leading].label) if leading else "the first, the middle and the last face",
        "shown": shown,
        "chosen": {"Left": INPUT, "Right": best},
        "conditions": {**faces.conditions, **(first.conditions["metrics"] if first else {})},
    }


def about(found: Benchmark, name: str) -> str:
    """A set in a sentence."""
    faces = found.sets[name]
    count, sizes = len(faces), faces.conditions["set_sizes"]
    said = f"{_many(count, 'face')} of {sizes.split(' (')[0] if sizes.count('(') == 1 else sizes} pixels"
    if faces.made:
        return f"{said}, damaged by the recipe {faces.made['recipe']}, seed {faces.made['seed']}."
    return f"{said}, damaged faces with their clean originals." if faces.clean else f"{said}, without clean originals."


def remarks(found: Benchmark, name: str) -> list[str]:
    """Sentences that a reader of a set's numbers must know."""
    faces = found.sets[name]
    said = [f"{remark}." for remark in faces.remarks]
    if faces.unreadable:
        first = next(iter(faces.unreadable.items()))
        said.append(f"{len(faces.unreadable)} faces cannot be read and are in no row: {first[0]}: {first[1]}.")
    if len(faces) < FEW:
        said.append(f"{len(faces)} faces: fewer than {FEW}, so the intervals are too narrow and the ranks say little.")
    return said


def missing(found: Benchmark, name: str) -> dict[str, str]:
    """Label -> reason of the metrics that no method has on a set."""
    there = found.metrics(name)
    return {
        e.metrics[m].label: why
        for e in found.of(name).values()
        for m, why in e.conditions["unavailable"].items()
        if m not in there
    }


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _exclusions(e: Evaluation) -> list[str]:
    return [said.removeprefix(f"{ROW}: ") for said in e.exclusions()]


def _differences(found: Benchmark, name: str, metric: str, digits: int) -> dict[str, str]:
    """Method -> its difference to the best as text."""
    frame = found.differences(name, metric)
    best = next(iter(found.ranks[name][metric]))
    texts = {str(method): Interval(*row[:3]).text(digits) if row[3] else "" for method, *row in frame.itertuples()}
    return texts | {best: "best"}


def _shown(found: Benchmark, name: str, place: str, key: str) -> dict[str, Any]:
    """A face for the template: each method's picture, all of the clean face's size."""
    faces, leading = found.sets[name], found.leading(name)
    original = load_image((faces.clean or faces.inputs)[key])
    height, width = original.shape[:2]
    data = {}
    for method, e in found.of(name).items():
        picture = narrowed(resize(load_image(found.files[name, method][key]), height, width), CARD)
        text, values = "", e.scores[ROW].get(leading)
        if values is not None:
            metric = e.metrics[leading]
            text = f"{metric.label} {values[e.keys.index(key)]:.{metric.digits}f} {metric.unit}"
        data[method] = {"picture": webp_uri(picture), "text": text.strip()}
    original = narrowed(original, CARD)
    height, width = original.shape[:2]
    if faces.clean:
        data["clean"] = {"picture": webp_uri(original), "text": "the original"}
    return {"place": place, "key": key, "height": height, "width": width, "small": width <= SMALL, "data": data}


def markdown(found: Benchmark) -> str:
    """A table for each set, methods as rows; bold: rank 1. The caption says all that the numbers depend on."""
    return "\n".join(_table(found, name) for name in found.sets)


def _table(found: Benchmark, name: str) -> str:
    metrics, ranks, faces = found.metrics(name), found.ranks[name], found.sets[name]
    titles = [f"{m.title} {ARROWS[m.higher_is_better]}".strip() for m in metrics.values()]
    lines = [["Method", *titles], ["---"] * (1 + len(titles))]
    for method in found.cards:
        if why := found.failed.get((name, method)):
            lines.append([_plain(method), f"no numbers: {_plain(why)}", *[""] * (len(titles) - 1)])
            continue
        row, cells = row_of(found.evaluations[name, method]), []
        for m, metric in metrics.items():
            text = cell(row, m, metric.digits).partition(" ")[0] if m in row else ""
            cells.append(f"**{text}**" if ranks[m].get(method) == 1 else text)
        lines.append([_plain(method), *cells])
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    said = [
        f"**{faces.card.title or name}.** {about(found, name)} Fingerprint of the files {faces.fingerprint[:12]}.",
        *remarks(found, name),
        "Means over faces, outputs rounded to 8 bits, whole pictures in RGB. Bold: rank 1.",
        RULE,
        "Methods: " + "; ".join(_named(method, card) for method, card in found.cards.items() if card) + ".",
        *(f"{label} is missing: {why}." for label, why in missing(found, name).items()),
        f"Intervals and settings of each metric: benchmark.json and metrics.json (hifacegan-workbench {__version__}).",
    ]
    return f"{rows}\n\n{_plain(' '.join(said))}\n"


def _named(method: str, card: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in card.get("settings", {}).items())
    if settings:
        return f"{method} ({settings}; {card['settings_are']})"
    return f"{method} (sha256 {card['sha256'][:12]})" if card["sha256"] else method


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
