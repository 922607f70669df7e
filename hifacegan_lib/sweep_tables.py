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
from hifacegan_lib.reports.run_log import read_lines, read_pictures
from hifacegan_lib.sweeps import Sweep, metrics
from hifacegan_lib.utils.files import write_json, write_text
from hifacegan_lib.utils.images import Pixels, load_image

FILES = ("table.md", "table.csv", "table.json", "grid.png", "curves.png")
FACES = 8  # at most, in a row of the picture grid
GAP = 2  # pixels between the faces of a strip
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
    records = {
        name: frame.astype(object).where(frame.notna(), None).to_dict("records") for name, frame in frames.items()
    }
    return {"notebook": sweep.notebook, "profile": sweep.profile, "factors": sweep.factors, **records}


def write(sweep: Sweep) -> list[Path]:
    """Write the tables and, if the runs have what they show, grid.png and curves.png. Returns the paths."""
    folder = sweep.folder
    write_text(folder / "table.md", as_markdown(sweep))
    write_text(folder / "table.csv", sweep.frame().to_csv(index=False, lineterminator="\n"))
    write_json(folder / "table.json", as_json(sweep))
    groups: dict[str, list[Path]] = {}
    for cell, values in sweep.cells.items():
        groups.setdefault(words({key: values[key] for key in sweep.factors}), []).append(folder / cell)
    for name, figure in (("grid.png", pictures(groups)), ("curves.png", curves(groups))):
        if figure:
            save(figure, folder / name)
    return [path for name in FILES if (path := folder / name).exists()]


def words(factors: Mapping[str, Any]) -> str:
    """A combination's name in pictures: texts without their key, numbers after their key."""
    texts = [str(value) if value and isinstance(value, str) else f"{key} {value}" for key, value in factors.items()]
    return ", ".join(texts).replace("_", " ") or "restored"


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.fill(part, 16) for part in name.split(", "))


def faces(strip: Pixels) -> dict[str, list[Pixels]]:
    """The faces of a training strip: rows degraded, restored and clean, ``GAP`` pixels between the faces.

    Args:
        strip: uint8, height x width x 3.
    """
    side = (strip.shape[0] - 2 * GAP) // 3
    starts = range(0, strip.shape[1] - side + 1, side + GAP)
    return {
        name: [strip[n * (side + GAP) :][:side, left : left + side] for left in starts]
        for n, name in enumerate(("degraded", "restored", "clean"))
    }


def pictures(groups: Mapping[str, Sequence[Path]]) -> Figure | None:
    """Rows of faces: degraded, restored by each combination's first run that has a strip, clean. None without strips.

    A combination with other degraded faces (another recipe or size) has its own row of them.
    """
    strips = {}
    for name, folders in groups.items():
        last = [found[max(found)] for folder in folders if (found := read_pictures(folder))]
        if last:
            strips[name] = faces(load_image(last[0]))
    if not strips:
        return None
    count = min(FACES, *(len(rows["clean"]) for rows in strips.values()))
    shown: dict[str, list[Pixels]] = {}
    captions: dict[str, list[str]] = {}
    before: list[Pixels] = []
    for name, rows in strips.items():
        if not np.array_equal(rows["degraded"], before):
            before = rows["degraded"]
            shown[_wrapped(f"degraded, {name}") if shown else "degraded"] = before
        shown[_wrapped(name)] = rows["restored"]
        for line in list(shown)[len(captions) :]:
            pairs = zip(rows["clean"][:count], shown[line], strict=False)
            captions[line] = [f"{psnr(clean, image):.1f} dB" for clean, image in pairs]
    shown["clean"] = max((rows["clean"] for rows in strips.values()), key=lambda row: row[0].size)
    return image_rows({name: row[:count] for name, row in shown.items()}, 1.2, captions=captions)


def curves(groups: Mapping[str, Sequence[Path]]) -> Figure | None:
    """PSNR during training, over steps and over seconds: a colour for each combination, a thin line for each run.

    The thick line is the mean of the runs, up to the end of the shortest. None if no run has logged a PSNR.
    """
    logs = {
        name: [log for folder in folders if (log := [line for line in read_lines(folder) if "psnr" in line])]
        for name, folders in groups.items()
    }
    logs = {name: runs for name, runs in logs.items() if runs}
    if not logs:
        return None
    timed = all("seconds" in line for runs in logs.values() for log in runs for line in log)
    panels = ["step", "seconds"] if timed else ["step"]
    longest = max(len(name) for name in logs)
    size = (3.6 * len(panels) + (0.09 * longest + 0.6 if len(logs) > 1 else 0), 3.3)
    figure, axes = canvas(1, len(panels), figsize=size, sharey=True, layout="constrained")
    for axis, x in zip(axes[0], panels, strict=True):
        for n, (name, runs) in enumerate(logs.items()):
            colour = f"C{n}" if len(logs) <= 10 else plt.get_cmap("turbo")(n / (len(logs) - 1))
            lines = [np.array([(line[x], line["psnr"]) for line in log], float) for log in runs]
            for line in lines if len(lines) > 1 else []:
                axis.plot(*line.T, color=colour, linewidth=0.8, alpha=0.6)
            mean = np.mean([line[: min(map(len, lines))] for line in lines], 0)
            axis.plot(*mean.T, color=colour, linewidth=2, label=name)
        axis.set_xlabel(x)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("PSNR of the validation strip, dB")
    if len(logs) > 1:
        axes[0, -1].legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
