"""Mutation testing: small bugs are put into the core, one at a time, and tests should fail.

Cosmic Ray knows the bugs: another operator, a number plus or minus 1, a condition negated, a decorator removed. A place
in the code counts once, whichever number of bugs it allows: the places of all files are put in an order that only
``--seed`` and the line of code determine, one bug is drawn for each, and the first ``--mutants`` of them are tested. So
a larger sample continues a smaller one, and an edited file changes only its own part of the sample.

A bug is tested first by the tests of its own module (``models/generator.py`` by ``tests/models/test_generator.py``),
then by the other test files of its wing that import the module and take less than a minute (these come first if the
module's own tests take longer). It is killed when a test
fails or when the tests take much longer than without the bug. Each process works on its own copy of the repository. The
results are in ``build/mutants/results.jsonl``; a run that is stopped continues there. ``--again`` tests the survivors
once more.

    make mutants MUTANTS=300 SEED=0
"""

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
WINGS = ("models", "degradations", "data", "training", "metrics", "evaluation")
HOME = ROOT / "build" / "mutants"
ON_A_GPU = {"suppression_triton"}  # its kernels run on a GPU only
PRELOADED = (
    *("cv2", "lightning_fabric", "numpy", "onnx", "onnxruntime", "pandas", "pydantic", "scipy.stats", "skimage.data"),
    *("jinja2", "safetensors.torch", "torch.utils.tensorboard", "torchvision", "tqdm", "yaml"),
)
NEAR = 60.0  # seconds: longer test files are used for their own modules only
SLOWER = 5.0  # factor on the time without the bug, after which a bug is killed by time


class Mutant(NamedTuple):
    path: str
    line: int
    operator: str
    before: str  # the line
    after: str
    code: str  # of the whole file

    @property
    def key(self) -> str:
        return f"{self.path} {hashlib.sha256(self.code.encode()).hexdigest()[:16]}"


def places(path: Path, seed: int) -> Iterator[tuple[str, Path, str, int]]:
    """One bug for each place of a file: its rank, the file, the operator and the operator's occurrence in the file."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.operators.provider import _OPERATORS

    source = path.read_text(encoding="utf-8")
    lines, left_out = source.splitlines(), annotations(source)
    found: dict[Any, list[tuple[str, int]]] = {}
    nodes = list(ast_nodes(get_ast(source)))
    for name, kind in _OPERATORS.items():
        if not kind.arguments():  # those with arguments put random numbers into the code
            operator = kind()
            spots = (spot for node in nodes for spot in operator.mutation_positions(node))
            for occurrence, spot in enumerate(spots):
                if not any(start <= spot[0] < stop for start, stop in left_out):
                    found.setdefault(spot, []).append((name, occurrence))
    for ((line, column), _), bugs in found.items():
        about = f"{seed} {path.relative_to(ROOT)} {column} {lines[line - 1]}"
        rank = hashlib.sha256(about.encode()).hexdigest()
        yield rank, path, *bugs[int(rank, 16) % len(bugs)]


def annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where types stand, which nothing executes for its value: start and end, each a line and a column."""
    nodes = list(ast.walk(ast.parse(source)))
    types = [getattr(node, "annotation", None) for node in nodes] + [getattr(node, "returns", None) for node in nodes]
    return [((t.lineno, t.col_offset), (t.end_lineno, t.end_col_offset)) for t in types if isinstance(t, ast.expr)]  # type: ignore[misc]


def sample(count: int, seed: int, only: str) -> Iterator[Mutant]:
    """The first ``count`` bugs of the files whose path contains ``only``."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import _OPERATORS

    files = (p for wing in WINGS for p in sorted((ROOT / "hifacegan_lib" / wing).glob("*.py")))
    chosen = (p for p in files if p.stem != "__init__" and p.stem not in ON_A_GPU and only in str(p))
    for _, path, name, occurrence in sorted(place for p in chosen for place in places(p, seed))[:count]:
        source = path.read_text(encoding="utf-8")
        code = mutate_code(source, _OPERATORS[name](), occurrence)
        old, new = source.splitlines(), code.splitlines()
        line = next((n for n, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), len(new) - 1)
        yield Mutant(str(path.relative_to(ROOT)), line + 1, name, old[line].strip(), new[line].strip(), code)


def tests_of(path: str) -> list[str]:
    """Test files of a module: its own, then those of its wing that import it."""
    wing, stem = Path(path).parts[-2], Path(path).stem
    own = f"tests/{wing}/test_{stem}.py"
    names = rf"import .*\b{stem}\b|hifacegan_lib\.{wing}\.{stem} import|^    {stem},$"
    files = sorted((ROOT / "tests" / wing).glob("test_*.py"))
    near = [p for p in files if re.search(names, p.read_text(encoding="utf-8"), re.MULTILINE)]
    return [own] * (ROOT / own).exists() + [str(p.relative_to(ROOT)) for p in near if str(p.relative_to(ROOT)) != own]


def start(home: Path, tests: list[str]) -> int:
    """A process that runs test files in a copy of the repository; its output goes to ``home``'s log."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        code = test_here(home, tests)
    finally:
        os._exit(code)


def test_here(home: Path, tests: list[str]) -> int:
    os.setsid()
    log = os.open(home.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1), os.dup2(log, 2)
    os.chdir(home)
    sys.path.insert(0, str(home))
    os.environ["PYTHONPATH"] = str(home)
    import pytest

    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:nbval", f"--basetemp={home}.tmp", *tests]))


class Worker:
    """A copy of the repository, and the test process that runs in it."""

    def __init__(self, number: int) -> None:
        self.home = HOME / f"copy{number}"
        shutil.rmtree(self.home, ignore_errors=True)
        files = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
        )
        for name in files.stdout.decode().splitlines():
            if (ROOT / name).is_file():
                (self.home / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.home / name)

    def run(
        self, mutant: Mutant | None, tests: list[str], limits: dict[str, float]
    ) -> Iterator[tuple[str, float] | None]:
        """None while test files run, one file after the other; then the verdict and its seconds."""
        if mutant:
            (self.home / mutant.path).write_text(mutant.code, encoding="utf-8")
        verdict, begun = "survived", time.monotonic()
        for test in tests:
            pid, since = start(self.home, [test]), time.monotonic()
            while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
                if time.monotonic() - since > limits.get(test, 600):
                    os.killpg(pid, signal.SIGKILL)
                    ended = os.waitpid(pid, 0)
                    break
                yield None
            code = os.waitstatus_to_exitcode(ended[1])
            if code:
                verdict = f"killed by {test}" + (" (time)" if code < 0 else "")
                break
        if mutant:
            shutil.copy2(ROOT / mutant.path, self.home / mutant.path)
        yield verdict, time.monotonic() - begun


def baseline(worker: Worker, tests: list[str]) -> dict[str, float]:
    """Longest time of each test file; measured once, without a bug. Every file must pass."""
    path = HOME / "baseline.json"
    seconds = json.loads(path.read_text()) if path.exists() else {}
    for test in tests:
        key = f"{test} {hashlib.sha256((ROOT / test).read_bytes()).hexdigest()[:16]}"
        if key not in seconds:
            verdict, took = next(found for found in poll(worker.run(None, [test], {})) if found)
            if verdict != "survived":
                sys.exit(f"{test} fails without a bug: see {worker.home.with_suffix('.log')}")
            seconds[key] = took
            path.write_text(json.dumps(seconds, indent=0))
    return {key.split()[0]: max(30.0, SLOWER * took) for key, took in seconds.items()}


def poll(states: Iterator[Any]) -> Iterator[Any]:
    for state in states:
        yield state
        time.sleep(0.05)


def summary(mutants: list[Mutant], results: dict[str, dict[str, Any]]) -> str:
    """The share that was killed, by wing, and the survivors."""
    done = [(m, results[m.key]["verdict"]) for m in mutants if m.key in results]
    lines = []
    for wing in (*WINGS, ""):
        verdicts = [verdict for m, verdict in done if wing in Path(m.path).parts or not wing]
        killed = sum(verdict != "survived" for verdict in verdicts)
        if verdicts:
            lines.append(f"{wing or 'all':14}{killed:4} of {len(verdicts):4} killed, {killed / len(verdicts):.1%}")
    for m, verdict in sorted(done):
        if verdict == "survived":
            lines.append(f"{m.path}:{m.line} {m.operator}\n  - {m.before}\n  + {m.after}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Put small bugs into the core and count those that tests find.")
    parser.add_argument("--mutants", type=int, default=300, help="bugs in the sample")
    parser.add_argument("--seed", type=int, default=0, help="order of the places")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="part of the paths of the files")
    parser.add_argument("--again", action="store_true", help="test the survivors of earlier runs once more")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    mutants = list(sample(options.mutants, options.seed, options.only))
    journal = HOME / "results.jsonl"
    rows = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    results = {row["key"]: row for row in rows}
    left = [m for m in mutants if m.key not in results or (options.again and results[m.key]["verdict"] == "survived")]
    print(f"{len(mutants)} mutants, {len(left)} to test", flush=True)
    for name in PRELOADED:
        __import__(name)
    workers = [Worker(n) for n in range(min(options.processes, len(left)))]
    limits = baseline(workers[0], sorted({t for m in left for t in tests_of(m.path)})) if left else {}
    running: dict[int, tuple[Mutant, Iterator[Any]]] = {}
    while left or running:
        for n, worker in enumerate(workers):
            if n not in running and left:
                mutant = left.pop(0)
                tests = tests_of(mutant.path)
                quick = [test for test in tests[1:] if limits[test] < SLOWER * NEAR]
                ordered = [*tests[:1], *quick] if limits[tests[0]] < SLOWER * NEAR else [*quick, *tests[:1]]
                running[n] = mutant, worker.run(mutant, ordered, limits)
            if n in running and (found := next(running[n][1])):
                mutant, (verdict, took) = running.pop(n)[0], found
                row = {"key": mutant.key, "verdict": verdict, "seconds": round(took, 1), "line": mutant.line}
                row |= {"operator": mutant.operator, "before": mutant.before, "after": mutant.after}
                results[mutant.key] = row
                with journal.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                print(f"{verdict:60} {took:5.0f} s  {mutant.path}:{mutant.line} {mutant.after}", flush=True)
        time.sleep(0.05)
    text = summary(mutants, results)
    (HOME / "report.txt").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
