"""Paper against code: what each choice does, read off two sweeps: docs/ablation.md's tables.

The grid has one seed. A choice's effect is the difference that it makes in each setting of the other choices, and the
interval says how far these differences lie apart (Student's t): they hold the noise of a seed and what choices do to
each other. The second sweep has one factor and several seeds, whose own tables say the rest.

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
    """For each value of each factor less the paper's, setting by setting: mean, half interval, how many settings."""
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
    """One line for each cell, best first."""
    order = sorted(rows, key=lambda row: -row["gain"])
    shown = [("gain", "+.3f"), ("psnr", ".3f"), ("ssim", ".4f"), ("seconds", ".0f")]
    factors = [key for key in rows[0] if key in FIRST]
    return [[*(row[key] for key in factors), *(f"{row[name]:{form}}" for name, form in shown)] for row in order]


def seeds(folder: Path) -> tuple[list[list[str]], list[list[str]]]:
    """For each operator its mean over seeds; and less the paper's, seed by seed; from the sweep's own table."""

    def words(row: dict[str, Any], name: str, digits: int, sign: str = "") -> str:
        return f"{row[name]:{sign}.{digits}f} ± {row[f'{name}_high'] - row[name]:.{digits}f}"

    found = read_json(folder / "table.json")
    means, less = (
        [
            [row["suppression"], *(words(row, name, digits, sign) for name, (_, digits) in METRICS.items())]
            for row in rows
        ]
        for rows, sign in ((found["rows"], ""), (found["differences"], "+"))
    )
    for line, row in zip(means, found["rows"], strict=True):
        line.append(words(row, "seconds", 0))
    return means, less


def markdown(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, help="folder of the sweep over all choices")
    parser.add_argument("seeds", type=Path, help="folder of the sweep over suppression and seeds")
    choice = parser.parse_args()
    rows = read_json(choice.grid / "table.json")["rows"]
    titles = [title for title, _ in METRICS.values()]
    print(markdown([*(key for key in rows[0] if key in FIRST), "gain, dB", "PSNR, dB", "SSIM", "seconds"], grid(rows)))
    print(markdown(["effect", "settings", *titles], effects(rows)))
    gains = [row["gain"] for row in rows]
    print(f"between the best and the worst of {len(rows)} cells: {max(gains) - min(gains):.3f} dB\n")
    means, less = seeds(choice.seeds)
    print(markdown(["suppression", *titles, "seconds"], means))
    print(markdown(["less inner_product, seed by seed", *titles], less))


if __name__ == "__main__":
    main()
