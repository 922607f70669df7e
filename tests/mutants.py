"""Mutation testing: small bugs are put into the core, one at a time, and tests should fail.

Cosmic Ray knows the bugs: another operator, a number plus or minus 1, a condition negated, a decorator removed. A place
in the code counts once, whichever number of bugs it allows: the places of all files are put in an order that only
``--seed`` and the line of code determine, one bug is drawn for each, and the first ``--mutants`` of them are tested. So
a larger sample continues a smaller one, and an edited file changes only its own part of the sample.

A bug is tested first by the tests of its own module (``models/generator.py`` by ``tests/models/test_generator.py``),
then by the other test files of its wing that import the module and take less than a minute. It is killed when a test
fails, or when a file takes ``SLOWER`` times as long as without the bug. Each process works on its own copy of the
repository. The results are in ``build/mutants/results.jsonl``; a run that is stopped continues there. ``--again`` tests
the survivors once more.

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
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
WINGS = ("models", "degradations", "data", "training", "metrics", "evaluation")
HOME = ROOT / "build" / "mutants"
SOURCE = HOME / "source"  # a copy of the repository as it is at the start: the repository may change during the run
ON_A_GPU = {"triton_kernels"}  # its kernels run on a GPU only
PRELOADED = (
    *("cv2", "lightning_fabric", "numpy", "onnx", "onnxruntime", "pandas", "pydantic", "scipy.stats", "skimage.data"),
    *("jinja2", "safetensors.torch", "torch.utils.tensorboard", "torchvision", "tqdm", "yaml"),
)
NOTHING_TO_CHANGE = {"name", "string", "newline", "endmarker", "fstring_string", "fstring_start", "fstring_end"}
BRACKETS = {*"()[]{}:,.=", "->"}
NEAR = 60.0  # seconds: longer test files are used for their own modules only
SLOWER = 8.0  # factor on the time without the bug, after which a bug is killed by time


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
    nodes = [node for node in ast_nodes(get_ast(source)) if node.type not in NOTHING_TO_CHANGE]
    nodes = [node for node in nodes if getattr(node, "value", "") not in BRACKETS]
    for name, kind in _OPERATORS.items():
        if not kind.arguments():  # those with arguments put random numbers into the code
            operator = kind()
            spots = (spot for node in nodes for spot in operator.mutation_positions(node))
            for occurrence, spot in enumerate(spots):
                if not any(start <= spot[0] < stop for start, stop in left_out):
                    found.setdefault(spot, []).append((name, occurrence))
    for ((line, column), _), bugs in found.items():
        about = f"{seed} {path.relative_to(SOURCE)} {column} {lines[line - 1]}"
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

    files = (p for wing in WINGS for p in sorted((SOURCE / "hifacegan_lib" / wing).rglob("*.py")))
    chosen = (
        p for p in files if p.stem != "__init__" and p.stem not in ON_A_GPU and only in str(p.relative_to(SOURCE))
    )
    for _, path, name, occurrence in sorted(place for p in chosen for place in places(p, seed))[:count]:
        source = path.read_text(encoding="utf-8")
        code = mutate_code(source, _OPERATORS[name](), occurrence)
        old, new = source.splitlines(), code.splitlines()
        line = next((n for n, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), len(new) - 1)
        yield Mutant(str(path.relative_to(SOURCE)), line + 1, name, old[line].strip(), new[line].strip(), code)


def own_tests(path: str) -> str:
    return f"tests/{Path(path).parts[1]}/test_{Path(path).stem}.py"


def tests_of(path: str) -> list[str]:
    """Test files of a module: its own, then those of its wing that import it or a name of it; else the whole wing's."""
    wing, nodes = Path(path).parts[1], ast.parse((SOURCE / path).read_text(encoding="utf-8")).body
    names = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    words = "|".join([Path(path).stem, *(name for name in names if not name.startswith("_"))])
    imports = re.compile(rf"^(from|import) .*\b({words})\b|^    ({words}),$", re.MULTILINE)
    files = {f"tests/{wing}/{p.name}": p for p in sorted((SOURCE / "tests" / wing).glob("test_*.py"))}
    files = {name: p for name, p in files.items() if p.stem.removeprefix("test_") not in ON_A_GPU}
    near = [name for name, p in files.items() if imports.search(p.read_text(encoding="utf-8"))]
    own = own_tests(path)
    return [own] * (own in files) + [name for name in near or files if name != own]


def start(home: Path, file: str) -> int:
    """A process that runs a test file in a copy of the repository; its output goes to ``home``'s log."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        code = test_here(home, file)
    finally:
        os._exit(code)


def test_here(home: Path, file: str) -> int:
    os.setsid()
    log = os.open(home.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1), os.dup2(log, 2)
    os.chdir(home)
    sys.path.insert(0, str(home))
    os.environ["PYTHONPATH"] = str(home)
    import pytest

    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:nbval", f"--basetemp={home}.tmp", file]))


def copy_source() -> None:
    """Copy the repository's files to ``SOURCE``, those not yet committed too."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, SOURCE / name)


class Worker:
    """A copy of the repository, and the test process that runs in it."""

    def __init__(self, number: int, seconds: "Seconds") -> None:
        self.home, self.seconds = HOME / f"copy{number}", seconds
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(SOURCE, self.home)

    def test(self, mutant: Mutant) -> Iterator[tuple[str, float] | None]:
        """None while test files run, one after the other; then the verdict and its seconds."""
        spent = 0.0
        for file in self.seconds.ordered(tests_of(mutant.path)):
            if file not in self.seconds.known:
                took, code = yield from self._run(file, 600)
                if code > 0:
                    sys.exit(f"{file} fails without a bug: see {self.home.with_suffix('.log')}")
                self.seconds.note(file, took)
            if self.seconds.known[file] > NEAR and file != own_tests(mutant.path):
                continue
            (self.home / mutant.path).write_text(mutant.code, encoding="utf-8")
            took, code = yield from self._run(file, max(90.0, SLOWER * self.seconds.known[file]))
            shutil.copy2(SOURCE / mutant.path, self.home / mutant.path)
            spent += took
            if code:
                yield f"killed by {file}{' (time)' * (code < 0)}", spent
                return
        yield "survived", spent

    def _run(self, file: str, limit: float) -> Generator[None, None, tuple[float, int]]:
        """None while the file's tests run; returns the seconds and pytest's exit code, negative after ``limit``."""
        pid, since = start(self.home, file), time.monotonic()
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() - since > limit:
                os.killpg(pid, signal.SIGKILL)
                ended = os.waitpid(pid, 0)
                break
            yield None
        return time.monotonic() - since, os.waitstatus_to_exitcode(ended[1])


class Seconds:
    """How long each test file takes without a bug; kept in a file, measured again when the test file changes."""

    def __init__(self) -> None:
        self.path = HOME / "seconds.json"
        self.all: dict[str, float] = json.loads(self.path.read_text()) if self.path.exists() else {}

    @staticmethod
    def key(file: str) -> str:
        return f"{file} {hashlib.sha256((SOURCE / file).read_bytes()).hexdigest()[:16]}"

    @property
    def known(self) -> dict[str, float]:
        here = {name: name.split()[0] for name in self.all if (SOURCE / name.split()[0]).is_file()}
        return {file: self.all[name] for name, file in here.items() if name == self.key(file)}

    def note(self, file: str, took: float) -> None:
        self.all[self.key(file)] = took
        self.path.write_text(json.dumps(self.all, indent=0))

    def ordered(self, tests: list[str]) -> list[str]:
        """A module's own tests first, unless others are known to take a quarter of their time."""
        known, own = self.known, tests[0]
        return sorted(tests, key=lambda test: known.get(own, 0.0) / 4 if test == own else known.get(test, 999.0))


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
    copy_source()
    mutants = list(sample(options.mutants, options.seed, options.only))
    journal = HOME / "results.jsonl"
    rows = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    results = {row["key"]: row for row in rows}
    left = [m for m in mutants if m.key not in results or (options.again and results[m.key]["verdict"] == "survived")]
    print(f"{len(mutants)} mutants, {len(left)} to test", flush=True)
    for name in PRELOADED:
        __import__(name)
    seconds = Seconds()
    workers = [Worker(n, seconds) for n in range(min(options.processes, len(left)))]
    running: dict[int, tuple[Mutant, Iterator[Any]]] = {}
    while left or running:
        for n, worker in enumerate(workers):
            if n not in running and left:
                mutant = left.pop(0)
                running[n] = mutant, worker.test(mutant)
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
