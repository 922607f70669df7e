"""Degrading a folder and making a degraded image again from its trace."""

import json
from pathlib import Path

import numpy as np
import pytest

from hifacegan_lib.degradations.folders import degrade_folder, replay_file
from hifacegan_lib.degradations.recipes import load_recipe, pair_seed
from hifacegan_lib.utils.images import center_square, load_image, resize, save_image

RECIPE = load_recipe("report")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for n, name in enumerate(("a.png", "deep/b.png", "deep/a.png")):
        save_image(tmp_path / "photos" / name, np.random.default_rng(n).integers(0, 256, (40, 30, 3), np.uint8))
    return tmp_path / "photos"


def test_each_image_has_its_own_damage_and_its_trace(photos: Path, tmp_path: Path) -> None:
    assert degrade_folder(photos, tmp_path / "out", RECIPE, seed=3)[:3] == (3, 0, {})
    assert degrade_folder(photos, tmp_path / "out", RECIPE, seed=3)[:3] == (0, 3, {})
    traces = json.loads((tmp_path / "out" / "traces.json").read_text())
    assert sorted(traces) == ["a.png", "deep/a.png", "deep/b.png"]
    for key, trace in traces.items():
        drawn = RECIPE.sample(pair_seed(key, 0, 3), grid=512)
        assert trace == drawn.to_dict()
        np.testing.assert_array_equal(load_image(tmp_path / "out" / key), drawn.apply(load_image(photos / key)))
        file = tmp_path / "again" / key
        replay_file(tmp_path / "out" / "traces.json", photos / key, file, key)
        np.testing.assert_array_equal(load_image(file), load_image(tmp_path / "out" / key))


def test_a_size_crops_first_and_is_the_grid(photos: Path, tmp_path: Path) -> None:
    degrade_folder(photos, tmp_path / "out", RECIPE, size=24)
    face = resize(center_square(load_image(photos / "a.png")), 24, 24)
    expected = RECIPE.sample(pair_seed("a.png", 0, 0), grid=24).apply(face)
    np.testing.assert_array_equal(load_image(tmp_path / "out" / "a.png"), expected)
    trace = replay_file(tmp_path / "out" / "traces.json", photos / "a.png", tmp_path / "again.png")
    assert (trace.grid, trace.frame and trace.frame.size) == (24, 24)
    np.testing.assert_array_equal(load_image(tmp_path / "again.png"), expected)


def test_what_is_there_stays_unless_it_may_be_replaced(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    degrade_folder(photos, out, RECIPE, seed=1)
    first = (out / "a.png").read_bytes()
    found = degrade_folder(photos, out, RECIPE, seed=2)
    assert found[:2] == (0, 0) and len(found.failed) == 3
    assert "exists already; --overwrite replaces it" in capsys.readouterr().err
    assert (out / "a.png").read_bytes() == first
    assert degrade_folder(photos / "a.png", out, RECIPE, seed=2, overwrite=True)[:3] == (1, 0, {})
    assert (out / "a.png").read_bytes() != first
    assert len(json.loads((out / "traces.json").read_text())) == 3  # those of the earlier call stay


def test_an_unreadable_image_is_left_out(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "deep" / "b.png").write_bytes(b"no image")
    found = degrade_folder(photos, tmp_path / "out", RECIPE)
    assert found[:2] == (2, 0) and len(found.failed) == 1
    assert "b.png" in capsys.readouterr().err
    assert sorted(json.loads((tmp_path / "out" / "traces.json").read_text())) == ["a.png", "deep/a.png"]


def test_a_trace_is_found_in_any_kind_of_file(photos: Path, tmp_path: Path) -> None:
    image = photos / "a.png"
    traces = {name: RECIPE.sample(n, grid=64).to_dict() for n, name in enumerate(("a.png", "other.png"))}
    expected = [RECIPE.sample(n, grid=64).apply(load_image(image)) for n in (0, 1)]
    contents = {"one": traces["a.png"], "many": traces, "results": {"traces": traces, "rows": []}}
    for name, content in contents.items():
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(content))
        replay_file(file, image, tmp_path / f"{name}.png")
        np.testing.assert_array_equal(load_image(tmp_path / f"{name}.png"), expected[0])
    replay_file(tmp_path / "many.json", image, tmp_path / "one.png", key="other.png", overwrite=True)
    np.testing.assert_array_equal(load_image(tmp_path / "one.png"), expected[1])
    with pytest.raises(ValueError, match=r"many.json: no trace of 'x'; --key names one of a.png, other.png"):
        replay_file(tmp_path / "many.json", image, tmp_path / "x.png", key="x")
    with pytest.raises(ValueError, match="exists already"):
        replay_file(tmp_path / "many.json", image, tmp_path / "one.png")
    with pytest.raises(ValueError, match="would replace the input"):
        replay_file(tmp_path / "many.json", image, image, overwrite=True)
