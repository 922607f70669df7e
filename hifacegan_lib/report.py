"""An evaluation as one HTML file that opens anywhere: table, pictures and conditions, nothing fetched, no script."""

import base64
import io
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from hifacegan_lib.evaluation import Evaluation, cell

_SHOWN_ELSEWHERE = frozenset({"metrics", "unavailable"})


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    figures: Mapping[str, Figure],
    params: Mapping[str, Any],
    environment: Mapping[str, Any],
    title: str = "Face renovation",
) -> Path:
    """Write the report, whole or not at all.

    Args:
        figures: caption -> figure, in order; a caption's first sentence is its title.
        params: the notebook's parameters.
        environment: versions, device and commit, see :func:`hifacegan_lib.runs.environment`.
    """
    path = Path(path)
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(files("hifacegan_lib").joinpath("report.html").read_text(encoding="utf-8"))
    conditions = {k: v for k, v in evaluation.conditions.items() if k not in _SHOWN_ELSEWHERE}
    text = template.render(
        title=title,
        evaluation=evaluation,
        finding=_finding(evaluation),
        table=_table(evaluation),
        figures=[_picture(caption, figure) for caption, figure in figures.items()],
        conditions=_flat(conditions),
        params=_flat(params),
        environment=_flat(environment),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def _finding(evaluation: Evaluation) -> dict[str, Any] | None:
    """The best method by PSNR, its gain over the input and over the next best; None when nothing beats the input."""
    means = {row["method"]: row["psnr"] for row in evaluation.rows if row.get("psnr") is not None}
    order = sorted(means, key=lambda method: -means[method])
    if not order or order[0] == "degraded":
        return None
    rival = next((method for method in order[1:] if method != "degraded"), None)
    return {
        "method": order[0],
        "gain": evaluation.gain(order[0]),
        "rival": rival,
        "lead": evaluation.gain(order[0], rival) if rival else None,
    }


def _table(evaluation: Evaluation) -> list[dict[str, Any]]:
    """For each method its cells: mean, interval, whether it is the best."""
    lines = []
    for row in evaluation.rows:
        cells = []
        for name, metric in evaluation.available.items():
            mean, _, interval = cell(row, name, metric.digits).partition(" ")
            best = evaluation.best(name) == row["method"]
            cells.append({"label": metric.title, "mean": mean, "interval": interval, "best": best})
        lines.append({"method": row["method"].replace("_", " "), "cells": cells})
    return lines


def _picture(caption: str, figure: Figure) -> dict[str, Any]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, bbox_inches="tight", pad_inches=0.06)
    title, stop, rest = caption.partition(". ")
    return {
        "title": title + stop.strip(),
        "text": rest,
        "width": round(figure.get_figwidth() * 96),
        "png": base64.b64encode(buffer.getvalue()).decode(),
    }


def _flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Names and values as text; a mapping inside becomes one line."""
    return {
        key.replace("_", " "): ", ".join(f"{k} {v}" for k, v in value.items())
        if isinstance(value, Mapping)
        else f"{value}"
        for key, value in values.items()
    }
