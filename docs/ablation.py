"""Paper against code: what each choice does, read off two sweeps: docs/ablation.md's tables.

The grid has one seed. A choice's effect is the difference that it makes in each setting of the other choices, and the
interval says how far these differences lie apart (Student's t): they hold the noise of a seed and what choices do to
each other. The second sweep has one factor and several seeds, whose own tables say the rest.

    python docs/ablation.py runs/ablation runs/ablation-seeds
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

METRICS = {"gain": ("gain, dB", 3), "ssim": ("SSIM", 4)}
FIRST = {"suppression": "inner_product", "guidance": "features", "modulation": "gamma"}  # the paper's


def effects(rows: list[dict[str, Any]]) -> list[list[str]]:
    """For each value of each factor less the paper's, setting by setting: mean, half interval, how many settings."""
    found = {tuple(row["factors"].values()): row["metrics"] for row in rows}
    names = list(rows[0]["factors"])
    lines = []
    for place, name in enumerate(names):
        for value in dict.fromkeys(key[place] for key in found):
            if value == FIRST[name]:
                continue
            pairs = [(key, (*key[:place], FIRST[name], *key[place + 1 :])) for key in found if key[place] == value]
            cells = []
            for metric, (_, digits) in METRICS.items():
                less = np.array([found[a][metric]["mean"] - found[b][metric]["mean"] for a, b in pairs])
                half = stats.t.ppf(0.975, len(less) - 1) * less.std(ddof=1) / len(less) ** 0.5
                cells.append(f"{less.mean():+.{digits}f} ± {half:.{digits}f}")
            lines.append([f"{name}: {value} less {FIRST[name]}", str(len(pairs)), *cells])
    return lines


def grid(rows: list[dict[str, Any]]) -> list[list[str]]:
    """One line for each cell, best first."""
    order = sorted(rows, key=lambda row: -row["metrics"]["gain"]["mean"])
    shown = [("gain", "+.3f"), ("psnr", ".3f"), ("ssim", ".4f"), ("seconds", ".0f")]
    return [
        [*row["factors"].values(), *(f"{row['metrics'][name]['mean']:{form}}" for name, form in shown)] for row in order
    ]


def seeds(folder: Path) -> tuple[list[list[str]], list[list[str]]]:
    """For each operator its mean over seeds; and less the paper's, seed by seed; from the sweep's own table."""

    def words(x: dict[str, float], digits: int, sign: str = "") -> str:
        return f"{x['mean']:{sign}.{digits}f} ± {x['high'] - x['mean']:.{digits}f}"

    found = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    means, less = (
        [
            [row["factors"]["suppression"], *(words(row["metrics"][m], d, sign) for m, (_, d) in METRICS.items())]
            for row in found[part]
        ]
        for part, sign in (("rows", ""), ("differences", "+"))
    )
    for line, row in zip(means, found["rows"], strict=True):
        line.append(words(row["metrics"]["seconds"], 0))
    return means, less


def markdown(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, help="folder of the sweep over all choices")
    parser.add_argument("seeds", type=Path, help="folder of the sweep over suppression and seeds")
    choice = parser.parse_args()
    rows = json.loads((choice.grid / "table.json").read_text(encoding="utf-8"))["rows"]
    titles = [title for title, _ in METRICS.values()]
    print(markdown([*rows[0]["factors"], "gain, dB", "PSNR, dB", "SSIM", "seconds"], grid(rows)))
    print(markdown(["effect", "settings", *titles], effects(rows)))
    gains = [row["metrics"]["gain"]["mean"] for row in rows]
    print(f"between the best and the worst of {len(rows)} cells: {max(gains) - min(gains):.3f} dB\n")
    means, less = seeds(choice.seeds)
    print(markdown(["suppression", *titles, "seconds"], means))
    print(markdown(["less inner_product, seed by seed", *titles], less))


if __name__ == "__main__":
    main()
