"""Badges: one for each notebook on each page, all to one address, which is Colab's git address too."""

from pathlib import Path

import pytest
import scripts

badges = scripts.load("badges")


@pytest.mark.parametrize("page", badges.PAGES, ids=lambda path: path.name)
def test_a_page_has_each_notebooks_badge_once(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [text.count(badges.badge(path.name)) for path in badges.NOTEBOOKS] == 6 * [1]
    assert text.count("colab.research.google.com/github/") == 6


@pytest.mark.parametrize("notebook", badges.NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_clones_the_same_address(notebook: Path) -> None:
    assert notebook.read_text(encoding="utf-8").count(f'else \\"https://github.com/{badges.REPOSITORY}\\")') == 1


def test_another_address_reaches_every_place(monkeypatch: pytest.MonkeyPatch) -> None:
    before, places = badges.REPOSITORY, 0
    monkeypatch.setattr(badges, "REPOSITORY", "me/my.fork")
    for path in (*badges.PAGES, *badges.NOTEBOOKS):
        text = badges.updated(path.read_text(encoding="utf-8"))
        assert before not in text, path.name
        places += text.count("me/my.fork")
    assert places == 18
