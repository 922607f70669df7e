"""Imports run one way. The map below is the house's plan; a module or an arrow that is not on it fails here."""

import ast
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hifacegan_lib"

MAP: dict[str, set[str]] = {
    # ground floor: no project import
    "images": set(),
    "params": set(),
    "downloads": set(),
    "weights": {"downloads"},
    "intervals": set(),
    "strips": set(),
    "suppression": {"strips", "suppression_triton"},
    "suppression_triton": {"strips"},
    "replenishment": set(),
    "discriminator": set(),
    "recompute": set(),
    "slots": set(),
    "losses": set(),
    "perceptual": {"weights"},
    # data
    "canvas": set(),
    "scenery": {"canvas", "images"},
    "portraits": {"canvas", "images", "scenery"},
    "framing": {"images"},
    "resampling": {"images"},
    "blurs": {"images"},
    "noises": {"images"},
    "compression": {"images"},
    "light": {"images"},
    "prints": {"images"},
    "operations": {"blurs", "compression", "images", "light", "noises", "prints", "resampling"},
    "traces": {"framing", "images", "operations", "resampling"},
    "degradations": {"operations", "traces"},
    "sources": {"images", "portraits"},
    "manifest": set(),
    "duplicates": {"images"},
    "preparation": {"duplicates", "manifest", "sources"},
    "datasets": {"degradations", "framing", "images", "interrupts", "manifest", "slots"},
    # networks
    "generator": {"recompute", "suppression", "replenishment"},
    "checkpoints": {"generator"},
    "foreign": {"checkpoints", "generator", "replenishment"},
    "modes": {"foreign", "generator"},
    "doctor": {"checkpoints", "degradations", "foreign", "generator", "images", "modes", "portraits", "replenishment"},
    "interrupts": set(),
    "watch": set(),
    "processes": {"params"},
    "journal": {"images", "progress"},
    "finite": {"checkpoints"},
    "training": {
        *("generator", "discriminator", "losses", "perceptual", "checkpoints", "params", "images"),
        *("processes", "interrupts", "journal", "finite", "watch", "progress"),
    },
    # looking and measuring
    "metrics": {"weights"},
    "niqe": {"metrics", "weights"},
    "blind": {"metrics"},
    "landmarks": {"images", "weights"},
    "identity": {"images", "landmarks", "metrics", "weights"},
    "distributions": {"metrics", "weights"},
    "catalogue": {"blind", "distributions", "identity", "metrics", "niqe", "params"},
    "results": {"catalogue", "intervals", "metrics"},
    "evaluation": {"catalogue", "distributions", "images", "intervals", "metrics", "results", "weights"},
    "pairing": {"images"},
    "comparing": {"images", "intervals", "metrics", "pairing", "results"},
    "surfaces": {
        *("degradations", "evaluation", "images", "intervals", "metrics", "operations", "severity", "traces"),
    },
    "protocols": {"compression", "images", "metrics"},
    "drift": {"intervals", "metrics", "results"},
    "evidence": {"drift", "figures", "images", "metrics", "severity", "surfaces"},
    "pages": {"compression", "images"},
    "winograd": set(),
    "rows": {"winograd"},
    "baking": {"generator", "replenishment", "rows", "suppression"},
    "exporting": {"baking", "foreign", "generator"},
    "aligning": {"images"},
    "detecting": {"aligning", "images", "weights"},
    "pasting": {"aligning", "images"},
    "photofiles": {"images"},
    "photos": {"aligning", "detecting", "images", "pasting", "photofiles"},
    "albums": {"detecting", "images", "photofiles", "photos"},
    "video": {"aligning", "detecting", "images", "pasting", "photos"},
    "uncertainty": {"images", "photos"},
    "shipped": {"baking", "checkpoints", "generator", "images", "photofiles", "photos"},
    "restorer": {"detecting", "images", "pages", "photofiles", "photos", "uncertainty", "views"},
    "baselines": {"evaluation", "images", "metrics"},
    "figures": {"images"},
    "diagrams": {"figures", "images"},
    "progress": {"compression", "diagrams", "images"},
    "report": {"comparing", "diagrams", "images", "journal", "pages", "progress", "results"},
    "schema": {"operations"},
    "severity": {"figures", "images", "metrics", "traces"},
    "views": {"figures", "images"},
    "handmade": {"degradations", "images", "severity"},
    "widgets": {"degradations", "figures", "handmade", "images", "operations", "views"},
    "swapping": {"generator"},
    "microscope": {"figures", "images", "suppression"},
    "instruments": {"generator", "images", "microscope", "swapping", "views"},
    # wiring
    "runs": {"params"},
    "pipeline": {
        *("preparation", "datasets", "manifest", "degradations", "training", "generator", "discriminator"),
        *("checkpoints", "foreign", "processes", "params", "runs", "journal", "progress", "evaluation", "catalogue"),
        *("report", "photos", "shipped"),
    },
    "scoring": {
        *("catalogue", "comparing", "drift", "evaluation", "evidence", "figures", "images", "metrics", "pages"),
        *("pairing", "params", "report", "results", "runs"),
    },
    "sweeps": {"params", "pipeline", "runs"},
    "tables": {"figures", "images", "journal", "runs", "sweeps"},
    "commands": {"*"},
    "cli": {"commands", "params"},
}


CONTROLS = {"widgets", "instruments", "restorer"}  # to turn by hand, in a notebook


def project_imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "hifacegan_lib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hifacegan_lib."):
            found.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("hifacegan_lib.")}
        assert not (isinstance(node, ast.ImportFrom) and node.level), "relative import"
        assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"), "star import"
    return found - {"__version__"}


def sources() -> dict[str, ast.AST]:
    return {p.stem: ast.parse(p.read_text(encoding="utf-8")) for p in PACKAGE.glob("*.py") if p.stem != "__init__"}


def test_every_module_is_on_the_map_and_the_map_is_true() -> None:
    assert set(sources()) == set(MAP)


def test_every_import_is_on_the_map() -> None:
    for name, tree in sources().items():
        if MAP[name] != {"*"}:
            extra = project_imports(tree) - MAP[name]
            assert not extra, f"{name} imports {sorted(extra)}: not on the map"


def test_every_arrow_on_the_map_is_used() -> None:
    for name, tree in sources().items():
        if MAP[name] != {"*"}:
            assert MAP[name] <= project_imports(tree), (
                f"{name}: {sorted(MAP[name] - project_imports(tree))} is not imported"
            )


def test_the_map_has_no_circle() -> None:
    open_names = dict(MAP)
    while open_names:
        free = [name for name, needs in open_names.items() if not needs & set(open_names)]
        assert free, f"circle among {sorted(open_names)}"
        for name in free:
            del open_names[name]


def test_only_controls_import_ipywidgets_and_only_notebooks_import_controls() -> None:
    for name, tree in sources().items():
        imported = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        imported |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert name in CONTROLS or not {"ipywidgets", "anywidget"} & imported
        assert not CONTROLS & project_imports(tree)


def test_notebooks_import_only_what_exists() -> None:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        plain = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!")))
        assert project_imports(ast.parse(plain)) <= set(MAP), path.name


def test_the_readme_shows_the_same_modules() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in MAP if name not in text]
    assert not missing, f"README.md's import map lacks {missing}"


def test_the_package_stays_thin() -> None:
    lines = {p.name: len(p.read_text(encoding="utf-8").splitlines()) for p in PACKAGE.glob("*.py")}
    assert sum(lines.values()) < 16000
    assert not {name: n for name, n in lines.items() if n > 320}
