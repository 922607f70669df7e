"""The microscope as people meet it: JupyterLab in a real browser, a click and an arrow key."""

from collections.abc import Iterator
from typing import Any

import browsing
import pytest
from browsing import until

CELL = """
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.widgets.microscope import SuppressionMicroscope
microscope = SuppressionMicroscope(portrait(1, 64), (29, 23), lambda face, place: face.mean(2) / face[place].mean() / 9)
microscope
"""
ROOT = ".suppression-microscope"
complaints: list[str] = []  # of the page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsing.chromium() as browser, browsing.serving(tmp_path_factory.mktemp("lab"), CELL) as lab:
        yield browsing.opened(browser, lab, f"{ROOT} img[src^='data:image/png']", complaints)


def sources(page: Any) -> list[str]:
    return page.evaluate(f"() => [...document.querySelectorAll('{ROOT} img')].map(image => image.src)")


def words(page: Any) -> str:
    return str(page.inner_text(f"{ROOT} > .widget-label"))


def test_a_click_moves_the_ring_in_all_four_pictures(page: Any) -> None:
    before = sources(page)
    assert len(before) == 4 and words(page).startswith("row 29, column 23:")
    image = page.locator(f"{ROOT} img").nth(2)
    box = image.bounding_box()
    image.click(position={"x": box["width"] * 10.5 / 64, "y": box["height"] * 40.5 / 64})
    until("the clicked pixel is told", lambda: words(page).startswith("row 40, column 10:"), 30)
    until("four other pictures", lambda: not set(before) & set(sources(page)), 30)


def test_arrow_keys_move_it_by_one(page: Any) -> None:
    browsing.settle(page, ROOT)
    page.locator(f"{ROOT} img").nth(0).click(position={"x": 2, "y": 2})
    until("the corner", lambda: words(page).startswith("row 0, column 0:"), 30)
    for key, place in (("ArrowRight", "row 0, column 1:"), ("ArrowDown", "row 1, column 1:"), ("ArrowUp", "row 0,")):
        browsing.settle(page, ROOT)
        page.keyboard.press(key)
        until(f"{key} to {place}", lambda place=place: words(page).startswith(place), 30)


def test_noise_is_turned_up(page: Any) -> None:
    browsing.settle(page, ROOT)
    before = sources(page)
    page.focus(f"{ROOT} .noUi-handle")
    page.keyboard.press("ArrowRight")
    until("another noisy face", lambda: sources(page)[2] != before[2], 30)
    assert sources(page)[0] == before[0]


def test_no_error_was_printed(page: Any) -> None:
    assert browsing.told(page) == 0 and not complaints
