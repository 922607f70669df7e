"""The house: imports run from lower wings to higher ones, no circle joins two files, each wing keeps its size."""

import ast
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hifacegan_lib"

FLOORS = [
    {"names"},
    {"params", "parameter_messages"},  # they import nothing of the project, and anyone may read them
    {"utils", "models"},
    {"degradations", "restoration"},
    {"data", "metrics"},
    {"evaluation"},
    {"reports"},
    {"training", "widgets"},
    {
        "runs",
        "first_networks",
        "pipeline",
        "sweeps",
        "sweep_cells",
        "sweep_tables",
        "api",
        "commands",
        "cli",
    },  # the top level
]
"""A wing may import its own floor and those before it."""

BUDGET = {
    "utils": 1810,
    "models": 2620,
    "degradations": 1580,
    "restoration": 2850,
    "data": 1850,
    "metrics": 1700,
    "evaluation": 2600,
    "reports": 1540,
    "training": 1540,
    "widgets": 730,
    "commands": 860,
    "top level": 1850,
}
"""Lines of Python; raised only with the reason in the commit."""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(p): p for p in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.AST) -> set[str]:
    """Project modules that a file imports, by full name."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hifacegan_lib":
            assert node.names[0].name != "*", "star import"
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                found.add(longer if longer in FILES else node.module or "")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "hifacegan_lib"}
        assert not (isinstance(node, ast.ImportFrom) and node.level), "relative import"
    return found


def tree(name: str) -> ast.AST:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


ARROWS = {name: imports(tree(name)) - {"hifacegan_lib"} for name in FILES}


def floor(name: str) -> int:
    part = name.split(".")[1]
    return next(n for n, wings in enumerate(FLOORS) if part in wings)


def test_every_file_lies_in_a_known_wing() -> None:
    assert all(floor(name) >= 0 for name in FILES if name != "hifacegan_lib")


def test_imports_run_from_lower_floors_to_higher_ones() -> None:
    wrong = [(a, b) for a, found in ARROWS.items() if a != "hifacegan_lib" for b in found if floor(b) > floor(a)]
    assert wrong == []


def test_no_circle_joins_two_files() -> None:
    left = dict(ARROWS)
    while left:
        free = [name for name, needs in left.items() if not (needs - {name}) & set(left)]
        assert free, f"circle among {sorted(left)}"
        for name in free:
            del left[name]


def test_only_widgets_import_ipywidgets() -> None:
    for name in FILES:
        nodes = list(ast.walk(tree(name)))
        found = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        found |= {(node.module or "").split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not {"ipywidgets", "anywidget"} & found or name.startswith("hifacegan_lib.widgets."), name


def test_notebooks_import_only_modules_that_exist() -> None:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        plain = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!")))
        assert imports(ast.parse(plain)) <= set(FILES), path.name


def test_every_wing_keeps_its_size() -> None:
    lines: dict[str, int] = dict.fromkeys(BUDGET, 0)
    modules: dict[Path, int] = {}
    for path in FILES.values():
        length = len(path.read_text(encoding="utf-8").splitlines())
        assert length <= 320, f"{path.name}: {length} lines"
        wing, *below = path.relative_to(PACKAGE).parts
        lines[wing if below else "top level"] += length
        modules[path.parent] = modules.get(path.parent, 0) + (path.stem != "__init__")
    assert {wing: n for wing, n in lines.items() if n > BUDGET[wing]} == {}
    assert {folder.name: n for folder, n in modules.items() if n > 14} == {}
