"""Shared parts of the benchmarks: options, timing, a description of the machine, tables, the last line of JSON.

The timing is fair on a machine with other users: in each round the contestants take turns, and each makes all its calls
in a row. A ratio is the median over the rounds of (peer's time / our time), so that a load on both cancels.

Scripts set the number of threads in ``os.environ`` before they import NumPy.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from hifacegan_lib.utils.files import write_json

Call = Callable[[], object]
Times = dict[str, list[float]]
OURS = "ours"


def options(description: str, example: str) -> argparse.ArgumentParser:
    """A parser with ``--quick`` and ``--out``; its help ends with ``example``."""
    parser = argparse.ArgumentParser(
        description=description, epilog=f"example: {example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rounds: fast, but not precise enough to publish")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write machine, tables and ratios as JSON")
    return parser


def race(
    contestants: Mapping[str, Sequence[Call]],
    rounds: int,
    patience: float = 0.2,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Mean seconds of a call, for each contestant and round. Contestants take turns; the first one varies.

    The first turn of each contestant is a warm-up and does not count, unless its calls take more than ``patience``
    seconds: then it is the only turn. With ``time.process_time`` as ``clock``, the seconds are processor time, which
    excludes other programs and adds up all threads.
    """
    alone = {name: _turn(calls, clock) for name, calls in contestants.items()}
    times = {name: [seconds] if seconds > patience else [] for name, seconds in alone.items()}
    racing = [name for name, found in times.items() if not found]
    for turn in range(rounds):
        for name in racing[turn % len(racing) :] + racing[: turn % len(racing)]:
            times[name].append(_turn(contestants[name], clock))
    return times


def _turn(calls: Sequence[Call], clock: Callable[[], float]) -> float:
    start = clock()
    for call in calls:
        call()
    return (clock() - start) / len(calls)


def milliseconds(seconds: Sequence[float]) -> float:
    """The median in milliseconds."""
    return 1e3 * statistics.median(seconds)


def ratio(times: Times, peer: str) -> float:
    """The time of ``peer`` divided by our time, median over the rounds; above 1, ours is faster."""
    theirs, mine = times[peer], times[OURS]
    if len(theirs) != len(mine):
        return statistics.median(theirs) / statistics.median(mine)
    return statistics.median(their / my for their, my in zip(theirs, mine, strict=True))


def machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, and versions of Python and ``packages``; None for a package that is not installed."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table: the first column aligned left, the others right; floats with three digits."""
    cells = [[str(name) for name in head], *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(c.rjust(w) if n else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    rule = "|" + "|".join("-" * (w + 2) if not n else "-" * (w + 1) + ":" for n, w in enumerate(widths))
    return "\n".join(f"{line} |" for line in lines[:1]) + f"\n{rule}|\n" + "\n".join(f"{line} |" for line in lines[1:])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return str(value)


def finish(out: Path | None, ratios: Mapping[str, float | None], **record: Any) -> None:
    """Write the record to ``out``, if given, atomically; then print the ratios as the last line of the output."""
    rounded = {name: None if value is None else round(value, 3) for name, value in ratios.items()}
    if out:
        write_json(out, {**record, "ratios": rounded})
    print(json.dumps(rounded))
