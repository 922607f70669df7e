"""Notebook 06's restorer as people meet it: JupyterLab in a real browser, the weights that ship."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsing
import numpy as np
import pytest
from browsing import until
from PIL import Image
from skimage import data

CELL = """
from skimage import data
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.restoration import pretrained
from hifacegan_lib.widgets.photo_restorer import Restorer
damaged = load_recipe("report").sample(5, grid=256).apply(data.astronaut()[:300, 60:360], face=110)
restorer = Restorer(damaged, lambda blend: pretrained.load_model("compact-256", blend), "haar")
restorer
"""
ROOT = ".rx"
complaints: list[str] = []  # of the page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsing.chromium() as browser, browsing.serving(tmp_path_factory.mktemp("lab"), CELL) as lab:
        yield browsing.opened(browser, lab, f"{ROOT} .rx-divider img[src^='data:image/webp']", complaints)


def pictures(page: Any) -> list[np.ndarray]:
    """Before and after, as the page has them."""
    sources = page.evaluate(f"() => [...document.querySelectorAll('{ROOT} .rx-divider img')].map(image => image.src)")
    shown = [Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) for source in sources]
    return [np.asarray(image.convert("RGB")).astype(float) for image in shown]


def choose(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    browsing.settle(page, ROOT)


def upload(page: Any, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click(f"{ROOT} .dx-upload")
    chooser.value.set_files(file)


def test_the_divider_follows_the_pointer_and_the_keys(page: Any) -> None:
    before, after = pictures(page)
    assert before.shape == after.shape == (300, 300, 3)
    assert np.abs(before - after).mean() > 1
    edge, clip = f"{ROOT} .rx-divider input", "image => image.style.clipPath"
    box = page.locator(edge).bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    until("a quarter", lambda: 20 < float(page.input_value(edge)) < 30, 10)
    page.focus(edge)
    page.keyboard.press("Home")
    assert page.eval_on_selector(f"{ROOT} img[alt='after']", clip).rstrip(")").endswith(" 0%")
    page.keyboard.press("ArrowRight")
    assert page.input_value(edge) == "1"


def test_no_strength_is_no_change(page: Any) -> None:
    browsing.settle(page, ROOT)
    page.focus(f"{ROOT} .noUi-handle >> nth=0")
    page.keyboard.press("Home")
    until("before and after alike", lambda: np.abs(np.subtract(*pictures(page))).mean() < 0.01, 30)
    page.keyboard.press("End")
    until("restored again", lambda: np.abs(np.subtract(*pictures(page))).mean() > 1, 30)


def test_realism_draws_another_face(page: Any) -> None:
    browsing.settle(page, ROOT)
    _, fidelity = pictures(page)
    page.focus(f"{ROOT} .noUi-handle >> nth=1")
    page.keyboard.press("End")
    until("what restored it", lambda: "(blend 1)" in page.inner_text(ROOT), 30)
    browsing.settle(page, ROOT)
    assert np.abs(pictures(page)[1] - fidelity).max() > 8
    page.keyboard.press("Home")
    until("fidelity again", lambda: "(blend 0)" in page.inner_text(ROOT), 30)


def test_the_found_face_is_framed_and_the_unsure_places_shine(page: Any) -> None:
    browsing.settle(page, ROOT)
    plain, _ = pictures(page)
    choose(page, "faces found")
    framed, _ = pictures(page)
    assert 100 < (np.abs(framed - plain).max(2) > 60).sum() < 3000  # a thin line
    choose(page, "where it is unsure")
    face, heat = pictures(page)
    assert face.shape == heat.shape == (256, 256, 3)
    assert heat.max() > 60 > 30 > np.median(heat)
    choose(page, "photograph")


def test_an_uploaded_photograph_takes_its_place_and_a_broken_one_is_told(page: Any, tmp_path: Path) -> None:
    browsing.settle(page, ROOT)
    Image.fromarray(data.astronaut()[:240, 80:380]).save(tmp_path / "mine.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    upload(page, tmp_path / "mine.png")
    until("its size", lambda: pictures(page)[0].shape == (240, 300, 3), 30)
    browsing.settle(page, ROOT)
    upload(page, tmp_path / "broken.png")
    until("the error", lambda: "broken.png" in page.inner_text(f"{ROOT} .dx-error"), 30)
    assert pictures(page)[0].shape == (240, 300, 3)


def test_no_error_was_printed(page: Any) -> None:
    assert browsing.told(page) == 0 and not complaints
