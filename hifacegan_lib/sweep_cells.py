"""Run the cells of a sweep, each as a papermill process of its own, on this machine or on a Dask cluster.

joblib starts the processes. Cells share files and nothing else. A finished cell is not run again, so that the same
command continues a stopped sweep.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml
from joblib import Parallel, cpu_count, delayed, parallel_config
from tqdm import tqdm

from hifacegan_lib import pipeline
from hifacegan_lib.params import NOTEBOOKS, DataPreparation, ParamsError, PhotoRestoration
from hifacegan_lib.runs import home, load_notebook, notebook_folder, shown, working_folder
from hifacegan_lib.sweeps import Sweep, result
from hifacegan_lib.utils.files import read_json, write_json
from hifacegan_lib.utils.jobs import cluster


def run_all(sweep: Sweep, cells: Sequence[str], jobs: int | None = None, scheduler: str = "") -> bool:
    """Run the cells that are not done, with a progress bar and a line for each; False if stopped by hand.

    Args:
        jobs: cells at once on this machine; None: half the number of cores, because PyTorch uses at least two.
        scheduler: address of a Dask cluster, which runs as many cells at once as it has threads.
    Raises:
        ParamsError: ``jobs`` below 1.
        ImportError: ``scheduler`` without Dask.
        OSError: no scheduler at that address, or no worker.
    """
    if jobs is not None and jobs < 1:
        raise ParamsError(f"--jobs {jobs}: expected at least 1")
    todo = [cell for cell in cells if result(sweep, cell)["status"] != "done"]
    print(f"{shown(sweep.folder)}: {len(cells)} cells, {len(cells) - len(todo)} done before", flush=True)
    prepare(sweep, todo)
    with tqdm(total=len(todo), desc="sweep", unit="cell", disable=not todo) as bar:
        try:
            for finished in run(sweep, todo, jobs or max(1, cpu_count() // 2), scheduler):
                bar.write(finished)
                bar.update()
        except KeyboardInterrupt:
            print("hifacegan: stopped; the same command goes on, --collect compares finished cells", file=sys.stderr)
            return False
    return True


def prepare(sweep: Sweep, cells: Sequence[str]) -> None:
    """Write sweep.json, and make missing images once, with the profile's seed, before several cells make them."""
    sweep.save()
    by_folder = {values["data_dir"]: values for values in map(sweep.parameters, reversed(cells))}  # the first cell's
    for values in by_folder.values():
        if "seed" in sweep.grid:
            values["seed"] = load_notebook(sweep.profile, sweep.notebook).seed
        p = NOTEBOOKS[sweep.notebook].checked(values, "sweep")
        if not isinstance(p, DataPreparation) and not (isinstance(p, PhotoRestoration) and p.weights):
            pipeline.find_data(p)


def run(sweep: Sweep, cells: Sequence[str], jobs: int = 1, scheduler: str = "") -> Iterator[str]:
    """Run cells, ``jobs`` at once; yield a line about each cell when it ends or fails.

    On this machine joblib gives each cell its share of the cores, unless OMP_NUM_THREADS is set: kernels inherit it.
    """
    places = notebook_folder() / f"{sweep.notebook}.ipynb", working_folder(), home()
    tasks = [
        delayed(run_cell)(*places, sweep.folder / cell, sweep.parameters(cell), sweep.cells[cell]) for cell in cells
    ]
    workers = cluster(scheduler) if scheduler else nullcontext()
    backend: dict[str, Any] = {"backend": "dask"} if scheduler else {"backend": "loky", "n_jobs": jobs}
    with workers, parallel_config(**backend):
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all" if scheduler else jobs)
        for cell in parallel(tasks):
            if not (sweep.folder / cell / "cell.json").exists():
                error = {"cell": None, "ename": "FileNotFoundError", "evalue": f"its worker has another {home()}"}
                _close(sweep.folder / cell, sweep.cells[cell], 0, error)
            found = result(sweep, cell)
            numbers = [
                f"{key} {x:.5g}" for key, x in found.items() if key not in sweep.grid and type(x) in (int, float)
            ]
            yield f"{found['status']:7} {cell}  {found['error'] or ', '.join(numbers[:5])}"


def run_cell(
    notebook: Path, cwd: Path, home: Path, folder: Path, parameters: dict[str, Any], values: dict[str, Any]
) -> str:
    """Execute a cell's notebook with papermill, write cell.json whether it succeeds or fails; the cell's name.

    A worker on another machine must see the same absolute paths.
    """
    executed, log = folder / "notebooks" / notebook.name, folder / "log.txt"
    executed.parent.mkdir(parents=True, exist_ok=True)
    for old in (executed, folder / "cell.json"):
        old.unlink(missing_ok=True)
    command = [sys.executable, "-m", "papermill", str(notebook), str(executed), "--cwd", str(cwd)]
    command += ["--parameters_yaml", yaml.safe_dump(parameters)]
    command += ["--no-progress-bar", "--stdout-file", "-", "--stderr-file", "-"]
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as lines:
        ended = subprocess.run(
            command,
            env={"HIFACEGAN_PROGRESS": "plain", **os.environ, "HIFACEGAN_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
        )
    _close(folder, values, time.monotonic() - start, _error(executed, log) if ended.returncode else None)
    return folder.name


def _close(folder: Path, values: dict[str, Any], seconds: float, error: dict[str, Any] | None) -> None:
    marker = {"status": "failed" if error else "done", "seconds": round(seconds, 2), "params": values}
    write_json(folder / "cell.json", marker | ({"error": error} if error else {}))


def _error(executed: Path, log: Path) -> dict[str, Any]:
    """The error and its notebook cell; the log's last line when no cell has an error (the kernel was killed)."""
    cells = read_json(executed)["cells"] if executed.exists() else []
    for cell in cells:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                return {"cell": cell["execution_count"], "ename": output["ename"], "evalue": output["evalue"]}
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    name, _, message = (lines or ["the log is empty"])[-1].partition(": ")
    return {"cell": None, "ename": name.rpartition(".")[2], "evalue": message}
