"""What a sweep found: a table over seeds, differences over the same seeds, a picture grid and curves.

A metric's interval is Student's: mean ± t(0.975, n - 1) s / sqrt(n), for n seeds that are draws of one distribution.
Seeds share images and damage across the combinations, so the difference of two combinations is measured seed by seed:
what a seed does to both falls out of it.
"""

import csv
import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from hifacegan_lib.reports.plots import canvas, image_rows, psnr, save
from hifacegan_lib.reports.run_log import read_lines, read_pictures
from hifacegan_lib.sweeps import Result, Sweep, result
from hifacegan_lib.utils.files import write_json
from hifacegan_lib.utils.images import Pixels, load_image

FACES = 8  # at most, in a row of the picture grid
GAP = 2  # pixels between the faces of a strip
NOTE = "mean ± half of its 95 % interval over seeds (Student's t)"
Interval = dict[str, float | int | None]


def interval(values: Sequence[float]) -> Interval:
    """``mean``, ``low``, ``high`` and ``n`` of at least one value; one value has no interval."""
    mean, n = float(np.mean(values)), len(values)
    if n == 1:
        return {"mean": mean, "low": None, "high": None, "n": n}
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5)
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def combinations(sweep: Sweep) -> list[tuple[dict[str, Any], list[Result]]]:
    """The values of what varies besides the seed, and the results of the cells that have them."""
    groups: dict[str, tuple[dict[str, Any], list[Result]]] = {}
    for cell, values in sweep.cells.items():
        factors = {key: value for key, value in values.items() if key != "seed"}
        groups.setdefault(json.dumps(factors), (factors, []))[1].append(result(sweep, cell))
    return list(groups.values())


def table(sweep: Sweep) -> dict[str, Any]:
    """Everything that is written of a sweep, as plain values: rows, differences, and the cells that are not done."""
    groups = combinations(sweep)
    rows = []
    for factors, results in groups:
        counts = {status: sum(r.status == status for r in results) for status in ("done", "failed", "not run")}
        rows.append({"factors": factors, **counts, "metrics": _intervals([r.metrics for r in results])})
    open_cells = [r for _, results in groups for r in results if r.status != "done"]
    return {
        "notebook": sweep.notebook,
        "profile": sweep.profile,
        "rows": rows,
        "differences": differences(groups),
        "open": [{"cell": r.cell, "status": r.status, "error": r.error} for r in open_cells],
    }


def differences(groups: Sequence[tuple[Mapping[str, Any], Sequence[Result]]]) -> list[dict[str, Any]]:
    """Where one key varies besides the seed: each of its values less the first, over the seeds that both have done."""
    if not groups or len(groups[0][0]) != 1:
        return []
    by_seed = [{r.values["seed"]: r.metrics for r in rs if r.metrics and "seed" in r.values} for _, rs in groups]
    found = []
    for (factors, _), mine in zip(groups[1:], by_seed[1:], strict=True):
        pairs = [(mine[seed], by_seed[0][seed]) for seed in mine if seed in by_seed[0]]
        less = [{name: a[name] - b[name] for name in a if name in b} for a, b in pairs]
        if len(less) > 1:
            found.append({"factors": factors, "against": groups[0][0], "metrics": _intervals(less)})
    return found


def _intervals(measured: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
    names = dict.fromkeys(name for numbers in measured for name in numbers)
    return {name: interval([numbers[name] for numbers in measured if name in numbers]) for name in names}


def number(x: Interval, sign: str = "") -> str:
    """``25.93 ± 0.21``: two digits of the interval and as many places of the mean; alone, five digits of it."""
    mean, high = x["mean"], x["high"]
    assert mean is not None
    half = 0.0 if high is None else high - mean
    if half <= 0:
        return f"{mean:{sign},.0f}" if mean == round(mean) else f"{mean:{sign}.5g}"
    places = max(0, 1 - int(np.floor(np.log10(half))))
    return f"{mean:{sign},.{places}f} ± {half:,.{places}f}"


def constants(found: Mapping[str, Any]) -> dict[str, float]:
    """Metrics that are the same in every cell of several: no column is spent on them."""
    rows = [row["metrics"] for row in found["rows"] if row["metrics"]]
    same = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = {row[name][part] for row in rows if name in row for part in ("mean", "low", "high")} - {None}
        if len(values) == 1 and sum(row["done"] for row in found["rows"]) > 1:
            same[name] = values.pop()
    return same


def grids(found: Mapping[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """The tables to show, each a title and lines of words, the first of them the head."""
    same, rows, less = constants(found), found["rows"], found["differences"]
    names = [n for n in dict.fromkeys(n for row in rows for n in row["metrics"]) if n not in same]
    counts = ["done", *(status for status in ("failed", "not run") if any(row[status] for row in rows))]
    lines = [[*rows[0]["factors"], *counts, *names]]
    for row in rows:
        cells = [number(row["metrics"][n]) if n in row["metrics"] else "-" for n in names]
        lines.append([*map(str, row["factors"].values()), *(str(row[c]) for c in counts), *cells])
    note = f": {NOTE}" if any(row["done"] > 1 for row in rows) else ""
    shown = [(f"{found['notebook']}, {found['profile']}{note}", lines)]
    if less:
        ((key, first),) = less[0]["against"].items()
        lines = [[key, "seeds", *names]]
        for row in less:
            pairs = max(x["n"] for x in row["metrics"].values())
            cells = [number(row["metrics"][n], "+") if n in row["metrics"] else "-" for n in names]
            lines.append([str(row["factors"][key]), str(pairs), *cells])
        shown.append((f"difference to {key} {first}, seed by seed", lines))
    return shown


def notes(found: Mapping[str, Any]) -> list[str]:
    """What is said below the tables: what is the same everywhere, and every cell that failed, with its error."""
    same = ", ".join(f"{name} {number(interval([value]))}" for name, value in constants(found).items())
    lines = [f"the same in every cell: {same}"] if same else []
    failed = [f"failed: {r['cell']}: {_first_line(r['error'])}" for r in found["open"] if r["status"] == "failed"]
    waiting = [r["cell"] for r in found["open"] if r["status"] == "not run"]
    return [*lines, *failed, *([f"not run: {', '.join(waiting)}"] if waiting else [])]


def _first_line(error: str) -> str:
    return (error.splitlines() or [""])[0][:200]


def as_text(found: Mapping[str, Any]) -> str:
    """For a terminal: aligned columns."""
    parts = []
    for title, lines in grids(found):
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = ("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) for line in lines)
        parts.append("\n".join([title, *(line.rstrip() for line in body)]))
    return "\n\n".join([*parts, *(["\n".join(notes(found))] if notes(found) else [])])


def as_markdown(found: Mapping[str, Any]) -> str:
    parts = []
    for title, (head, *lines) in grids(found):
        rule = ["---"] * len(head)
        parts.append("\n".join([title, "", *(f"| {' | '.join(line)} |" for line in (head, rule, *lines))]))
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(found))]).rstrip() + "\n"


def as_csv(found: Mapping[str, Any]) -> str:
    """A line for each combination; of each metric its mean, and the ends of its interval."""
    names = dict.fromkeys(name for row in found["rows"] for name in row["metrics"])
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    counts = ["done", "failed", "not run"]
    ends = {"": "mean", "_low": "low", "_high": "high"}
    writer.writerow([*found["rows"][0]["factors"], *counts, *(f"{name}{end}" for name in names for end in ends)])
    for row in found["rows"]:
        numbers = [row["metrics"].get(name, {}).get(part) for name in names for part in ends.values()]
        writer.writerow([*row["factors"].values(), *(row[c] for c in counts), *numbers])
    return lines.getvalue()


def write(sweep: Sweep) -> dict[str, Any]:
    """Write table.json, table.md, table.csv and, where runs left what they need, grid.png and curves.png."""
    found = table(sweep)
    write_json(sweep.folder / "table.json", found)
    for name, text in (("table.md", as_markdown(found)), ("table.csv", as_csv(found))):
        partial = sweep.folder / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(sweep.folder / name)
    groups = {words(factors): [sweep.folder / r.cell for r in results] for factors, results in combinations(sweep)}
    for name, figure in (("grid.png", pictures(groups)), ("curves.png", curves(groups))):
        if figure:
            save(figure, sweep.folder / name)
    return found


def words(factors: Mapping[str, Any]) -> str:
    """A combination's name in pictures: words stand for themselves, numbers after their key."""
    texts = [str(value) if value and isinstance(value, str) else f"{key} {value}" for key, value in factors.items()]
    return ", ".join(texts).replace("_", " ") or "restored"


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.fill(part, 16) for part in name.split(", "))


def faces(strip: Pixels) -> dict[str, list[Pixels]]:
    """A training strip cut into its squares: rows degraded, restored and clean, ``GAP`` pixels between the faces."""
    side = (strip.shape[0] - 2 * GAP) // 3
    starts = range(0, strip.shape[1] - side + 1, side + GAP)
    return {
        name: [strip[n * (side + GAP) :][:side, left : left + side] for left in starts]
        for n, name in enumerate(("degraded", "restored", "clean"))
    }


def pictures(groups: Mapping[str, Sequence[Path]]) -> Figure | None:
    """Faces of each combination's first run that has a strip: degraded, restored by each, clean; None without strips.

    Degraded faces are shown anew where a combination has others: another recipe, or another size.
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
        if not _same(rows["degraded"], before):
            before = rows["degraded"]
            shown[_wrapped(f"degraded, {name}") if shown else "degraded"] = before
        shown[_wrapped(name)] = rows["restored"]
        for line in list(shown)[len(captions) :]:
            pairs = zip(rows["clean"][:count], shown[line], strict=False)
            captions[line] = [f"{psnr(clean, image):.1f} dB" for clean, image in pairs]
    shown["clean"] = max((rows["clean"] for rows in strips.values()), key=lambda row: row[0].size)
    return image_rows({name: row[:count] for name, row in shown.items()}, 1.2, captions=captions)


def _same(a: Sequence[Pixels], b: Sequence[Pixels]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def curves(groups: Mapping[str, Sequence[Path]]) -> Figure | None:
    """PSNR while training, over steps and over seconds: a colour for each combination, a thin line for each run.

    The thick line is their mean, as far as all of them went. None when no run has noted a PSNR.
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
