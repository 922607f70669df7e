"""The shipped recipes: what their sources say is what they draw; a trace looks alike at every size; each is shown."""

import itertools
import re
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from skimage import data

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import Recipe, load_recipe, recipe_names
from hifacegan_lib.degradations.traces import Step, Trace
from hifacegan_lib.utils.images import Pixels, resize

# name -> the least PSNR, and the median's, between any two of 64, 256, 512 and 1024 pixels, all seen at 64
ALIKE = {
    "codeformer": (32, 38),
    "codeformer_stage2": (26.5, 36),
    "deblur": (35, 44),
    "denoise": (27, 32),
    "face_renov": (25.5, 31),
    "face_renov_4x": (25, 31),
    "face_renov_mixed": (25.5, 35),
    "face_renov_quality": (25, 32),
    "face_renov_quality_4x": (25, 32),
    "film_frame": (26, 32),
    "gfpgan": (25.5, 36),
    "jpeg": (30, 33),
    "jpeg_quality": (36, 40),
    "mosaic16x": (50, 54),
    "old_photo": (33, 36),
    "realesrgan": (23, 26),
    "report": (33, 39),
    "sr4x": (45, 48),
    "sr4x8x": (34, 43),
}
NAMES = list(ALIKE)
SIZES = (64, 256, 512, 1024)


@lru_cache
def draws(name: str, number: int = 1200) -> list[list[dict[str, Any]]]:
    traces = [load_recipe(name).sample(seed) for seed in range(number)]
    return [[{"op": step.op, **dict(step.values)} for step in trace.operations] for trace in traces]


def psnr(a: Pixels, b: Pixels) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, ((a.astype(float) - b) ** 2).mean())))


def test_the_shipped_recipes() -> None:
    assert recipe_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is_and_whose_it_is(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description.endswith(".")
    assert "512" in recipe.source
    assert re.search(r"arXiv \d{4}\.\d{5}|project report", recipe.source)
    assert re.search(r"Apache-2\.0|BSD-3-Clause|S-Lab License 1\.0", recipe.license)
    assert "no code copied" in recipe.license or "this project" in recipe.license
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("name", "low", "high", "sigma"),
    [("gfpgan", 0.8, 8, 10), ("codeformer", 1, 12, 10), ("codeformer_stage2", 4, 30, 15)],
)
def test_faces_shrink_by_a_factor_that_is_even(name: str, low: float, high: float, sigma: float) -> None:
    """As in the public code: even in the factor, not in the ratio; noise and JPEG at the small size; back by linear."""
    drawn = draws(name)
    factors = [1 / steps[1]["ratio"] for steps in drawn]
    assert low - 0.01 <= min(factors) < max(factors) <= high + 0.01
    assert stats.kstest(factors, stats.uniform(low, high - low).cdf).statistic < 0.06
    assert all([s["op"] for s in steps[1:5]] == ["resize", "gaussian_noise", "jpeg", "resize"] for steps in drawn)
    assert all(steps[4]["ratio"] == 1 and steps[4]["kernel"] == "linear" for steps in drawn)
    blurs = Counter(steps[0]["op"] for steps in drawn)
    assert blurs["gaussian_blur"] / len(drawn) == pytest.approx(0.5, abs=0.05)
    assert all(steps[0]["size"] == 41 for steps in drawn)
    assert max(steps[0]["sigma"] for steps in drawn) == pytest.approx(sigma, rel=0.01)


def test_gfpgan_colours_some_faces() -> None:
    shares = Counter(step["op"] for steps in draws("gfpgan") for step in steps[5:])
    assert shares["colour_shift"] / 1200 == pytest.approx(0.3, abs=0.04)
    assert shares["colour_jitter"] / 1200 == pytest.approx(0.3, abs=0.04)
    assert 1 <= shares["grey"] <= 40


def test_realesrgan_draws_the_kernels_that_its_options_say() -> None:
    """Chances of each kernel, its shape, its odd sizes 7 to 21, the sinc's cut-off; each as in the public code."""
    first = [steps[0] for steps in draws("realesrgan")]
    shares = Counter(step["op"] for step in first)
    wanted = {"gaussian_blur": 0.45, "anisotropic_blur": 0.25, "generalized_blur": 0.15, "plateau_blur": 0.15}
    for op, share in {**{op: 0.9 * share for op, share in wanted.items()}, "sinc": 0.1}.items():
        assert shares[op] / len(first) == pytest.approx(share, abs=0.025), op
    sizes = Counter(2 * max(1, round((step["size"] - 1) / 2)) + 1 for step in first if step["op"] != "sinc")
    assert sorted(sizes) == [7, 9, 11, 13, 15, 17, 19, 21]
    assert min(sizes.values()) > 0.7 * max(sizes.values())
    betas = {op: [step["beta"] for step in first if step["op"] == op] for op in ("generalized_blur", "plateau_blur")}
    assert np.mean(np.array(betas["generalized_blur"]) <= 1) == pytest.approx(0.5, abs=0.06)
    assert np.mean(np.array(betas["plateau_blur"]) == 1) == pytest.approx(0.5, abs=0.06)
    cut_offs = [2 / step["wavelength"] for step in first if step["op"] == "sinc" and step["size"] < 12]
    assert stats.kstest(cut_offs, stats.uniform(1 / 3, 2 / 3).cdf).statistic < 0.18


def test_realesrgan_is_of_second_order() -> None:
    drawn = draws("realesrgan")
    noises = [[step for step in steps if "noise" in step["op"]] for steps in drawn]
    assert all(len(pair) == 2 for pair in noises)
    flat = [step for pair in noises for step in pair]
    assert np.mean([step["op"] == "gaussian_noise" for step in flat]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([step["channels"] == "grey" for step in flat]) == pytest.approx(0.4, abs=0.03)
    assert all([step["op"] for step in steps].count("jpeg") == 2 for steps in drawn)
    ratios = [[step["ratio"] for step in steps if step["op"] == "resize"] for steps in drawn]
    assert np.mean([len(found) == 3 for found in ratios]) == pytest.approx(0.9, abs=0.03)
    assert all(0.075 <= found[-2] <= 0.3 and found[-1] == 0.25 for found in ratios)
    assert np.mean([steps[-1]["op"] == "jpeg" for steps in drawn]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([step["op"] == "sinc" for steps in drawn for step in steps[-3:]]) == pytest.approx(0.8 / 3, abs=0.02)


def test_the_two_readings_differ_where_they_should() -> None:
    qualities = {
        name: [s["quality"] for steps in draws(name, 200) for s in steps if s["op"] == "jpeg"] for name in NAMES
    }
    for strong in ("jpeg", "face_renov", "face_renov_4x"):
        assert (min(qualities[strong]), max(qualities[strong])) == (17, 51)
    for mild in ("jpeg_quality", "face_renov_quality", "face_renov_quality_4x", "report"):
        assert (min(qualities[mild]), max(qualities[mild])) == (50, 85)
    for name, single in (("face_renov_4x", True), ("face_renov_quality_4x", True), ("face_renov", False)):
        ratios = {s["ratio"] for steps in draws(name, 100) for s in steps if s["op"] == "downsample"}
        assert (ratios == {0.25}) == single


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (2000, 3), (5, 40)])
def test_every_recipe_takes_every_shape(name: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for seed in range(4):
        assert load_recipe(name).sample(seed).apply(image).shape == image.shape


@pytest.fixture(scope="module")
def faces() -> list[dict[int, Pixels]]:
    """A drawn portrait and a photograph, at every size."""
    large = portrait(3, 1024), resize(data.astronaut()[0:256, 96:352], 1024, 1024)
    return [{size: resize(image, size, size) for size in SIZES} for image in large]


def likeness(face: dict[int, Pixels], traces: dict[int, Trace]) -> list[float]:
    """PSNR between all pairs of sizes, seen at the smallest."""
    seen = [resize(trace.apply(face[size]), 64, 64) for size, trace in traces.items()]
    return [psnr(a, b) for a, b in itertools.combinations(seen, 2)]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_trace_looks_alike_at_every_size(name: str, faces: list[dict[int, Pixels]]) -> None:
    found: NDArray[np.float64] = np.array(
        [likeness(face, dict.fromkeys(SIZES, load_recipe(name).sample(seed))) for seed in range(3) for face in faces]
    )
    least, middle = ALIKE[name]
    assert found.min() > least
    assert np.median(found) > middle


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("deblur", "mosaic16x")])
def test_noise_compression_and_ratios_that_do_not_scale_do_not_look_alike(
    name: str, faces: list[dict[int, Pixels]]
) -> None:
    """The thresholds above would see it: a grid that is always the image's own breaks the likeness."""
    broken = []
    for seed in range(3):
        trace = load_recipe(name).sample(seed)
        broken += likeness(faces[1], {size: trace.model_copy(update={"grid": size}) for size in (64, 512)})
    assert min(broken) < ALIKE[name][0] - 2


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("denoise", "jpeg", "jpeg_quality", "sr4x", "sr4x8x")])
def test_lengths_that_do_not_scale_do_not_look_alike(
    name: str, faces: list[dict[int, Pixels]], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = Step.apply
    monkeypatch.setattr(Step, "apply", lambda step, image, _, **others: apply(step, image, 1.0, **others))
    broken = []
    for seed in range(3):
        broken += likeness(faces[1], dict.fromkeys((64, 512), load_recipe(name).sample(seed)))
    assert min(broken) < ALIKE[name][0] - 2
