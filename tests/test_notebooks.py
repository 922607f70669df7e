"""What every notebook promises: order, first screen, parameters, size, cleanliness. nbval runs them."""

import ast
import json
import os
import re
import statistics
import subprocess
import sys
import types
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_cells_are_short(name: str) -> None:
    lines = [len(source(cell).strip().splitlines()) for cell in code_cells(name)]
    plain = [n for cell, n in zip(code_cells(name), lines, strict=True) if not cell["metadata"].get("tags")]
    assert statistics.median(lines) <= 6
    assert max(plain) <= 20
    for cell in code_cells(name):
        for node in ast.walk(ast.parse(source(cell))):
            assert not isinstance(node, ast.ClassDef)
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 8


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
def test_claims_are_asserted(name: str) -> None:
    assert sum("assert " in source(cell) for cell in code_cells(name)) >= 2


def test_colabs_first_cell_fetches_the_workbench_and_keeps_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for Drive and for the two commands that would change this machine."""
    cells = {source(tagged(name, "colab")) for name in NOTEBOOKS}
    assert len(cells) == 1, "the cell differs between notebooks"
    assert all(source(code_cells(name)[0]) in cells for name in NOTEBOOKS), "it must come first"
    mounted, commands = [], []
    drive = types.SimpleNamespace(mount=mounted.append)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(drive=drive))  # type: ignore[arg-type]
    monkeypatch.setenv("COLAB_RELEASE_TAG", "test")
    monkeypatch.setenv("HIFACEGAN_SOURCE", str(tmp_path))
    monkeypatch.delenv("HIFACEGAN_HOME", raising=False)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    monkeypatch.setattr(os, "chdir", lambda folder: commands.append(["cd", folder]))
    exec(cells.pop(), {})
    assert mounted == ["/content/drive"]
    assert commands[0] == ["cp", "-r", str(tmp_path), "/content/workbench"]
    assert commands[1][-1].endswith("notebooks/colab.sh")
    assert commands[2] == ["cd", "/content/workbench/notebooks"]
    assert os.environ.pop("HIFACEGAN_HOME").startswith("/content/drive")


def test_colabs_script_constrains_what_colab_brings() -> None:
    script = (FOLDER / "colab.sh").read_text(encoding="utf-8")
    assert "^(torch|torchvision|numpy)==" in script
    assert "--constraint" in script
