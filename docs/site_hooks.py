"""Hooks of the site: pages that lie outside of docs/, the API reference, and links that lead out of docs/.

README.md becomes the front page. A link to a file of the repository leads to its page on the site: a notebook or a
Markdown file to the page made of it, a Python file of the package to its place in the reference, any other file to a
copy of it. Equations become MathML.
"""

import ast
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "hifacegan_lib/weights/MODEL_CARD.md": "model_card.md",
    **{f"notebooks/{p.name}": f"notebooks/{p.name}" for p in sorted((ROOT / "notebooks").glob("*.ipynb"))},
}
"""File of the repository -> its page on the site."""
EQUATION = re.compile(r"\$\$(?P<block>[^$]+)\$\$|(?<![\\`$\w])\$(?P<inline>[^$\n`]+)\$(?![\w`])")
LINK = re.compile(r"(\]\()([^)\s#]+)?(#[^)\s]*)?(\))")


@event_priority(100)  # before the plugin that renders notebooks
def on_files(files: Files, config: Any, **_: Any) -> Files:
    for source, page in PAGES.items():
        if source.endswith(".ipynb"):  # its plugin knows no generated files
            files.append(File(source, str(ROOT), config.site_dir, config.use_directory_urls))
        else:
            files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for name, text in reference().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    for path in linked_files():
        files.append(File.generated(config, f"files/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    source = Path(page.file.abs_src_path or ROOT / "docs" / page.file.src_uri)
    here = source.relative_to(ROOT).parent if source.is_relative_to(ROOT) else Path("docs")
    start = posixpath.dirname(page.file.src_uri)

    def led(match: re.Match[str]) -> str:
        opening, target, anchor, closing = match.groups()
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(here.as_posix(), target))
        found = place(path, anchor or "")
        return f"{opening}{posixpath.relpath(found[0], start or '.')}{found[1]}{closing}" if found else match[0]

    return LINK.sub(led, EQUATION.sub(mathml, markdown))


def mathml(match: re.Match[str]) -> str:
    """An equation as MathML, which browsers draw without a script."""
    return convert(match["block"] or match["inline"], display="block" if match["block"] else "inline")


def place(path: str, anchor: str) -> tuple[str, str] | None:
    """Page and anchor on the site for a file of the repository; None: the link is left as it is."""
    parts = Path(path).parts
    if path in PAGES:
        return PAGES[path], anchor
    if parts and parts[0] == "docs":
        return posixpath.join(*parts[1:]), anchor
    if path.endswith(".py") and parts[0] == "hifacegan_lib":
        module = ".".join(Path(path).with_suffix("").parts)
        return f"reference/{parts[1] if len(parts) > 2 else 'index'}.md", f"#{module}"
    return (f"files/{path}", "") if (ROOT / path).is_file() else None


def linked_files() -> list[str]:
    """Files outside of docs/ that a page links to and that have no page: licences, profiles, recipes, pictures."""
    found = set()
    for page in [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / source for source in PAGES if source.endswith(".md"))]:
        for _, target, _, _ in LINK.findall(page.read_text(encoding="utf-8")):
            path = os.path.normpath(page.parent / target) if target and "://" not in target else ""
            inside = Path(path).relative_to(ROOT).as_posix() if path.startswith(f"{ROOT}/") else ""
            if inside and not inside.startswith("docs/") and (place(inside, "") or ("",))[0].startswith("files/"):
                found.add(inside)
    return sorted(found)


def reference() -> dict[str, str]:
    """Page name -> Markdown of the API reference: one page for the front door and the top level, one for each wing."""
    package = ROOT / "hifacegan_lib"
    wings = sorted(p.parent.name for p in package.glob("*/__init__.pyi"))
    pages = {wing: _page(f"hifacegan_lib.{wing}", package / wing) for wing in wings}
    links = "\n".join(f"- [{wing}]({wing}.md): {_doc(package / wing / '__init__.py')}" for wing in wings)
    return {"index": f"{_page('hifacegan_lib', package)}\n\n## Wings\n\n{links}\n", **pages}


def _page(name: str, folder: Path) -> str:
    modules = sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__")
    parts = "\n\n".join(f"::: {name}.{module}\n    options:\n      heading_level: 2" for module in modules)
    return f"# {name}\n\n{_doc(folder / '__init__.py')}\n\nPublic: {_public(name, folder)}.\n\n{parts}"


def _public(name: str, folder: Path) -> str:
    """The names of ``__init__.pyi``, each a link to its place."""
    found = {}
    for node in ast.parse((folder / "__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            home = f"{name}.{node.module}" if node.module else name
            found |= {alias.name: f"{home}.{alias.name}" for alias in node.names}
    return ", ".join(f"[`{short}`][{full}]" for short, full in sorted(found.items()))


def _doc(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
