"""Sweeps: one notebook over a grid of parameters. Each cell of the grid is a run; tables compare the runs.

``runs/<name>/`` holds sweep.json (:class:`Sweep`) and a folder for each cell: a run like any other, with its executed
notebook, log.txt and, at its end, cell.json with the status "done" or "failed". :mod:`hifacegan_lib.sweep_cells` runs
the cells, :mod:`hifacegan_lib.sweep_tables` writes tables and pictures.

A metric's interval is Student's over the seeds. Seeds share images and damage across combinations, so that two
combinations are compared by the differences over the same seeds: a seed's effect on both cancels.
"""

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
import yaml

from hifacegan_lib.models.checkpoints import differences
from hifacegan_lib.params import MAY_CHANGE, NOTEBOOKS, ParamsError, Training
from hifacegan_lib.runs import load_notebook, run_folder, shown
from hifacegan_lib.utils.files import read_json, write_json
from hifacegan_lib.utils.statistics import t_interval

STATUSES = ("done", "failed", "not run")


@dataclass(frozen=True)
class Sweep:
    """A grid of parameters of one notebook, and its runs.

    Attributes:
        grid: the keys that vary, and their values.
        fixed: the notebook's other parameters.
        cells: folder of each cell -> its values of the keys that vary.
    """

    name: str
    notebook: str
    profile: str
    grid: dict[str, list[Any]]
    fixed: dict[str, Any]
    cells: dict[str, dict[str, Any]]

    @property
    def folder(self) -> Path:
        return run_folder(self.name)

    @property
    def factors(self) -> list[str]:
        """The keys that vary, without the seed: a combination of their values is a row of the tables."""
        return [key for key in self.grid if key != "seed"]

    @classmethod
    def load(cls, name: str, notebook: str = "", profile: str = "") -> Self:
        """The sweep in ``runs/<name>``.

        Raises:
            ParamsError: there is no sweep, or it has another notebook or profile than the given ones.
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
        """Write sweep.json."""
        write_json(self.folder / "sweep.json", {key: value for key, value in asdict(self).items() if key != "name"})

    def parameters(self, cell: str) -> dict[str, Any]:
        """All parameters of a cell's notebook."""
        own = {"run_name": f"{self.name}/{cell}"} if "run_name" in NOTEBOOKS[self.notebook].model_fields else {}
        return {**self.fixed, **self.cells[cell], **own}

    def results(self) -> pd.DataFrame:
        """A row for each cell: the values that vary, ``status``, ``error``, and the metrics of finished cells."""
        frame = pd.DataFrame([result(self, cell) for cell in self.cells], pd.Index(self.cells, name="cell"))
        first = [*self.grid, "status", "error"]
        return frame[[*first, *(name for name in frame if name not in first)]]

    def frame(self) -> pd.DataFrame:
        """A row for each combination of the factors' values.

        Columns: the factors; the numbers of cells ``done``, ``failed``, ``not run``; for each metric its mean over the
        seeds, and ``_low`` and ``_high``, the ends of its 95 % interval (NaN for one seed).
        """
        results = self.results()
        groups = results.groupby(self.factors, sort=False) if self.factors else [((), results)]
        rows = []
        for values, cells in groups:
            counts = {status: int((cells["status"] == status).sum()) for status in STATUSES}
            means = _intervals(cells[metrics(self, results)])
            rows.append({**dict(zip(self.factors, values, strict=True)), **counts, **means})
        return pd.DataFrame(rows)

    def differences(self) -> pd.DataFrame:
        """A row for each value of the only factor but its first: this value's metrics less the first value's.

        Differences are taken over the seeds that both have finished. Columns: the factor, ``less`` (its first value),
        ``seeds`` (how many), and the metrics as in :meth:`frame`. Empty for more than one factor, or less than two
        common seeds.
        """
        results, rows = self.results(), []
        done = results[results["status"] == "done"]
        if len(self.factors) != 1 or "seed" not in self.grid:
            return pd.DataFrame()
        (factor,), names = self.factors, metrics(self, results)
        by_seed = {value: done[done[factor] == value].set_index("seed")[names] for value in results[factor].unique()}
        (first, reference), *others = by_seed.items()
        for value, measured in others:
            common = measured.index.intersection(reference.index)
            if len(common) > 1:
                less = _intervals(measured.loc[common] - reference.loc[common])
                rows.append({factor: value, "less": first, "seeds": len(common), **less})
        return pd.DataFrame(rows)


def metrics(sweep: Sweep, results: pd.DataFrame) -> list[str]:
    """The columns of :meth:`Sweep.results` that hold metrics."""
    return [str(name) for name in results if name not in {*sweep.grid, "status", "error"}]


def _intervals(measured: pd.DataFrame) -> dict[str, float]:
    """Each column's mean, ``_low`` and ``_high``; NaN where the column has no value."""
    found: dict[str, float] = {}
    for name, values in measured.items():
        mean, low, high = t_interval(values.dropna().to_numpy(float))
        found |= {str(name): mean, f"{name}_low": low, f"{name}_high": high}
    return found


def result(sweep: Sweep, cell: str) -> dict[str, Any]:
    """A cell's row of :meth:`Sweep.results`: its cell.json, and the finite numbers of the notebook's result.json.

    A number of result.json under the name of a key that varies is left out: the table shows the key's value.
    """
    folder, values = sweep.folder / cell, sweep.cells[cell]
    if not (folder / "cell.json").exists():
        return {**values, "status": "not run", "error": ""}
    marker = read_json(folder / "cell.json")
    if error := marker.get("error"):
        where = f"notebook cell {error['cell']}: " if error["cell"] else ""
        return {**values, "status": "failed", "error": f"{where}{error['ename']}: {error['evalue']}"}
    path = folder / "result.json"
    found = read_json(path) if path.exists() else {}
    numbers = {k: v for k, v in found.items() if type(v) in (int, float) and math.isfinite(v)}
    numbers["seconds"] = numbers.get("seconds", marker["seconds"])
    return {**numbers, **values, "status": "done", "error": ""}


def read_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """``["seed=0,1", "suppression=lip"]`` -> key -> values, each as YAML reads it.

    Raises:
        ParamsError: a text is not KEY=V1,V2,..., or a key or a value comes twice.
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
    """The sweep ``runs/<name>``, extended by the grid of ``choices``, and the cells of this grid. Writes nothing.

    A key with several values varies; a key with one value has it in every cell. If ``runs/<name>`` is a sweep already,
    the same keys vary, with old or new values, and all other parameters must be equal.

    Raises:
        ParamsError: a notebook, profile, key or value is not allowed; no key varies; or ``runs/<name>`` holds another
            sweep or a run. The message names the fault and the alternatives.
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
    """The profile's parameters of the notebook; ParamsError if the notebook or a chosen key does not exist."""
    if notebook not in NOTEBOOKS:
        raise ParamsError(f"{notebook!r} is no notebook; there are: {', '.join(NOTEBOOKS)}")
    base = load_notebook(profile, notebook).model_dump()
    known = sorted(base.keys() - {"run_name"})  # --name sets it
    if unknown := [key for key in choices if key not in known]:
        raise ParamsError(f"-p {unknown[0]}: {notebook} has no such key to choose; it has: {', '.join(known)}")
    return base


def _refuse_other(there: Sweep, asked: Sweep, choices: Mapping[str, Sequence[Any]]) -> None:
    """Raise ParamsError if the existing sweep differs from the requested one in more than its cells."""
    found = [f"{key} does not vary" for key, values in choices.items() if key in asked.fixed and len(values) > 1]
    fixed = {key: value for key, value in asked.fixed.items() if key not in MAY_CHANGE}
    found += differences({key: there.fixed.get(key) for key in fixed}, fixed)
    if found:
        raise ParamsError(f"{shown(there.folder)} holds another sweep ({'; '.join(found)}); choose another --name")


def label(values: Mapping[str, Any]) -> str:
    """A cell's folder, such as ``suppression-lip_seed-1``; a value that is no file name gets a piece of its hash."""
    parts = []
    for key, value in values.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:40]
        if slug != text or not text:
            slug += "-" + hashlib.sha256(text.encode()).hexdigest()[:6]
        parts.append(f"{key}-{slug}")
    return "_".join(parts)
