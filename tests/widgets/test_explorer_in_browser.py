"""The explorer as people meet it: JupyterLab in a real browser, a slider moved by keyboard."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browsing
import numpy as np
import pytest
from browsing import Lab, until

from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.utils.images import save_image

CELL = """
import cv2
from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.widgets.explorer import DegradationExplorer
cv2.setNumThreads(1)
faces = [portrait(seed, 256) for seed in range(2)]
explorer = DegradationExplorer(faces, ["report", "realesrgan"], save_to=".")
explorer
"""
complaints: list[str] = []  # of the page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with browsing.serving(tmp_path_factory.mktemp("lab"), CELL) as found:
        yield found


@pytest.fixture(scope="module")
def page(browser: Any, lab: Lab) -> Any:
    return browsing.opened(browser, lab, ".dx .dx-pictures img[src^='blob:']", complaints)


def degraded(page: Any) -> str:
    return str(page.get_attribute(".dx-picture:nth-child(2) img", "src"))


def trace(page: Any) -> dict[str, Any]:
    return json.loads(page.get_attribute(".dx-copy >> nth=1", "data-text"))


def settle(page: Any) -> None:
    browsing.settle(page, ".dx")


def move(page: Any, handle: str, key: str) -> float:
    """Press a key on a slider's handle; milliseconds until another picture is on the screen."""
    settle(page)
    before = degraded(page)
    page.focus(handle)
    start = time.perf_counter()
    page.keyboard.press(key)
    page.wait_for_function(
        "before => { const image = document.querySelector('.dx-picture:nth-child(2) img');"
        " return image.src !== before && image.complete; }",
        arg=before,
        polling="raf",
        timeout=30_000,
    )
    return 1000 * (time.perf_counter() - start)


def draw(page: Any, recipe: str) -> None:
    """An untouched draw of the recipe, whatever was done before."""
    page.select_option(".dx-left select >> nth=0", label=recipe)
    settle(page)
    if page.is_visible("text=back to the draw"):
        page.click("text=back to the draw")
        settle(page)
    page.wait_for_function(
        "recipe => JSON.parse(document.querySelectorAll('.dx-copy')[1].dataset.text).recipe === recipe", arg=recipe
    )


SEED = ".dx-left > .widget-hslider >> nth=1 >> .noUi-handle"


def test_a_slider_moved_by_keyboard_changes_the_picture(page: Any, record_property: Callable[[str, Any], None]) -> None:
    draw(page, "report")
    clean = page.get_attribute(".dx-picture:nth-child(1) img", "src")
    quality = ".dx-step:has-text('jpeg') .noUi-handle"
    before = trace(page)["operations"]
    waits = [move(page, quality, "ArrowLeft") for _ in range(10)]
    record_property("median_ms_from_key_to_picture", sorted(waits)[len(waits) // 2])
    print(f"from key to picture: {', '.join(f'{wait:.0f}' for wait in waits)} ms")
    expected = [{**step, "quality": step["quality"] - 10} if step["op"] == "jpeg" else step for step in before]
    until("ten lower in the trace, nothing else", lambda: trace(page)["operations"] == expected, 30)
    assert page.get_attribute(".dx-picture:nth-child(1) img", "src") == clean
    assert "by hand" in page.inner_text(".dx-quality")


def test_what_is_drawn_is_shown_to_the_last_digit(page: Any) -> None:
    """Sliders of a browser round to their steps; that must not change a draw."""
    for recipe in ("realesrgan", "report"):
        draw(page, recipe)
        for _ in range(3):
            move(page, SEED, "ArrowRight")
        page.wait_for_timeout(500)  # time for a browser to object
        shown = trace(page)
        seed = int(page.inner_text(".dx-left > .widget-hslider >> nth=1 >> .widget-readout"))
        assert shown == load_recipe(recipe).sample(seed, grid=256).to_dict()


def test_steps_are_added_moved_switched_off_and_removed(page: Any) -> None:
    draw(page, "report")
    drawn = [step["op"] for step in trace(page)["operations"]]

    def steps(expected: list[str]) -> None:
        until(f"steps are {expected}", lambda: [step["op"] for step in trace(page)["operations"]] == expected, 30)

    page.select_option(".dx-add select", label="grey")
    page.click(".dx-add button")
    steps([*drawn, "grey"])
    page.click(".dx-step >> nth=-1 >> button[title='up']")
    steps([*drawn[:-1], "grey", drawn[-1]])
    page.uncheck(".dx-step >> nth=0 >> input[type='checkbox']")
    steps([*drawn[1:-1], "grey", drawn[-1]])
    page.click(".dx-step >> nth=1 >> button[title='remove']")
    steps([*drawn[2:-1], "grey", drawn[-1]])
    move(page, ".dx-step:has-text('grey') .noUi-handle", "ArrowRight")


def test_zoom_shows_another_part_of_all_three(page: Any) -> None:
    sources = "() => [...document.querySelectorAll('.dx-picture img')].map(image => image.src)"
    before = page.evaluate(sources)
    page.click(".dx-zoom button >> nth=3")
    until("three other pictures", lambda: not set(before) & set(page.evaluate(sources)), 30)
    move(page, ".dx-bar .noUi-handle >> nth=0", "ArrowLeft")
    page.click(".dx-zoom button >> nth=0")
    page.wait_for_selector(".dx-bar .widget-hslider .slider[disabled]")


@pytest.mark.parametrize(("place", "key"), [(0, "name"), (1, "recipe")])
def test_copy_buttons_fill_the_clipboard(page: Any, place: int, key: str) -> None:
    draw(page, "report")
    page.evaluate("() => navigator.clipboard.writeText('nothing')")
    page.click(f".dx-copy >> nth={place}")
    page.wait_for_selector(".dx-copy.dx-done")
    copied = json.loads(page.evaluate("() => navigator.clipboard.readText()"))
    assert copied == json.loads(page.get_attribute(f".dx-copy >> nth={place}", "data-text"))
    assert copied[key] == "report"


def test_the_contact_sheet_comes_and_goes(page: Any) -> None:
    page.click("text=contact sheet")
    page.wait_for_function("() => document.querySelector('.dx-sheet img')?.naturalWidth > 700", timeout=60_000)
    page.click("text=contact sheet")
    page.wait_for_selector(".dx-sheet", state="detached")


def test_a_recipe_is_saved_once(page: Any, lab: Lab) -> None:
    draw(page, "report")
    page.fill(".dx-buttons input[type='text']", "mine")
    page.keyboard.press("Tab")
    page.click("text=save to params")
    page.wait_for_selector("text=saved as params/recipes/mine.json")
    assert load_recipe(lab.folder / "params/recipes/mine.json").operations == load_recipe("report").operations
    page.click("text=save to params")
    page.wait_for_selector(".dx-error:has-text('exists already')")


def upload(page: Any, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click(".dx-upload")
    chooser.value.set_files(file)


def test_a_face_is_uploaded_and_a_bad_file_is_told(page: Any, tmp_path: Path) -> None:
    save_image(tmp_path / "wide.png", np.full((60, 90, 3), 200, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    upload(page, tmp_path / "broken.png")
    page.wait_for_selector(".dx-error:has-text('broken.png: not an image')")
    before = degraded(page)
    upload(page, tmp_path / "wide.png")
    until("another face", lambda: degraded(page) != before, 30)
    assert page.inner_text(".dx-left > .widget-hslider >> nth=0 >> .widget-readout") == "2"


@pytest.mark.parametrize("width", [1280, 1100])
def test_nothing_sticks_out_at_the_sides(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(500)  # for the layout to settle
    found = page.evaluate(
        """() => {
        const area = document.querySelector('.dx').closest('.jp-OutputArea-output');
        const inside = [...area.querySelectorAll('.dx-body *')].filter(e => e.offsetParent);
        const right = area.getBoundingClientRect().right;
        return {scroll: area.scrollWidth - area.clientWidth,
                out: inside.filter(e => e.getBoundingClientRect().right > right + 1).map(e => e.className)};
        }"""
    )
    assert found == {"scroll": 0, "out": []}


def test_no_error_was_printed(page: Any) -> None:
    assert browsing.told(page) == 0
    assert not complaints
