"""Compare the choices of paper and code: the tables of docs/ablation.md, from two sweeps.

The first sweep is a grid with one seed. The effect of a choice is the mean difference that it makes over all settings
of the other choices. The interval (Student's t) describes the spread of these differences, which contain the noise of
the seed and interactions of the choices. The second sweep has one factor and several seeds; its own tables are used.

    python docs/ablation.py runs/ablation runs/ablation-seeds
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from hifacegan_lib.utils.files import read_json
from hifacegan_lib.utils.statistics import t_interval

METRICS = {"gain": ("gain, dB", 3), "ssim": ("SSIM", 4)}
FIRST = {"suppression": "inner_product", "guidance": "features", "modulation": "gamma"}  # the paper's


def effects(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Per value of each factor, the difference from the paper's value: settings, mean and half interval."""
    names = [key for key in rows[0] if key in FIRST]
    found = {tuple(row[name] for name in names): row for row in rows}
    lines = []
    for place, name in enumerate(names):
        for value in dict.fromkeys(key[place] for key in found):
            if value == FIRST[name]:
                continue
            pairs = [(key, (*key[:place], FIRST[name], *key[place + 1 :])) for key in found if key[place] == value]
            cells = []
            for metric, (_, digits) in METRICS.items():
                less = t_interval(np.array([found[a][metric] - found[b][metric] for a, b in pairs]))
                cells.append(f"{less.mean:+.{digits}f} ± {less.high - less.mean:.{digits}f}")
            lines.append([f"{name}: {value} less {FIRST[name]}", str(len(pairs)), *cells])
    return lines


def grid(rows: list[dict[str, Any]]) -> list[list[str]]:
    """One line per cell, the best first."""
    order = sorted(rows, key=lambda row: -row["gain"])
    shown = [("gain", "+.3f"), ("psnr", ".3f"), ("ssim", ".4f"), ("seconds", ".0f")]
    factors = [key for key in rows[0] if key in FIRST]
    return [[*(row[key] for key in factors), *(f"{row[name]:{form}}" for name, form in shown)] for row in order]


def seeds(folder: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Per operator, the mean over seeds and the difference from the paper's operator; from the table of the sweep."""

    def text(row: dict[str, Any], name: str, digits: int, sign: str = "") -> str:
        return f"{row[name]:{sign}.{digits}f} ± {row[f'{name}_high'] - row[name]:.{digits}f}"

    found = read_json(folder / "table.json")
    means, less = (
        [
            [row["suppression"], *(text(row, name, digits, sign) for name, (_, digits) in METRICS.items())]
            for row in rows
        ]
        for rows, sign in ((found["rows"], ""), (found["differences"], "+"))
    )
    for line, row in zip(means, found["rows"], strict=True):
        line.append(text(row, "seconds", 0))
    return means, less


def markdown(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, help="folder of the sweep over all choices")
    parser.add_argument("seeds", type=Path, help="folder of the sweep over suppression and seeds")
    options = parser.parse_args()
    rows = read_json(options.grid / "table.json")["rows"]
    titles = [title for title, _ in METRICS.values()]
    print(markdown([*(key for key in rows[0] if key in FIRST), "gain, dB", "PSNR, dB", "SSIM", "seconds"], grid(rows)))
    print(markdown(["effect", "settings", *titles], effects(rows)))
    gains = [row["gain"] for row in rows]
    print(f"between the best and the worst of {len(rows)} cells: {max(gains) - min(gains):.3f} dB\n")
    means, less = seeds(options.seeds)
    print(markdown(["suppression", *titles, "seconds"], means))
    print(markdown(["less inner_product, seed by seed", *titles], less))


if __name__ == "__main__":
    main()
