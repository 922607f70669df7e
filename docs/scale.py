"""From measured costs to fleets: tables of machines, hours and bytes, from the result of benchmarks/growth.py.

    python benchmarks/growth.py --check 10 --out benchmarks/results/growth_cpu.json
    python docs/scale.py

A stage takes  seconds = a + b n  and  megabytes = c + d n  for n faces (benchmarks/growth.py fits a, b, c and d). Hours
are those of one machine as measured; n faces need  hours / DAY  machines to be done within a day, if the stage can be
divided. Memory cannot be divided: n is at most  (MEMORY - c) / d  on one machine.
"""

import argparse
import math
from pathlib import Path
from typing import Any

from hifacegan_lib.utils.files import read_json

SIZES = {"70 thousand (FFHQ)": 70_000, "10 million": 10**7, "1 billion": 10**9}
DAY = 24.0  # hours
MEMORY = 16_000.0  # megabytes of a small machine
BYTES = {  # of a face on disk
    "PNG files of 1,024 px (FFHQ: 89 GB for 70,000)": 89e9 / 70_000,
    "shards of 604 px, not compressed": 3 * 604**2 + 1536,
    "shards of 256 px, not compressed": 3 * 256**2 + 1536,
}


def hours(stage: dict[str, Any], faces: int) -> float:
    return float(stage["start"] + stage["face"] * faces) / 3600


def most(stage: dict[str, Any]) -> float:
    """Faces that fit into MEMORY; infinite if the memory does not grow."""
    grows = max(stage["megabytes_face"], 0.0)
    return float((MEMORY - stage["base"]) / grows) if grows else float("inf")


def machines(needed: float) -> str:
    """Machines that take a day for so many hours, rounded up."""
    count = math.ceil(needed / DAY)
    return f"{short(count)} machine{'s' if count > 1 else ''}"


def short(value: float) -> str:
    """Two digits, with thousand, million, billion."""
    for size, name in ((1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if value >= 10 * size or (value >= size and size > 1e3):
            return f"{float(f'{value / size:.2g}'):g}{name}"
    return f"{float(f'{value:.2g}'):g}" if value < 1e3 else f"{float(f'{value:.2g}'):,.0f}"


def size(count: float) -> str:
    """Bytes in words."""
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if count >= factor:
            return f"{float(f'{count / factor:.2g}'):g} {unit}"
    return f"{count / 1e6:.0f} MB"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    file = Path(__file__).parents[1] / "benchmarks" / "results" / "growth_cpu.json"
    parser.add_argument("growth", nargs="?", type=Path, default=file, help="result of benchmarks/growth.py")
    found = read_json(parser.parse_args().growth)
    rows = []
    for name, stage in found["stages"].items():
        needed = [f"{short(h)} h, {machines(h)}" for h in (hours(stage, n) for n in SIZES.values())]
        each = [short(1e3 * stage["face"]), f"{stage['growth']:.2f}", *needed]
        limit = most(stage)
        rows.append([name, *each, "-" if limit > 1e12 else short(limit)])
    head = ["stage", "ms for a face", "last / mean", *SIZES, f"most faces in {MEMORY / 1000:.0f} GB"]
    print(markdown(head, rows))
    print(
        markdown(
            ["on disk", *SIZES], [[name, *(size(each * n) for n in SIZES.values())] for name, each in BYTES.items()]
        )
    )


if __name__ == "__main__":
    main()
