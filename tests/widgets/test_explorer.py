"""The explorer, driven through its traits as a browser would."""

import html
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hifacegan_lib.degradations.operations import OPERATIONS
from hifacegan_lib.degradations.recipes import Recipe, Trace, load_recipe, recipe_names
from hifacegan_lib.reports import face_views, plots
from hifacegan_lib.utils import measures
from hifacegan_lib.utils.images import Pixels
from hifacegan_lib.widgets.explorer import DegradationExplorer


@pytest.fixture
def faces() -> list[Pixels]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (64, 64, 3), np.uint8).repeat(2, 1)[:, :64] for _ in range(3)]


@pytest.fixture
def explorer(faces: list[Pixels]) -> DegradationExplorer:
    return DegradationExplorer(faces, ["report", "mosaic16x", "realesrgan"])


def pixels(explorer: DegradationExplorer, name: str) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(explorer.pictures[name].value)))


def copied(button: Any) -> Any:
    return json.loads(html.unescape(re.findall(r'data-text="([^"]*)"', button.value)[0]))


def row(explorer: DegradationExplorer, op: str) -> Any:
    return next(row for row in explorer.rows if row.op == op)


def everything(explorer: DegradationExplorer) -> list[Any]:
    shown = [picture.value for picture in explorer.pictures.values()]
    return [*shown, explorer.message.value, explorer.histogram.value, explorer.spectrum.value, explorer.error.value]


def test_the_first_picture_is_there_before_anything_is_touched(
    explorer: DegradationExplorer, faces: list[Pixels]
) -> None:
    expected = load_recipe("report").sample(0, grid=64).apply(faces[0])
    np.testing.assert_array_equal(pixels(explorer, "clean")[::4, ::4], faces[0])
    np.testing.assert_array_equal(pixels(explorer, "degraded")[::4, ::4], expected)
    np.testing.assert_array_equal(pixels(explorer, "difference")[::4, ::4], plots.difference(faces[0], expected))


def test_each_control_changes_the_picture_and_coming_back_restores_it(explorer: DegradationExplorer) -> None:
    first = everything(explorer)
    for control, value in [(explorer.seed, 7), (explorer.face, 2), (explorer.recipe, "mosaic16x"), (explorer.zoom, 4)]:
        before = control.value
        control.value = value
        assert explorer.pictures["degraded"].value != first[1]
        control.value = before
        assert everything(explorer) == first


@pytest.mark.parametrize("recipe", recipe_names())
def test_steps_are_those_of_the_draw_for_every_recipe(faces: list[Pixels], recipe: str) -> None:
    explorer = DegradationExplorer(faces, [recipe])
    for seed in range(3):
        explorer.seed.value = seed
        assert explorer.error.value == ""
        assert explorer.trace == load_recipe(recipe).sample(seed, grid=64)
        assert copied(explorer.copy_trace) == json.loads(explorer.trace.to_json())
        assert copied(explorer.copy_recipe) == json.loads(load_recipe(recipe).to_json())
        assert explorer.reset.disabled


def test_all_shipped_recipes_are_offered_by_default(faces: list[Pixels]) -> None:
    explorer = DegradationExplorer(faces)
    assert [name for name, _ in explorer.recipe.options] == recipe_names()


def test_the_message_holds_quality_and_trace(explorer: DegradationExplorer, faces: list[Pixels]) -> None:
    trace = load_recipe("report").sample(0, grid=64)
    degraded = trace.apply(faces[0])
    assert f"{measures.psnr(faces[0], degraded):.2f} dB" in explorer.message.value
    assert f"{face_views.ssim(faces[0], degraded):.3f}" in explorer.message.value
    assert f"report: {html.escape(trace.describe())}" in explorer.message.value


@pytest.mark.parametrize("op", OPERATIONS)
def test_every_operation_can_be_added_and_each_of_its_numbers_driven(op: str, faces: list[Pixels]) -> None:
    explorer = DegradationExplorer(faces, ["jpeg"])
    explorer.operation.value = op
    explorer.add.click()
    added = explorer.rows[-1]
    assert added.op == op
    assert added.controls.keys() == OPERATIONS[op].parameters.keys()
    for name, control in added.controls.items():
        ends = control.options if hasattr(control, "options") else (control.min, control.max)
        for value in (ends[0], ends[-1]):
            control.value = value
            assert dict(explorer.trace.operations[-1].values)[name] == value
            assert explorer.error.value == ""
    expected = explorer.trace.apply(faces[0])
    np.testing.assert_array_equal(pixels(explorer, "degraded")[::4, ::4], expected)


def test_a_hand_on_one_number_leaves_the_others_of_the_draw(explorer: DegradationExplorer) -> None:
    drawn = explorer.trace
    step = row(explorer, "jpeg")
    step.controls["quality"].value = 5
    assert explorer.trace.recipe == "by hand"
    assert [s for s in explorer.trace.operations if s.op != "jpeg"] == [s for s in drawn.operations if s.op != "jpeg"]
    assert step.words.description == "jpeg q5"
    explorer.reset.click()
    assert explorer.trace == drawn


def test_numbers_that_a_browser_rounds_to_its_steps_change_nothing(explorer: DegradationExplorer) -> None:
    drawn = explorer.trace
    slider = row(explorer, "gaussian_noise").controls["sigma"]
    slider.value = round(slider.value)
    assert explorer.trace == drawn
    slider.value += 1
    assert dict(row(explorer, "gaussian_noise").step.values)["sigma"] == slider.value
    assert explorer.trace.recipe == "by hand"


def test_a_step_switched_off_does_not_happen(explorer: DegradationExplorer) -> None:
    ops = [step.op for step in explorer.trace.operations]
    explorer.rows[1].on.value = False
    assert [step.op for step in explorer.trace.operations] == [ops[0], *ops[2:]]
    explorer.rows[1].on.value = True
    assert explorer.trace == load_recipe("report").sample(0, grid=64)


def test_all_off_is_the_clean_face(explorer: DegradationExplorer) -> None:
    for step in explorer.rows:
        step.on.value = False
    assert explorer.pictures["degraded"].value == explorer.pictures["clean"].value
    assert "equal" in explorer.message.value
    assert "unchanged" in explorer.message.value


def test_order_is_driven_by_buttons_and_stops_at_the_ends(explorer: DegradationExplorer) -> None:
    ops = [step.op for step in explorer.rows]
    first = explorer.rows[0]
    first.buttons["up"].click()
    assert [step.op for step in explorer.rows] == ops
    first.buttons["down"].click()
    assert [step.op for step in explorer.rows] == [ops[1], ops[0], *ops[2:]]
    for _ in range(9):
        first.buttons["down"].click()
    assert [step.op for step in explorer.rows] == [*ops[1:], ops[0]]
    first.buttons["remove"].click()
    assert [step.op for step in explorer.trace.operations] == ops[1:]
    assert list(explorer.steps.children) == explorer.rows


def test_the_same_operation_may_come_twice_with_its_own_numbers(explorer: DegradationExplorer) -> None:
    explorer.operation.value = "jpeg"
    explorer.add.click()
    explorer.add.click()
    explorer.rows[-1].controls["quality"].value = 90
    qualities = [dict(step.values)["quality"] for step in explorer.trace.operations if step.op == "jpeg"]
    assert qualities == [dict(row(explorer, "jpeg").step.values)["quality"], 50, 90]


def test_long_draws_are_folded_and_can_be_unfolded(explorer: DegradationExplorer) -> None:
    assert all(step.numbers in step.children for step in explorer.rows)
    explorer.recipe.value = "realesrgan"
    assert not any(step.numbers in step.children for step in explorer.rows)
    explorer.rows[0].words.click()
    assert explorer.rows[0].numbers in explorer.rows[0].children
    explorer.rows[0].words.click()
    assert explorer.rows[0].numbers not in explorer.rows[0].children


def test_steps_by_hand_are_copied_as_a_recipe_of_fixed_numbers(explorer: DegradationExplorer) -> None:
    row(explorer, "jpeg").controls["quality"].value = 5
    recipe = Recipe.from_json(json.dumps(copied(explorer.copy_recipe)))
    assert recipe.order == "given"
    assert [step.op for step in recipe.sample(3).operations] == [step.op for step in explorer.trace.operations]
    assert Trace.parse(copied(explorer.copy_trace), "copy") == explorer.trace


def test_zoom_shows_the_same_crop_of_all_three(explorer: DegradationExplorer) -> None:
    whole = {name: pixels(explorer, name)[::4, ::4] for name in explorer.pictures}
    explorer.zoom.value, explorer.across.value, explorer.down.value = 4, 0.25, 1.0
    for name, image in whole.items():
        np.testing.assert_array_equal(pixels(explorer, name)[::16, ::16], image[48:, 8:24])


def test_a_contact_sheet_has_32_draws_and_goes_again(explorer: DegradationExplorer, faces: list[Pixels]) -> None:
    explorer.seed.value = 5
    explorer.sheet.value = True
    assert explorer.contact in explorer.right.children
    shown = np.asarray(Image.open(io.BytesIO(explorer.draws.value)))
    assert shown.shape == (4 * 64 + 3 * 8, 8 * 64 + 7 * 8, 3)
    np.testing.assert_array_equal(shown[-64:, -64:], load_recipe("report").sample(36, grid=64).apply(faces[0]))
    assert "seeds 5 to 36" in explorer.sheet_words.value
    explorer.sheet.value = False
    assert explorer.contact not in explorer.right.children


def photo(name: str, content: bytes) -> tuple[dict[str, Any]]:
    return (
        {
            "name": name,
            "content": memoryview(content),
            "type": "",
            "size": len(content),
            "last_modified": datetime.now(UTC),
        },
    )


def set_upload(explorer: DegradationExplorer, name: str, content: bytes) -> None:
    explorer.upload.set_trait("value", photo(name, content))


def test_an_uploaded_photograph_becomes_the_face(explorer: DegradationExplorer) -> None:
    file = io.BytesIO()
    Image.new("RGB", (90, 70), "red").save(file, "PNG")
    set_upload(explorer, "red.png", file.getvalue())
    assert (explorer.face.max, explorer.face.value) == (3, 3)
    assert explorer.faces[3].shape == (64, 64, 3)
    assert (pixels(explorer, "clean") == (255, 0, 0)).all()
    assert explorer.upload.value == ()


def test_a_bad_file_is_told_and_the_face_stays(explorer: DegradationExplorer) -> None:
    before = everything(explorer)[:-1]
    set_upload(explorer, "<b>.png", b"no picture")
    assert "&lt;b&gt;.png: not an image" in explorer.error.value
    assert everything(explorer)[:-1] == before
    assert len(explorer.faces) == 3


def test_recipes_are_saved_below_the_root_and_offered(faces: list[Pixels], tmp_path: Path) -> None:
    explorer = DegradationExplorer(faces, ["report"], save_to=tmp_path)
    explorer.save.click()
    assert "needs a name" in explorer.error.value
    explorer.name.value = "mine"
    explorer.save.click()
    assert "params/recipes/mine.json" in explorer.note.value
    assert load_recipe(tmp_path / "params/recipes/mine.json").operations == load_recipe("report").operations
    assert ("mine", str(tmp_path / "params/recipes/mine.json")) in explorer.recipe.options
    row(explorer, "jpeg").controls["quality"].value = 5
    explorer.save.click()
    assert "exists already" in explorer.error.value
    explorer.name.value = "by-hand"
    explorer.save.click()
    assert load_recipe(tmp_path / "params/recipes/by-hand.json").order == "given"
    explorer.recipe.value = str(tmp_path / "params/recipes/mine.json")
    assert explorer.trace.recipe == "mine"


def test_nothing_can_be_saved_without_a_root(explorer: DegradationExplorer) -> None:
    assert not any(explorer.save in getattr(child, "children", ()) for child in explorer.right.children)


def test_an_error_in_a_callback_is_shown_and_gone_after_the_next_good_value(
    faces: list[Pixels], tmp_path: Path
) -> None:
    own = tmp_path / "own.json"
    own.write_text(load_recipe("jpeg").to_json().replace("17", "<b>"), encoding="utf-8")
    explorer = DegradationExplorer(faces, ["report", str(own)])
    good = everything(explorer)
    explorer.recipe.value = str(own)
    assert "ValueError" in explorer.error.value
    assert "own.json: not JSON" in explorer.error.value
    assert "dx-stale" in explorer.right._dom_classes
    explorer.zoom.value = 2
    assert "own.json" in explorer.error.value
    explorer.zoom.value = 1
    assert "dx-stale" in explorer.right._dom_classes
    explorer.recipe.value = "report"
    assert "dx-stale" not in explorer.right._dom_classes
    assert everything(explorer) == good


def test_a_bad_first_recipe_is_told_too(faces: list[Pixels]) -> None:
    explorer = DegradationExplorer(faces, ["no-such", "report"])
    assert "no recipe" in explorer.error.value
    for control, value in ((explorer.face, 1), (explorer.zoom, 4), (explorer.sheet, True)):
        control.value = value
        assert "no recipe" in explorer.error.value
    explorer.add.click()
    assert "no recipe" in explorer.error.value
    explorer.recipe.value = "report"
    assert explorer.error.value == ""


def test_large_faces_are_shown_whole_and_pixel_by_pixel_when_zoomed() -> None:
    large = np.random.default_rng(1).integers(0, 256, (512, 512, 3), np.uint8)
    explorer = DegradationExplorer([large], ["jpeg"])
    assert pixels(explorer, "clean").shape == (256, 256, 3)
    explorer.zoom.value = 2
    np.testing.assert_array_equal(pixels(explorer, "clean"), large[128:384, 128:384])
    assert explorer.face.max == 0


@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (40, 64)])
def test_faces_of_any_size_are_explored(shape: tuple[int, int]) -> None:
    explorer = DegradationExplorer([np.full((*shape, 3), 90, np.uint8)], ["report"])
    explorer.zoom.value = 16
    explorer.sheet.value = True
    assert explorer.error.value == ""


def test_no_face_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one face"):
        DegradationExplorer([])
