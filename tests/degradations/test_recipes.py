"""Recipes and traces: the same pixels for the same seed anywhere, lengths that scale, mistakes that are named."""

import dataclasses
import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from hifacegan_lib.degradations import blurs, noises
from hifacegan_lib.degradations.operations import OPERATIONS
from hifacegan_lib.degradations.recipes import Recipe, Trace, load_recipe, pair_seed, recipe_names
from hifacegan_lib.utils.images import Pixels, resize

NAMES = ["deblur", "denoise", "face_renov", "jpeg", "mosaic16x", "report", "sr4x", "sr4x8x"]
BLUR = {"op": "gaussian_blur", "sigma": 16}
NOISE = {"op": "gaussian_noise", "sigma": 20, "seed": 7}


@pytest.fixture(scope="module")
def face() -> Pixels:
    return resize(data.astronaut()[0:256, 96:352], 64, 64)


def recipe(*entries: dict[str, Any], order: str = "given") -> Recipe:
    content = {"name": "mine", "description": "", "source": "", "order": order, "operations": list(entries)}
    return Recipe.from_json(json.dumps(content), "mine.json")


def values(trace: Trace) -> dict[str, dict[str, Any]]:
    return {step.op: dict(step.values) for step in trace.operations}


def test_the_report_and_the_papers_seven_are_shipped() -> None:
    assert set(NAMES) <= set(recipe_names())


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_says_what_it_is_and_survives_json(name: str) -> None:
    shipped = load_recipe(name)
    assert shipped.name == name
    assert shipped.description
    assert "512" in shipped.source
    assert "The project report gives" in shipped.source or "2005.05005" in shipped.source
    assert Recipe.from_json(shipped.to_json()) == shipped
    assert pickle.loads(pickle.dumps(shipped)) == shipped


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_replays_from_json(name: str, face: Pixels) -> None:
    for seed in range(5):
        trace = load_recipe(name).sample(seed)
        again = Trace.from_json(trace.to_json())
        assert again == trace
        assert hash(again) == hash(trace)
        np.testing.assert_array_equal(again.apply(face), trace.apply(face))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (2000, 3), (5, 40)])
def test_every_recipe_takes_every_shape(name: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for seed in range(4):
        assert load_recipe(name).sample(seed).apply(image).shape == image.shape


def digest() -> str:
    """What all shipped recipes do to one drawn image."""
    image = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    results = [load_recipe(name).sample(seed) for name in recipe_names() for seed in range(6)]
    text = "".join(trace.to_json() for trace in results).encode()
    return hashlib.sha256(text + b"".join(trace.apply(image).tobytes() for trace in results)).hexdigest()


def test_another_process_with_another_hash_seed_makes_the_same_pixels() -> None:
    code = "import test_recipes; print(test_recipes.digest())"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, env=environment, capture_output=True, text=True
    )
    assert result.stdout.strip() == digest(), result.stderr


def test_the_order_of_keys_in_the_file_changes_nothing() -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(entry) for entry in value] if isinstance(value, list) else value

    for name in NAMES:
        shipped = load_recipe(name)
        other = Recipe.from_json(json.dumps(turned(json.loads(shipped.to_json()))))
        assert [other.sample(seed) for seed in range(9)] == [shipped.sample(seed) for seed in range(9)]


def test_seeds_differ_and_noise_has_its_own(face: Pixels) -> None:
    traces = [load_recipe("report").sample(seed) for seed in range(50)]
    assert len(set(traces)) == 50
    seeds = {dict(step.values)["seed"] for trace in traces for step in trace.operations if "noise" in step.op}
    assert len(seeds) == 50
    assert not np.array_equal(traces[0].apply(face), traces[1].apply(face))


def test_draws_fill_their_ranges_and_choices_are_even() -> None:
    drawn = [values(load_recipe("report").sample(seed)) for seed in range(400)]
    ratios = [d["downsample"]["ratio"] for d in drawn]
    assert 0.125 <= min(ratios) < 0.13 < 0.245 < max(ratios) <= 0.25
    qualities = [d["jpeg"]["quality"] for d in drawn]
    assert set(qualities) == set(range(50, 86))
    assert 150 < sum("gaussian_noise" in d for d in drawn) < 250
    assert all(("gaussian_blur" in d) != ("median_blur" in d) for d in drawn)


def test_shuffled_recipes_take_every_order_and_given_ones_keep_theirs() -> None:
    operations = [{"op": "jpeg", "quality": 50}, {"op": "mosaic", "block": 8}, {"op": "gaussian_blur", "sigma": 2}]
    shuffled = recipe(*operations, order="shuffled")
    orders = Counter(tuple(step.op for step in shuffled.sample(seed).operations) for seed in range(600))
    assert len(orders) == 6
    assert min(orders.values()) > 60
    assert {tuple(s.op for s in recipe(*operations).sample(seed).operations) for seed in range(20)} == {
        ("jpeg", "mosaic", "gaussian_blur")
    }


def test_a_group_alone_can_be_shuffled() -> None:
    group = {"shuffled": [{"op": "jpeg", "quality": 50}, {"op": "gaussian_blur", "sigma": 2}], "weight": 2}
    mixed = recipe({"op": "mosaic", "block": 8}, group)
    orders = Counter(tuple(step.op for step in mixed.sample(seed).operations) for seed in range(400))
    assert set(orders) == {("mosaic", "jpeg", "gaussian_blur"), ("mosaic", "gaussian_blur", "jpeg")}
    assert min(orders.values()) > 140
    assert mixed.to_dict()["operations"][1] == group


def test_probability_is_how_often() -> None:
    entry = {"op": "jpeg", "quality": [20, 90]}
    lengths = [len(recipe({**entry, "probability": 0.25}).sample(seed).operations) for seed in range(800)]
    assert 0.2 < np.mean(lengths) < 0.3
    assert not recipe({**entry, "probability": 0}).sample(0).operations
    assert recipe({"one_of": [entry], "probability": 1}).sample(0).operations


def test_a_new_last_place_leaves_the_others_alone() -> None:
    first = {"op": "gaussian_noise", "sigma": [1, 99]}
    before, after = recipe(first), recipe(first, {"op": "jpeg", "quality": [1, 99]})
    assert all(before.sample(seed).operations == after.sample(seed).operations[:1] for seed in range(20))


def test_a_recipe_does_not_share_its_stream_with_whoever_else_uses_the_seed() -> None:
    drawn = [values(recipe({"op": "jpeg", "quality": [1, 100]}).sample(seed))["jpeg"]["quality"] for seed in range(200)]
    for stream in (lambda seed: seed, lambda seed: (seed, 0), lambda seed: (seed, 1)):
        others = np.array([np.random.default_rng(stream(seed)).random(3) for seed in range(200)])
        assert np.abs(np.corrcoef(np.column_stack([drawn, others]).T)[0, 1:]).max() < 0.25


def test_lengths_scale_with_the_face_and_levels_do_not(face: Pixels) -> None:
    blurred = Trace.of("mine", BLUR).apply(face)
    np.testing.assert_array_equal(blurred, blurs.gaussian_blur(face, 16 * 64 / 512))
    noisy = Trace.of("mine", NOISE, grid=64).apply(face)
    np.testing.assert_array_equal(noisy, noises.gaussian_noise(face, 20, 7))
    wide = np.concatenate([face, face], 1)  # the shorter side counts
    np.testing.assert_array_equal(Trace.of("mine", BLUR).apply(wide), blurs.gaussian_blur(wide, 2))


@pytest.mark.parametrize(
    ("operation", "share"),
    [
        (BLUR, 0.35),
        ({"op": "motion_blur", "length": 30, "angle": 20}, 0.35),
        ({"op": "mosaic", "block": 32}, 0.35),
        ({"op": "median_blur", "size": 25}, 0.55),  # not linear: it does not commute with shrinking
    ],
)
def test_one_trace_does_the_same_damage_at_every_size(operation: dict[str, Any], share: float) -> None:
    large = resize(data.astronaut()[0:256, 96:352], 256, 256)
    small, trace = resize(large, 64, 64), Trace.of("mine", operation)
    first, later = trace.apply(small), resize(trace.apply(large), 64, 64)
    damage = np.abs(first.astype(int) - small).mean()
    assert damage > 2
    assert np.abs(first.astype(int) - later).mean() < share * damage


def test_order_matters(face: Pixels) -> None:
    there, back = Trace.of("mine", NOISE, BLUR, grid=64), Trace.of("mine", BLUR, NOISE, grid=64)
    assert there.model_copy(update={"operations": there.operations[::-1]}) == back

    def error(trace: Trace) -> float:
        return float(((trace.apply(face).astype(float) - face) ** 2).mean())

    assert error(back) > 1.2 * error(there)  # what blurs last takes the noise away


def test_a_trace_tells_itself_in_words() -> None:
    trace = Trace.of(
        "mine", {"op": "jpeg", "quality": 63}, NOISE, {"op": "downsample", "ratio": 0.18, "kernel": "area"}
    )
    assert trace.describe() == "jpeg q63 > gaussian noise 20 > down 0.18x area"


def test_an_empty_trace_returns_a_copy(face: Pixels) -> None:
    nothing = Trace.of("mine")
    assert nothing.describe() == "unchanged"
    np.testing.assert_array_equal(nothing.apply(face), face)
    assert not np.shares_memory(nothing.apply(face), face)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_apply_refuses_what_is_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8 H x W x 3"):
        Trace.of("mine", NOISE).apply(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="float64"):
        Trace.of("mine", NOISE).apply(np.zeros((4, 4, 3)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"op": "sharpen"}, ["operations[1]", "'sharpen'", "expected one of downsample, resize, mosaic"]),
        ({"op": ["jpeg"], "quality": 3}, ["operations[1]", "expected one of"]),
        ({"op": "jpeg"}, ["operations[1]: missing key 'quality'; needed keys: op, quality"]),
        ({"op": "jpeg", "quality": 50, "qality": 3}, ["unknown key 'qality'", "known keys: ", "op, quality"]),
        ({"op": "gaussian_noise", "sigma": 9, "seed": 3}, ["unknown key 'seed'"]),
        ({"op": "jpeg", "quality": 101}, ["operations[1].quality = 101", "a whole number from 1 to 100"]),
        ({"op": "jpeg", "quality": 50.5}, ["quality = 50.5"]),
        ({"op": "jpeg", "quality": [80, 20]}, ["quality = [80, 20]", "[low, high]"]),
        ({"op": "jpeg", "quality": [1, 2, 3]}, ["quality = [1, 2, 3]"]),
        ({"op": "gaussian_blur", "sigma": -1}, ["sigma = -1", "a number from 0 to 128"]),
        ({"op": "gaussian_blur", "sigma": float("nan")}, ["sigma = nan"]),
        ({"op": "gaussian_blur", "sigma": True}, ["sigma = True"]),
        ({"op": "gaussian_blur", "sigma": "3"}, ["sigma = '3'"]),
        ({"op": "downsample", "ratio": 0.5, "kernel": "sinc"}, ["kernel = 'sinc'", "one of area, cubic"]),
        ({"op": "downsample", "ratio": 0.5, "kernel": []}, ["kernel = []"]),
        ({"op": "jpeg", "quality": 50, "probability": 1.5}, ["probability = 1.5: it must be less than or equal to 1"]),
        ({"one_of": []}, ["operations[1].one_of = []: the list should have at least 1 item"]),
        ({"one_of": [{"op": "jpeg", "quality": 50, "weight": -1}]}, ["one_of[0].weight = -1"]),
        (
            {"one_of": [{"op": "jpeg", "quality": 50, "weight": 0}]},
            ["operations[1].one_of", "expected a weight above 0"],
        ),
        ({"steps": []}, ["operations[1].steps = []", "at least 1 item"]),
        ({"steps": [{"op": "grey", "amount": 2}]}, ["steps[0].amount = 2"]),
        ({"one_of": [{"op": "jpeg", "quality": 0}]}, ["quality = 0"]),
        ({"one_of": {"op": "jpeg"}}, ["one_of: it must be a valid list"]),
        ({"one_of": [], "op": "jpeg"}, ["unknown key 'op'"]),
        ("jpeg", ["operations[1]", "expected an object"]),
    ],
)
def test_a_mistake_in_a_recipe_is_named(entry: Any, said: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^mine\.json: operations\[1\]") as error:
        recipe({"op": "jpeg", "quality": 50}, entry)
    assert all(words in str(error.value) for words in said), str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"order": "random"}, "order = 'random': it must be 'given' or 'shuffled'"),
        ({"oder": "given"}, "unknown key 'oder'; known keys: $schema, name, description"),
        ({"name": 3}, "name = 3: it must be a valid string"),
        ({"operations": {}}, "operations = {}: it must be a valid list"),
    ],
)
def test_a_mistake_in_a_recipes_head_is_named(change: dict[str, Any], said: str) -> None:
    content = json.loads(load_recipe("sr4x").to_json())
    with pytest.raises(ValueError, match=r"^my\.json: ") as error:
        Recipe.from_json(json.dumps({**content, **change}), "my.json")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ('{"recipe": "x"}', "missing key 'operations'"),
        ('{"recipe": "x", "operations": [{"op": "gaussian_noise", "sigma": 3}]}', "missing number 'seed'"),
        ('{"recipe": "x", "operations": [{"op": "jpeg", "quality": [1, 2]}]}', "quality = [1, 2]"),
        ('{"recipe": "x", "operations": [{"op": "gaussian_noise", "sigma": 3, "seed": -1}]}', "to 4294967295"),
    ],
)
def test_a_mistake_in_a_trace_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^pair 7: ") as error:
        Trace.from_json(text, "pair 7")
    assert said in str(error.value)


def test_a_trace_of_another_version_of_an_operation_is_refused(face: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Trace.of("mine", NOISE, {"op": "jpeg", "quality": 30}).to_json()
    assert "version" not in old  # of version 1, as every trace was before operations had versions
    assert Trace.from_json(old.replace('"op"', '"version": 1, "op"')) == Trace.from_json(old)
    with pytest.raises(ValueError, match=r"^trace: operations\[1\]: .*version 2 of jpeg, this library has version 1"):
        Trace.from_json(old.replace('"op": "jpeg"', '"op": "jpeg", "version": 2'))
    monkeypatch.setitem(OPERATIONS, "jpeg", dataclasses.replace(OPERATIONS["jpeg"], version=2))
    with pytest.raises(ValueError, match="version 1 of jpeg, this library has version 2, which makes other pixels"):
        Trace.from_json(old)
    new = load_recipe("jpeg").sample(3)
    assert '"op": "jpeg", "version": 2' in new.to_json()
    np.testing.assert_array_equal(Trace.from_json(new.to_json()).apply(face), new.apply(face))


def test_a_recipe_built_in_python_is_the_one_in_a_file() -> None:
    entries = [
        {"op": "gaussian_blur", "sigma": [1, 4]},
        {"one_of": [{"op": "jpeg", "quality": (20, 60), "weight": 2}, {"steps": [{"op": "grey", "probability": 0.5}]}]},
    ]
    mine = Recipe(name="mine", operations=entries)
    assert mine == recipe(*entries)
    assert '"weight": 2\n' in mine.to_json() and '"probability": 0.5' in mine.to_json()
    assert mine.sample(5, grid=256) == recipe(*entries).sample(5, grid=256)
    with pytest.raises(ValueError, match=r"quality[\s\S]*expected a whole number from 1 to 100, or \[low, high\]"):
        Recipe(name="mine", operations=[{"op": "jpeg", "quality": 0}])
    for grid in (0, 64.0, True):
        with pytest.raises(ValueError, match=f"^mine: grid = {grid}: it must be"):
            mine.sample(0, grid=grid)  # type: ignore[arg-type]


def test_recipes_load_by_name_and_by_path(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(load_recipe("jpeg").to_json().replace('"jpeg"', '"own"', 1), encoding="utf-8")
    assert load_recipe(path).name == load_recipe(str(path)).name == "own"
    with pytest.raises(ValueError, match=r"no recipe 'nope'; shipped: codeformer, .*face_renov, .*sr4x8x"):
        load_recipe("nope")
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        load_recipe(tmp_path / "gone.json")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"own\.json: not JSON"):
        load_recipe(path)


def test_pair_seed_is_pinned_and_follows_each_argument() -> None:
    assert pair_seed("00000/00000.png", 0, 0) == 25932888446905677
    keys = ("a", "b", "ä", "\udcff")  # the last: a byte of a file's name that is no Unicode
    seeds = {pair_seed(key, epoch, seed) for key in keys for epoch in range(3) for seed in range(3)}
    assert len(seeds) == 36
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert load_recipe("report").sample(max(seeds)).operations


def test_a_draw_is_pinned() -> None:
    assert (
        load_recipe("face_renov").sample(0).describe()
        == "laplace noise 32 > motion blur 16 px at 152° > down 0.17x area > jpeg q27"
    )


def test_a_face_in_a_photograph_is_damaged_as_the_face_alone(face: Pixels) -> None:
    photo = np.pad(face, ((64, 64), (64, 128), (0, 0)), mode="reflect")
    for operation in (BLUR, {"op": "downsample", "ratio": 0.25, "kernel": "area"}, {"op": "median_blur", "size": 30}):
        trace = Trace.of("mine", operation, grid=64)
        alone, inside = trace.apply(face), trace.apply(photo, face=64)[64:128, 64:128]
        assert np.abs(alone.astype(int) - inside)[16:-16, 16:-16].max() <= 2
        assert np.array_equal(trace.apply(face, face=64), alone)
    with pytest.raises(ValueError, match="face = 0: expected a side in pixels"):
        trace.apply(photo, face=0)
