"""The explorer, driven through its traits as a browser would."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hifacegan_lib import figures
from hifacegan_lib.degradations import load_recipe, recipe_names
from hifacegan_lib.images import Pixels
from hifacegan_lib.widgets import DegradationExplorer, degradation_explorer


@pytest.fixture
def faces() -> list[Pixels]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (64, 64, 3), np.uint8).repeat(2, 1)[:, :64] for _ in range(3)]


def pixels(explorer: DegradationExplorer, name: str) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(explorer.pictures[name].value)))


def test_the_first_picture_is_there_before_anything_is_touched(faces: list[Pixels]) -> None:
    explorer = degradation_explorer(faces, ["report"])
    expected = load_recipe("report").sample(0).apply(faces[0])
    np.testing.assert_array_equal(pixels(explorer, "clean")[::4, ::4], faces[0])
    np.testing.assert_array_equal(pixels(explorer, "degraded")[::4, ::4], expected)
    np.testing.assert_array_equal(pixels(explorer, "difference")[::4, ::4], figures.difference(faces[0], expected))


def test_each_control_changes_the_picture_and_coming_back_restores_it(faces: list[Pixels]) -> None:
    explorer = degradation_explorer(faces, ["report", "mosaic16x"])
    first = explorer.pictures["degraded"].value, explorer.message.value
    for control, value in [(explorer.seed, 7), (explorer.face, 2), (explorer.recipe, "mosaic16x")]:
        before = control.value
        control.value = value
        assert explorer.pictures["degraded"].value != first[0]
        assert explorer.message.value != first[1]
        control.value = before
        assert (explorer.pictures["degraded"].value, explorer.message.value) == first


def test_all_shipped_recipes_are_offered_by_default(faces: list[Pixels]) -> None:
    explorer = degradation_explorer(faces)
    assert list(explorer.recipe.options) == recipe_names()


def test_the_message_holds_psnr_and_trace(faces: list[Pixels]) -> None:
    explorer = degradation_explorer(faces, ["denoise"])
    trace = load_recipe("denoise").sample(0)
    assert f"{figures.psnr(faces[0], trace.apply(faces[0])):.2f} dB" in explorer.message.value
    assert trace.describe() in explorer.message.value


def test_an_error_in_a_callback_is_shown_and_gone_after_the_next_good_value(
    faces: list[Pixels], tmp_path: Path
) -> None:
    own = tmp_path / "own.json"
    own.write_text(load_recipe("jpeg").to_json().replace("17", "<b>"), encoding="utf-8")
    explorer = degradation_explorer(faces, ["report", str(own)])
    good = explorer.pictures["degraded"].value
    explorer.recipe.value = str(own)
    assert "ValueError" in explorer.message.value
    assert "own.json: not valid JSON" in explorer.message.value
    assert explorer.pictures["degraded"].value != good
    explorer.recipe.value = "report"
    assert "ValueError" not in explorer.message.value
    assert explorer.pictures["degraded"].value == good


def test_large_faces_keep_their_pixels(faces: list[Pixels]) -> None:
    large = faces[0].repeat(8, 0).repeat(8, 1)
    explorer = degradation_explorer([large], ["jpeg"])
    np.testing.assert_array_equal(pixels(explorer, "clean"), large)
    assert explorer.face.max == 0


def test_no_face_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one face"):
        degradation_explorer([])
