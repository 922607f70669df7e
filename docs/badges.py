"""Badges that open the notebooks in Colab, and the git address that Colab clones: both follow REPOSITORY.

Whoever publishes the project under another name changes REPOSITORY and runs `python docs/badges.py`.
"""

import re
from pathlib import Path

REPOSITORY = "OWNER/face-renovation"
"""Owner and name on GitHub."""

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "docs" / "colab.md"]
COLAB = re.compile(r"(?<=https://colab\.research\.google\.com/github/)[\w.-]+/[\w.-]+(?=/blob/main/notebooks/)")
CLONED = re.compile(r'(?<=else \\"https://github\.com/)[\w.-]+/[\w.-]+(?=\\")')  # in a notebook's JSON


def badge(notebook: str) -> str:
    """The badge of notebooks/``notebook``, Markdown."""
    address = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{notebook}"
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"


def updated(text: str) -> str:
    """A page or a notebook's JSON with the addresses of REPOSITORY."""
    return CLONED.sub(REPOSITORY, COLAB.sub(REPOSITORY, text))


if __name__ == "__main__":
    for path in (*PAGES, *NOTEBOOKS):
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
