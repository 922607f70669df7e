"""What every notebook promises: order, first screen, parameters, size, cleanliness. nbval runs them."""

import ast
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import papermill
import pytest

from hifacegan_lib import runs
from hifacegan_lib.params import NOTEBOOKS

FOLDER = Path(__file__).parents[1] / "notebooks"


def load(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def source(cell: dict) -> str:
    return "".join(cell["source"])


def code_cells(name: str) -> list[dict]:
    return [cell for cell in load(name)["cells"] if cell["cell_type"] == "code"]


def tagged(name: str, tag: str) -> dict:
    return next(cell for cell in code_cells(name) if tag in cell["metadata"].get("tags", []))


def test_six_notebooks_in_order() -> None:
    assert sorted(p.stem for p in FOLDER.glob("*.ipynb")) == list(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_first_screen_says_what_for(name: str) -> None:
    first = load(name)["cells"][0]
    assert first["cell_type"] == "markdown"
    for word in ("**Question.**", "| reads |", "| writes |", "| takes |", ".ipynb)"):
        assert word in source(first), word


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_links_between_notebooks_lead_somewhere(name: str) -> None:
    text = "\n".join(source(cell) for cell in load(name)["cells"] if cell["cell_type"] == "markdown")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [link for link in links if "://" not in link and not (FOLDER / link).exists()] == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_parameters_cell_is_the_model(name: str) -> None:
    """Same names, same order, same defaults, typed, with the same comment each."""
    text, model = source(tagged(name, "parameters")), NOTEBOOKS[name]
    tree = ast.parse(text).body
    assert all(isinstance(node, ast.AnnAssign) for node in tree)
    found = {node.target.id: ast.literal_eval(node.value) for node in tree}  # type: ignore[attr-defined]
    assert found == model().model_dump()
    assert list(found) == list(model.model_fields)
    comments = [line.split("  # ")[1] for line in text.splitlines()]
    assert comments == [field.description for field in model.model_fields.values()]
    assert list(papermill.inspect_notebook(str(FOLDER / f"{name}.ipynb"))) == list(found)  # else papermill warns


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_cells_are_short(name: str) -> None:
    lines = [len(source(cell).strip().splitlines()) for cell in code_cells(name)]
    plain = [n for cell, n in zip(code_cells(name), lines, strict=True) if not cell["metadata"].get("tags")]
    assert statistics.median(lines) <= 6
    assert max(plain) <= 20
    for cell in code_cells(name):
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):  # a class: a network that a researcher would try
                most = 8 if isinstance(node, ast.FunctionDef) else 10
                assert (node.end_lineno or 0) - node.lineno < most


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_executed_clean_and_small(name: str) -> None:
    path, notebook = FOLDER / f"{name}.ipynb", load(name)
    assert path.stat().st_size < 1_000_000
    counts = [cell["execution_count"] for cell in code_cells(name)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in code_cells(name) for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    pictures = {"image/png", "image/jpeg"}
    assert any(pictures & output.get("data", {}).keys() for output in outputs)
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    assert not [cell for cell in notebook["cells"] if set(cell["metadata"]) - {"tags"}]
    text = json.dumps([{k: v for k, v in o.get("data", {}).items() if k not in pictures} or o for o in outputs])
    assert not re.search(r'"?/(home|root|tmp|work|Users|usr)/', text)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_each_notebook_prints_its_finding_in_a_line(name: str) -> None:
    found = runs.finding(FOLDER / f"{name}.ipynb")
    assert 20 < len(found) < 110, found


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_claims_are_asserted(name: str) -> None:
    assert sum("assert " in source(cell) for cell in code_cells(name)) >= 2


SMALL = {"train_size": 12, "valid_size": 6, "synthetic_size": 64}


def test_the_command_line_runs_a_notebook_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hifacegan_lib.cli", "run", "demo", "--only", "01_data_preparation"]
    overrides = [word for name, value in SMALL.items() for word in ("-p", name, str(value))]
    home = {"HIFACEGAN_HOME": str(tmp_path)}
    done = subprocess.run([*command, *overrides], env=os.environ | home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^\[1/1\] 01_data_preparation +\d+ s  0 keys in both splits; 0 near-duplicates", done.stdout, re.M
    )
    assert len(done.stdout.splitlines()) < 8, "one line for a notebook, and the paths"
    assert str(tmp_path) in done.stdout.splitlines()[-1]
    for said in (done.stdout, done.stderr):
        assert not re.search("traceback|warning|error:", said, re.IGNORECASE), said


def test_colabs_first_cell_is_one_line_and_the_same_everywhere() -> None:
    cells = {source(tagged(name, "colab")) for name in NOTEBOOKS}
    assert len(cells) == 1, "the cell differs between notebooks"
    assert all(source(code_cells(name)[0]) in cells for name in NOTEBOOKS), "it must come first"
    (cell,) = cells
    assert len(cell.splitlines()) == 1
