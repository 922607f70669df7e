"""The front door: few names, loaded when used, documented, and enough for notebooks, README and docs."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import scripts

import hifacegan_lib as hf

ROOT = Path(__file__).parents[1]
WINGS = sorted(path.parent.name for path in (ROOT / "hifacegan_lib").glob("*/__init__.pyi"))
PACKAGES = ["hifacegan_lib", *(f"hifacegan_lib.{wing}" for wing in WINGS)]
PUBLIC = [(package, name) for package in PACKAGES for name in importlib.import_module(package).__all__]


def test_importing_the_package_loads_neither_pytorch_nor_opencv() -> None:
    code = "import sys, hifacegan_lib as hf; dir(hf); print({'torch', 'cv2', 'numpy', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_front_door_has_ten_to_fifteen_names() -> None:
    assert 10 <= len(hf.__all__) <= 15


@pytest.mark.parametrize(("package", "name"), PUBLIC, ids=lambda part: part.removeprefix("hifacegan_lib."))
def test_a_public_name_is_there_and_documented(package: str, name: str) -> None:
    thing = getattr(importlib.import_module(package), name)
    if isinstance(thing, ModuleType):
        assert thing.__name__ == f"{package}.{name}" and inspect.getdoc(thing)
        return
    if not callable(thing):
        return  # a table, described where it stands
    text = inspect.getdoc(thing) or ""
    assert len(text) > 25, f"{package}.{name} has no docstring"
    if inspect.isfunction(thing) and len(inspect.signature(thing).parameters) > 3:
        assert re.search(r"^(Args|Returns|Raises):", text, re.MULTILINE), f"{package}.{name}: no Args, Returns, Raises"


def test_no_public_name_is_also_a_module_of_its_package() -> None:
    for package, name in PUBLIC:
        if not isinstance(getattr(importlib.import_module(package), name), ModuleType):
            folder = ROOT / Path(*package.split("."))
            assert not (folder / f"{name}.py").exists(), f"{package}.{name} is a module and a function"


def code_that_users_read() -> dict[str, str]:
    """Name -> Python of each notebook, and of the code blocks of README and docs."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        found[path.name] = re.sub(r"^\s*[%!].*$", "", text, flags=re.MULTILINE)
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        found[path.name] = re.sub(r"^\s*[%!].*$", "", "\n".join(blocks), flags=re.MULTILINE)
    return found


READ = code_that_users_read()


@pytest.mark.parametrize("place", READ)
def test_users_read_public_names_alone(place: str) -> None:
    known, deeper = set(PUBLIC), []
    for node in ast.walk(ast.parse(READ[place])):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hifacegan_lib"):
            deeper += [f"{node.module}.{a.name}" for a in node.names if (node.module, a.name) not in known]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hf":
            deeper += [f"hf.{node.attr}"] if node.attr not in hf.__all__ else []
    deeper = [name for name in deeper if not re.match(r"hifacegan_lib\.params\.[A-Z]", name)]  # the models of params
    assert deeper == [], place


def test_the_reference_lists_every_public_name() -> None:
    pages = scripts.load("site_hooks").reference()
    for package, name in PUBLIC:
        page = pages[package.removeprefix("hifacegan_lib").removeprefix(".") or "index"]
        assert f"[`{name}`]" in page, f"the reference of {package} lacks {name}"
