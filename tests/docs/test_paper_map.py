"""Links from equations to lines lead to the code shown. `python tests/docs/test_paper_map.py` sets the lines anew."""

import ast
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("paper_map.md", "suppression.md")}
LINE = re.compile(r"\[`(?P<code>[^`]+)`\]\((?P<file>[^)#]+\.py)#L(?P<line>\d+)\)(?: in `(?P<name>[\w.]+)`)?")
LINKS = [match.groupdict() for text in PAGES.values() for match in LINE.finditer(text)]


def lines_of(file: str) -> list[str]:
    return (DOCS / file).read_text(encoding="utf-8").splitlines()


def body(file: str, name: str | None) -> range:
    """Line numbers of a function or method, with its decorators; of the whole file without a name."""
    lines = lines_of(file)
    if name is None:
        return range(1, len(lines) + 1)
    node: ast.AST = ast.parse("\n".join(lines))
    for part in name.split("."):
        named = [n for n in ast.iter_child_nodes(node) if getattr(n, "name", None) == part]
        assert named, f"{file} has no {name}"
        node = named[0]
    assert isinstance(node, ast.FunctionDef)
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def places(file: str, name: str | None, code: str) -> list[int]:
    lines = lines_of(file)
    return [n for n in body(file, name) if code in lines[n - 1]]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{Path(link['file']).stem}:{link['code'][:24]}")
def test_every_link_leads_to_the_line_it_shows(link: dict[str, str]) -> None:
    found = places(link["file"], link["name"], link["code"])
    assert int(link["line"]) in found, (
        f"{link['file']}: `{link['code']}` is in lines {found}, not {link['line']}: "
        "run python tests/docs/test_paper_map.py"
    )


def test_every_equation_has_its_line() -> None:
    rows = [
        row
        for row in PAGES["paper_map.md"].splitlines()
        if row.startswith("| ") and not row.startswith(("| In the", "| ---"))
    ]
    assert len(LINKS) >= 30
    assert [row for row in rows if "](../" not in row] == []


def test_other_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#L\d+)?\)", "".join(PAGES.values()))
    assert [link for link in links if "://" not in link and not (DOCS / link).exists()] == []


def corrected(match: re.Match[str]) -> str:
    found = places(match["file"], match["name"], match["code"])
    return match[0] if not found else match[0].replace(f"#L{match['line']})", f"#L{found[0]})")


if __name__ == "__main__":
    for name, text in PAGES.items():
        (DOCS / name).write_text(LINE.sub(corrected, text), encoding="utf-8")
