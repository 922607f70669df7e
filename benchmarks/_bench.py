"""What every benchmark shares: options, fair timing, the machine in words, tables, the last line of JSON.

Fair on a machine that others use too: the contestants take turns, round by round, each doing all its calls in a row as
it would by itself, and a ratio is the median over the rounds of (their time / our time), so that what slows both at
once cancels.

Scripts fix the number of threads in ``os.environ`` before they load NumPy.
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

Call = Callable[[], object]
Times = dict[str, list[float]]
OURS = "ours"


def options(description: str, example: str) -> argparse.ArgumentParser:
    """A parser with ``--quick`` and ``--out``; ``example`` closes its help."""
    parser = argparse.ArgumentParser(
        description=description, epilog=f"example: {example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rounds: a look, not a number to quote")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write machine, tables and ratios as JSON")
    return parser


def race(
    contestants: Mapping[str, Sequence[Call]],
    rounds: int,
    patience: float = 0.2,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Mean seconds of a call, for each contestant and round. They take turns, another one first in each round.

    Everybody warms up with a turn that does not count, but for those whose calls take longer than ``patience`` seconds:
    it is their only one. With ``time.process_time`` as ``clock`` the seconds are those of the processor: other
    programs' are left out, every thread's counted.
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
    """Their median."""
    return 1e3 * statistics.median(seconds)


def ratio(times: Times, peer: str) -> float:
    """How many times faster ours is than ``peer``: the median over the rounds; 1 is a tie."""
    theirs, mine = times[peer], times[OURS]
    if len(theirs) != len(mine):
        return statistics.median(theirs) / statistics.median(mine)
    return statistics.median(their / my for their, my in zip(theirs, mine, strict=True))


def machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, and versions of Python and ``packages``; null for what is not installed."""
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
    """A Markdown table: the first column to the left, the others to the right; floats with three digits."""
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
    """Write the record when asked to, whole or not at all, and end the script's output with its line of ratios."""
    rounded = {name: None if value is None else round(value, 3) for name, value in ratios.items()}
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_name(f".{out.name}.partial")
        partial.write_text(json.dumps({**record, "ratios": rounded}, indent=2) + "\n")
        partial.replace(out)
    print(json.dumps(rounded))
