"""Sweeps: one notebook over a grid of parameters, a run for each cell of the grid.

``runs/<name>/`` holds sweep.json (what varies, what is fixed, which cells there are) and a folder for each cell: a run
like any other, with its executed notebook, log.txt and, at the end, cell.json, which says done or failed. What is done
is not run again, so the same command goes on where it stopped; another one adds cells. Each cell is a papermill process
of its own, started by joblib's workers on this machine or by Dask's on many: cells share files and nothing else.
"""

import base64
import hashlib
import itertools
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from joblib import Parallel, cpu_count, delayed, parallel_config
from tqdm import tqdm

from hifacegan_lib import pipeline
from hifacegan_lib.params import NOTEBOOKS, DataPreparation, ParamsError, PhotoRestoration, Training
from hifacegan_lib.runs import RESUMABLE, home, load_notebook, project_root, run_folder, shown
from hifacegan_lib.utils.files import read_json, write_json

PATIENCE = 60  # seconds to wait for a cluster's scheduler, and for its first worker


@dataclass(frozen=True)
class Sweep:
    """What varies, key -> values; the notebook's other parameters; each cell's folder -> its values of what varies."""

    name: str
    notebook: str
    profile: str
    grid: dict[str, list[Any]]
    fixed: dict[str, Any]
    cells: dict[str, dict[str, Any]]

    @property
    def folder(self) -> Path:
        return run_folder(self.name)

    @classmethod
    def load(cls, name: str, notebook: str = "", profile: str = "") -> Self:
        """The sweep in ``runs/<name>``.

        Raises:
            ParamsError: there is none, or it is of another notebook or profile than the ones named.
        """
        path = run_folder(name) / "sweep.json"
        if not path.exists():
            raise ParamsError(f"{shown(path)}: no such sweep")
        found = cls(name, **read_json(path))
        if (notebook or found.notebook, profile or found.profile) != (found.notebook, found.profile):
            raise ParamsError(
                f"{shown(found.folder)} is a sweep of {found.notebook} {found.profile}; choose another --name"
            )
        return found

    def save(self) -> None:
        write_json(self.folder / "sweep.json", {key: value for key, value in asdict(self).items() if key != "name"})

    def parameters(self, cell: str) -> dict[str, Any]:
        """All parameters of a cell's notebook."""
        own = {"run_name": f"{self.name}/{cell}"} if "run_name" in NOTEBOOKS[self.notebook].model_fields else {}
        return {**self.fixed, **self.cells[cell], **own}


@dataclass(frozen=True)
class Result:
    """What came of a cell: ``status`` is done, failed or not run; ``error`` is empty unless it failed."""

    cell: str
    values: dict[str, Any]
    status: str
    metrics: dict[str, float]
    error: str

    def __str__(self) -> str:
        said = self.error or ", ".join(f"{name} {value:.5g}" for name, value in list(self.metrics.items())[:5])
        return f"{self.status:7} {self.cell}  {said}"


def read_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """``["seed=0,1", "suppression=lip"]`` -> key -> values, each as YAML reads it.

    Raises:
        ParamsError: not KEY=V1,V2,..., or a key or a value twice.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, listed = text.partition("=")
        try:
            values = yaml.safe_load(f"[{listed}]")
        except yaml.YAMLError:
            values = None
        if not (key and equals and values):
            raise ParamsError(f"-p {text}: expected KEY=V1,V2,... with values as YAML reads them (some need quotes)")
        if key in grid or len({repr(value) for value in values}) < len(values):
            raise ParamsError(f"-p {text}: {'a value' if key not in grid else key} is given twice")
        grid[key] = values
    return grid


def plan(notebook: str, profile: str, choices: Mapping[str, Sequence[Any]], name: str) -> tuple[Sweep, list[str]]:
    """The sweep ``runs/<name>`` with the grid of ``choices`` in it, and that grid's cells. Writes nothing.

    A key with several values varies; one value holds for every cell. In a sweep that is there already the same keys
    vary, with the old values or new ones, and all else must be as it was.

    Raises:
        ParamsError: a notebook, profile, key or value that is not allowed; nothing varies; or ``runs/<name>`` holds
            something else. The message says which, and what there is.
    """
    base = _base(notebook, profile, choices)
    Training.checked({"run_name": name}, "--name")
    there = Sweep.load(name, notebook, profile) if (run_folder(name) / "sweep.json").exists() else None
    if there is None and (run_folder(name) / "params.json").exists():
        raise ParamsError(f"{shown(run_folder(name))} holds a run, no sweep; choose another --name")
    varied = list(there.grid) if there else [key for key, values in choices.items() if len(values) > 1]
    if not varied:
        raise ParamsError("nothing varies: give a key several values, -p KEY=V1,V2,... (for one run: hifacegan run)")
    cells = there.cells.copy() if there else {}
    chosen = []
    for values in itertools.product(*(choices.get(key, [base[key]]) for key in varied)):
        given = {**{key: listed[0] for key, listed in choices.items()}, **dict(zip(varied, values, strict=True))}
        said = " ".join(f"-p {key}={value}" for key, value in given.items())
        checked = NOTEBOOKS[notebook].checked({**base, **given}, said).model_dump()
        mine = {key: checked[key] for key in varied}
        if cells.setdefault(label(mine), mine) != mine:
            raise ParamsError(f"{said}: there is another cell in {label(mine)}")
        chosen.append(label(mine))
    fixed = {key: value for key, value in checked.items() if key not in {*varied, "run_name"}}
    grid = {key: list({str(cell[key]): cell[key] for cell in cells.values()}.values()) for key in varied}
    sweep = Sweep(name, notebook, profile, grid, fixed, cells)
    if there:
        _refuse_other(there, sweep, choices)
    return sweep, list(dict.fromkeys(chosen))


def _base(notebook: str, profile: str, choices: Iterable[str]) -> dict[str, Any]:
    """The profile's parameters of a notebook that knows the chosen keys."""
    if notebook not in NOTEBOOKS:
        raise ParamsError(f"{notebook!r} is no notebook; there are: {', '.join(NOTEBOOKS)}")
    base = load_notebook(profile, notebook).model_dump()
    known = sorted(base.keys() - {"run_name"})  # a cell's own; --name is for all of them
    if unknown := [key for key in choices if key not in known]:
        raise ParamsError(f"-p {unknown[0]}: {notebook} has no such key to choose; it has: {', '.join(known)}")
    return base


def _refuse_other(there: Sweep, asked: Sweep, choices: Mapping[str, Sequence[Any]]) -> None:
    """Raise ParamsError unless the sweep that is there is the one that is asked for, but for its cells."""
    differ = [f"{key} does not vary" for key, values in choices.items() if key in asked.fixed and len(values) > 1]
    differ += [
        f"{key}: {there.fixed.get(key)!r} there, {value!r} asked"
        for key, value in asked.fixed.items()
        if there.fixed.get(key) != value and key not in RESUMABLE
    ]
    if differ:
        raise ParamsError(f"{shown(there.folder)} holds another sweep ({'; '.join(differ)}); choose another --name")


def label(values: Mapping[str, Any]) -> str:
    """A cell's folder, such as ``suppression-lip_seed-1``; values that are no file names get a piece of their hash."""
    parts = []
    for key, value in values.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:40]
        if slug != text or not text:
            slug += "-" + hashlib.sha256(text.encode()).hexdigest()[:6]
        parts.append(f"{key}-{slug}")
    return "_".join(parts)


def result(sweep: Sweep, cell: str) -> Result:
    """What a cell's folder says: cell.json, and the numbers of result.json, which a notebook may write."""
    folder = sweep.folder / cell
    if not (folder / "cell.json").exists():
        return Result(cell, sweep.cells[cell], "not run", {}, "")
    marker = read_json(folder / "cell.json")
    error = marker.get("error")
    if error:
        where = f"notebook cell {error['cell']}: " if error["cell"] else ""
        return Result(cell, sweep.cells[cell], "failed", {}, f"{where}{error['ename']}: {error['evalue']}")
    path = folder / "result.json"
    said = read_json(path) if path.exists() else {}
    numbers = {k: v for k, v in said.items() if type(v) in (int, float) and math.isfinite(v)}
    return Result(cell, sweep.cells[cell], "done", numbers | {"seconds": numbers.get("seconds", marker["seconds"])}, "")


@dataclass(frozen=True)
class Task:
    """A cell as a worker gets it, wherever it is: it must see the same checkout and home, and needs nothing else."""

    cell: str
    notebook: str
    root: Path
    home: Path
    sweep: Path
    values: dict[str, Any]
    parameters: dict[str, Any]


def run(sweep: Sweep, cells: Sequence[str], jobs: int = 1, scheduler: str = "") -> Iterator[Result]:
    """Run cells, ``jobs`` at once here or as many at once as a Dask cluster has threads; each result as it comes.

    Here each cell gets its share of the cores (unless OMP_NUM_THREADS says otherwise): joblib tells its workers, and
    kernels inherit it. A cell that fails says so in its result; the others go on.

    Raises:
        ImportError: ``scheduler`` without Dask.
        OSError: no scheduler at that address, or no worker.
    """
    at = (sweep.notebook, project_root(), home(), sweep.folder)
    tasks = [Task(cell, *at, sweep.cells[cell], sweep.parameters(cell)) for cell in cells]
    with _cluster(scheduler) if scheduler else parallel_config("loky", n_jobs=jobs):
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all" if scheduler else jobs)
        for cell in parallel(delayed(run_cell)(task) for task in tasks):
            if not (sweep.folder / cell / "cell.json").exists():
                error = {"cell": None, "ename": "FileNotFoundError", "evalue": f"its worker has another {home()}"}
                _close(sweep.folder / cell, sweep.cells[cell], 0, error)
            yield result(sweep, cell)


def run_all(sweep: Sweep, cells: Sequence[str], jobs: int | None = None, scheduler: str = "") -> bool:
    """Run the cells that are not done yet, with a bar and a line for each; whether all came to their end.

    Args:
        jobs: cells at once on this machine; None: half of the cores, because PyTorch uses two at least.
    Raises:
        ParamsError: ``jobs`` below 1. Otherwise as :func:`run`.
    """
    if jobs is not None and jobs < 1:
        raise ParamsError(f"--jobs {jobs}: expected at least 1")
    todo = [cell for cell in cells if result(sweep, cell).status != "done"]
    print(f"{shown(sweep.folder)}: {len(cells)} cells, {len(cells) - len(todo)} done before", flush=True)
    prepare(sweep, todo)
    with tqdm(total=len(todo), desc="sweep", unit="cell", disable=not todo) as bar:
        try:
            for came in run(sweep, todo, jobs or max(1, cpu_count() // 2), scheduler):
                bar.write(str(came))
                bar.update()
        except KeyboardInterrupt:
            print("hifacegan: stopped; the same command goes on, --collect compares what is done", file=sys.stderr)
            return False
    return True


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError("--scheduler needs Dask: pip install 'hifacegan-workbench[cluster]'") from error
    with Client(address, timeout=PATIENCE) as client:
        client.wait_for_workers(1, timeout=PATIENCE)
        with parallel_config("dask"):
            yield


def prepare(sweep: Sweep, cells: Sequence[str]) -> None:
    """Write sweep.json; make images that are missing once, before cells would at the same time, each with its seed."""
    sweep.save()
    model, missing = NOTEBOOKS[sweep.notebook], {}
    for cell in reversed(cells):
        missing[sweep.parameters(cell)["data_dir"]] = sweep.parameters(cell)
    for values in missing.values():
        if "seed" in sweep.grid:
            values["seed"] = load_notebook(sweep.profile, sweep.notebook).seed
        p = model.checked(values, "sweep")
        if not isinstance(p, DataPreparation) and not (isinstance(p, PhotoRestoration) and p.weights):
            pipeline.find_data(p)


def run_cell(task: Task) -> str:
    """Execute a cell's notebook with papermill and write cell.json, in whatever way it ends; the cell."""
    folder = task.sweep / task.cell
    executed, log = folder / "notebooks" / f"{task.notebook}.ipynb", folder / "log.txt"
    executed.parent.mkdir(parents=True, exist_ok=True)
    for old in (executed, folder / "cell.json"):
        old.unlink(missing_ok=True)
    given = base64.b64encode(yaml.safe_dump(task.parameters).encode()).decode()
    notebook, start = task.root / "notebooks" / f"{task.notebook}.ipynb", time.monotonic()
    command = [sys.executable, "-m", "papermill", str(notebook), str(executed), "--parameters_base64", given]
    command += ["--cwd", str(notebook.parent), "--no-progress-bar", "--stdout-file", "-", "--stderr-file", "-"]
    with log.open("w", encoding="utf-8") as lines:
        ended = subprocess.run(
            command,
            env={"HIFACEGAN_PROGRESS": "plain", **os.environ, "HIFACEGAN_HOME": str(task.home)},
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
        )
    _close(folder, task.values, time.monotonic() - start, _error(executed, log) if ended.returncode else None)
    return task.cell


def _close(folder: Path, values: dict[str, Any], seconds: float, error: dict[str, Any] | None) -> None:
    marker = {"status": "failed" if error else "done", "seconds": round(seconds, 2), "params": values}
    write_json(folder / "cell.json", marker | ({"error": error} if error else {}))


def _error(executed: Path, log: Path) -> dict[str, Any]:
    """What failed, and in which notebook cell; the log's last line when no cell did (a kernel that was killed)."""
    cells = read_json(executed)["cells"] if executed.exists() else []
    for cell in cells:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                return {"cell": cell["execution_count"], "ename": output["ename"], "evalue": output["evalue"]}
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    name, _, said = (lines or ["no word"])[-1].partition(": ")
    return {"cell": None, "ename": name.rpartition(".")[2], "evalue": said}
