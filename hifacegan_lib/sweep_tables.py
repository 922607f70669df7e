"""The files of a sweep's comparison: tables as text, Markdown, CSV and JSON, a grid of pictures, and curves.

The tables are :meth:`Sweep.frame` and :meth:`Sweep.differences`, with each metric's mean and interval in one column.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hifacegan_lib.reports.plots import canvas, image_rows, psnr, save
from hifacegan_lib.reports.run_log import read_lines, read_pictures, strip_faces
from hifacegan_lib.sweeps import Sweep, metrics
from hifacegan_lib.utils.files import write_json, write_text
from hifacegan_lib.utils.images import Pixels, load_image

FILES = ("table.md", "table.csv", "table.json", "grid.png", "curves.png")
FACES = 8  # at most, in a row of the picture grid
NOTE = "mean ± half of its 95 % interval over seeds (Student's t)"


def number(mean: float, high: float = np.nan, sign: str = "") -> str:
    """``25.93 ± 0.21``: two digits of the half interval and as many places of the mean; without one, five digits.

    Args:
        high: upper end of the interval; NaN: there is none.
        sign: "+" shows the sign of positive numbers too.
    """
    if np.isnan(mean):
        return "-"
    half = high - mean
    if not half > 0:
        return f"{mean:{sign},.0f}" if mean == round(mean) else f"{mean:{sign}.5g}"
    places = max(0, 1 - int(np.floor(np.log10(half))))
    return f"{mean:{sign},.{places}f} ± {half:,.{places}f}"


def constants(sweep: Sweep) -> dict[str, float]:
    """Metrics with the same value in all of several finished cells; the tables have no column for them."""
    done = sweep.results().query("status == 'done'")
    return {name: done[name].max() for name in metrics(sweep, done) if len(done) > 1 and done[name].nunique() == 1}


def texts(sweep: Sweep) -> dict[str, pd.DataFrame]:
    """The tables to show, by title: every value is a text."""
    means, differences = sweep.frame(), sweep.differences()
    names = [name for name in metrics(sweep, sweep.results()) if name not in constants(sweep)]
    counts = ["done", *(status for status in ("failed", "not run") if means[status].any())]
    note = f": {NOTE}" if (means["done"] > 1).any() else ""
    tables = {f"{sweep.notebook}, {sweep.profile}{note}": _texts(means, [*sweep.factors, *counts], names)}
    if len(differences):
        (factor,), less = sweep.factors, differences["less"][0]
        tables[f"difference to {factor} {less}, seed by seed"] = _texts(differences, [factor, "seeds"], names, "+")
    return tables


def _texts(frame: pd.DataFrame, keys: list[str], names: list[str], sign: str = "") -> pd.DataFrame:
    columns = {key: [str(value) for value in frame[key]] for key in keys}
    for name in names:
        columns[name] = [number(*ends, sign) for ends in zip(frame[name], frame[f"{name}_high"], strict=True)]
    return pd.DataFrame(columns)


def notes(sweep: Sweep) -> list[str]:
    """The lines below the tables: constant metrics, metrics that some finished cells lack, cells that are not done."""
    results = sweep.results()
    done, failed = (results[results["status"] == status] for status in ("done", "failed"))
    same = ", ".join(f"{name} {number(value)}" for name, value in constants(sweep).items())
    lines = [f"the same in every cell: {same}"] if same else []
    for name, count in done[metrics(sweep, results)].count().items():
        if count < len(done):
            lines.append(f"{name}: only {count} of {len(done)} finished cells have it")
    lines += [f"failed: {cell}: {(error.splitlines() or [''])[0][:200]}" for cell, error in failed["error"].items()]
    waiting = ", ".join(map(str, results.index[results["status"] == "not run"]))
    return [*lines, f"not run: {waiting}"] if waiting else lines


def as_text(sweep: Sweep) -> str:
    """The tables for a terminal."""
    parts = [f"{title}\n{table.to_string(index=False)}" for title, table in texts(sweep).items()]
    return "\n\n".join([*parts, "\n".join(notes(sweep))]).rstrip()


def as_markdown(sweep: Sweep) -> str:
    """The tables as Markdown."""
    parts = []
    for title, table in texts(sweep).items():
        lines = [[str(name) for name in table], ["---"] * table.shape[1], *table.to_numpy().tolist()]
        parts.append("\n".join([title, "", *(f"| {' | '.join(line)} |" for line in lines)]))
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(sweep))]).rstrip() + "\n"


def as_json(sweep: Sweep) -> dict[str, Any]:
    """The rows of both frames (None for NaN), and the cells that are not done with their errors."""
    waiting = sweep.results().query("status != 'done'").reset_index()[["cell", "status", "error"]]
    frames = {"rows": sweep.frame(), "differences": sweep.differences(), "open": waiting}
    records = {name: f.astype(object).where(f.notna(), None).to_dict("records") for name, f in frames.items()}
    return {"notebook": sweep.notebook, "profile": sweep.profile, "factors": sweep.factors, **records}


def write(sweep: Sweep) -> list[Path]:
    """Write the tables and, if the runs have what they show, grid.png and curves.png. Returns the paths."""
    folder = sweep.folder
    write_text(folder / "table.md", as_markdown(sweep))
    write_text(folder / "table.csv", sweep.frame().to_csv(index=False, lineterminator="\n"))
    write_json(folder / "table.json", as_json(sweep))
    groups: dict[str, list[Path]] = {}
    for cell, values in sweep.cells.items():
        groups.setdefault(combination_name({key: values[key] for key in sweep.factors}), []).append(folder / cell)
    for name, figure in (("grid.png", pictures(groups)), ("curves.png", curves(groups))):
        if figure:
            save(figure, folder / name)
    return [path for name in FILES if (path := folder / name).exists()]


def combination_name(factors: Mapping[str, Any]) -> str:
    """A combination's name in pictures: texts without their key, numbers after their key."""
    texts = [str(value) if value and isinstance(value, str) else f"{key} {value}" for key, value in factors.items()]
    return ", ".join(texts).replace("_", " ") or "restored"


def pictures(groups: Mapping[str, Sequence[Path]]) -> Figure | None:
    """Rows of faces: degraded, restored by each combination's first run that has a strip, clean. None without strips.

    A combination with other degraded faces (another recipe or size) has its own row of them.
    """
    strips = {}
    for name, folders in groups.items():
        if found := next(filter(None, map(read_pictures, folders)), {}):
            strips[name] = strip_faces(load_image(found[max(found)]))
    if not strips:
        return None
    rows: dict[str, list[Pixels]] = {}
    captions: dict[str, list[str]] = {}
    before: list[Pixels] = []
    for name, faces in strips.items():
        lines = {name: faces["restored"]}
        if not np.array_equal(faces["degraded"], before):
            before = faces["degraded"]
            lines = {f"degraded, {name}" if rows else "degraded": before, **lines}
        rows |= lines
        for line, images in lines.items():
            pairs = zip(faces["clean"], images, strict=True)
            captions[line] = [f"{psnr(clean, image):.1f} dB" for clean, image in pairs]
    rows["clean"] = max((faces["clean"] for faces in strips.values()), key=lambda row: row[0].size)
    count = min(FACES, *map(len, rows.values()))
    wrapped = {name: "\n".join(textwrap.fill(part, 16) for part in name.split(", ")) for name in rows}
    below = {wrapped[name]: texts[:count] for name, texts in captions.items()}
    return image_rows({wrapped[name]: row[:count] for name, row in rows.items()}, 1.2, captions=below)


def curves(groups: Mapping[str, Sequence[Path]]) -> Figure | None:
    """PSNR during training, over steps and over seconds: a colour for each combination, a thin line for each run.

    The thick line is the mean of the runs, up to the end of the shortest. None if no run has logged a PSNR.
    """
    logs: dict[str, list[pd.DataFrame]] = {}
    for name, folders in groups.items():
        for folder in folders:
            if lines := [line for line in read_lines(folder) if "psnr" in line]:
                logs.setdefault(name, []).append(pd.DataFrame(lines))
    if not logs:
        return None
    whole = pd.concat([run for runs in logs.values() for run in runs])
    panels = ["step", "seconds"] if "seconds" in whole and whole["seconds"].notna().all() else ["step"]
    size = (3.6 * len(panels) + (0.09 * max(map(len, logs)) + 0.6 if len(logs) > 1 else 0), 3.3)
    figure, axes = canvas(1, len(panels), figsize=size, sharey=True)
    for axis, x in zip(axes[0], panels, strict=True):
        for n, (name, runs) in enumerate(logs.items()):
            colour = f"C{n}" if len(logs) <= 10 else plt.get_cmap("turbo")(n / (len(logs) - 1))
            for run in runs if len(runs) > 1 else []:
                axis.plot(run[x], run["psnr"], color=colour, linewidth=0.8, alpha=0.6)
            mean = pd.concat(runs).groupby(level=0)[[x, "psnr"]].mean()[: min(map(len, runs))]
            axis.plot(mean[x], mean["psnr"], color=colour, linewidth=2, label=name)
        axis.set_xlabel(x)
        axis.grid(alpha=0.25)
    axes[0, 0].set_ylabel("PSNR of the validation strip, dB")
    if len(logs) > 1:
        axes[0, -1].legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
