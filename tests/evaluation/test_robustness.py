"""The surface: each cell is what it says, the range is the recipe's, and a cliff is found where there is one."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import golden
import numpy as np
import pytest
import torch
from torch import Tensor

from hifacegan_lib.data.drawn_portraits import portrait
from hifacegan_lib.degradations.recipes import Recipe, load_recipe, pair_seed
from hifacegan_lib.degradations.severity import LADDERS
from hifacegan_lib.degradations.traces import Trace
from hifacegan_lib.evaluation import robustness
from hifacegan_lib.evaluation.robustness import Surface, cliffs, surface, trained_range
from hifacegan_lib.metrics.registry import standard
from hifacegan_lib.utils.images import Pixels, to_float

FACES = {f"face {n}": portrait(n, 48) for n in range(2)}
METRICS = standard(("psnr", "ssim"))
KINDS = ("downsample", "gaussian_noise", "jpeg", "motion_blur")


def same(x: Tensor) -> Tensor:
    return x


@pytest.fixture(scope="module")
def measured() -> Surface:
    return surface(same, FACES, load_recipe("report"), METRICS, KINDS)


def test_without_a_model_restored_is_degraded(measured: Surface) -> None:
    for name in METRICS:
        assert measured.restored[name].shape == (4, 5)
        np.testing.assert_allclose(measured.restored[name], measured.degraded[name])


def psnr_of(images: list[Pixels]) -> float:
    pairs = zip(images, FACES.values(), strict=True)
    return float(np.mean([METRICS["psnr"].compute(to_float(a)[None], to_float(b)[None]).item() for a, b in pairs]))


def test_a_cell_alone_is_that_operation_and_no_other() -> None:
    found = surface(same, FACES, load_recipe("report"), METRICS, ("jpeg",), "alone")
    for column, quality in enumerate(LADDERS["jpeg"].values):
        trace = Trace.of("x", {"op": "jpeg", "quality": quality}, grid=48)
        assert found.degraded["psnr"][0, column] == pytest.approx(psnr_of([trace.apply(f) for f in FACES.values()]))


def test_a_cell_within_the_recipe_changes_one_step_of_what_a_loader_would_draw(measured: Surface) -> None:
    recipe, images = load_recipe("report"), []
    for key, face in FACES.items():
        trace = recipe.sample(pair_seed(key, 0, 0), grid=48)
        steps = [replace(s, values=(("quality", 30),)) if s.op == "jpeg" else s for s in trace.operations]
        images.append(trace.model_copy(update={"operations": tuple(steps)}).apply(face))
    place = list(LADDERS["jpeg"].values).index(30)
    assert measured.degraded["psnr"][KINDS.index("jpeg"), place] == pytest.approx(psnr_of(images))


def test_a_kind_takes_the_place_of_its_family_and_comes_first_where_there_is_none() -> None:
    blur, noise, motion = (
        Trace.of("x", {"op": op, **numbers}).operations[0]
        for op, numbers in (
            ("gaussian_blur", {"sigma": 3}),
            ("gaussian_noise", {"sigma": 3, "seed": 1}),
            ("motion_blur", {"length": 9, "angle": 0}),
        )
    )
    assert robustness._placed((noise, blur), motion) == (noise, motion)
    assert robustness._placed((noise,), motion) == (motion, noise)
    assert robustness._placed((blur, noise, motion), blur) == (blur, noise)


def test_the_training_range_is_the_recipes(measured: Surface) -> None:
    report = load_recipe("report")
    assert trained_range(report, "gaussian_noise") == (5, 20)
    assert trained_range(report, "motion_blur") is None
    assert measured.trained.tolist()[1] == [True, True, True, False, False]  # of 5, 10, 20, 40, 80
    assert not measured.trained[3].any()
    nested = Recipe.from_json(
        '{"name": "n", "description": "", "source": "", "order": "given", "operations": [{"steps": ['
        '{"op": "jpeg", "quality": 30}, {"one_of": [{"op": "jpeg", "quality": [60, 70]}]}]}]}'
    )
    assert trained_range(nested, "jpeg") == (30, 70)
    assert trained_range(load_recipe("face_renov_mixed"), "gaussian_noise") == (1, 40)


def test_the_same_seed_gives_the_same_surface_and_another_another(measured: Surface) -> None:
    again, other = (surface(same, FACES, load_recipe("report"), METRICS, KINDS, seed=seed) for seed in (0, 1))
    assert again.to_dict() == measured.to_dict() != other.to_dict()


def made(values: list[float], change: Callable[[np.ndarray], np.ndarray] = lambda v: v) -> Surface:
    restored = np.array([values], float)
    return Surface(
        "within",
        {"gaussian_noise": (5, 10, 20, 40, 80)},
        {"psnr": restored},
        {"psnr": change(restored)},
        {"gaussian_noise": (5, 20)},
        {"psnr": METRICS["psnr"]},
        3,
    )


def test_a_cliff_is_found_and_named() -> None:
    found = cliffs(made([30, 29.8, 29.5, 24, 23.5], lambda v: v - [1, 1, 1, -1, -1]))[0]
    assert (found.place, found.sharp, round(found.drop, 1)) == (2, True, 5.5)
    assert found.sentence == (
        "gaussian noise, sigma: a cliff between 20 and 40, where PSNR goes from 29.50 to 24.00 dB; at the edge of "
        "the recipe's range, 5 to 20; the model improves on its input at 5, 10, 20."
    )


def test_an_even_slope_and_a_plain_are_no_cliffs() -> None:
    for values in ([30, 28, 26, 24, 22], [30, 30, 30, 29.5, 29.5], [20, 21, 22, 23, 24]):
        assert not cliffs(made(values))[0].sharp
    assert "at no severity" in cliffs(made([30, 28, 26, 24, 22], lambda v: v + 1))[0].sentence
    assert "at every severity" in cliffs(made([30, 28, 26, 24, 22], lambda v: v - 1))[0].sentence


def test_cells_without_a_value_do_not_hide_the_cliff() -> None:
    assert cliffs(made([30, 29.8, 24, np.nan, np.nan]))[0].place == 1
    assert cliffs(made([np.nan] * 5)) == []


def test_bad_input_is_named() -> None:
    recipe = load_recipe("report")
    with pytest.raises(ValueError, match="kind 'rain': no ladder"):
        surface(same, FACES, recipe, METRICS, ("rain",))
    with pytest.raises(ValueError, match="faces of one size"):
        surface(same, {"a": FACES["face 0"], "b": portrait(1, 32)}, recipe, METRICS)
    with pytest.raises(ValueError, match="faces of one size"):
        surface(same, {}, recipe, METRICS)
    with pytest.raises(ValueError, match="metric 'lpips': not measured"):
        cliffs(made([1, 2, 3, 4, 5]), "lpips")


def test_what_these_faces_cannot_have_is_left_out() -> None:
    found = surface(same, FACES, load_recipe("report"), standard(("psnr", "ms_ssim")), ("jpeg",))
    assert list(found.metrics) == ["psnr"]


def test_the_model_is_asked_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "BATCH", 1)
    sizes: list[int] = []

    def method(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return torch.full_like(x, 0.5)

    found = surface(method, FACES, load_recipe("report"), METRICS, ("jpeg",))
    assert sizes == [1] * 10
    assert np.ptp(found.restored["psnr"]) == 0


@pytest.mark.parametrize(("side", "wanted"), [(64, ["psnr"]), (128, ["psnr", "identity"])])
def test_identity_is_left_out_below_the_recognisers_size(side: int, wanted: list[str]) -> None:
    judged = SimpleNamespace(
        conditions={"image_size": f"{side} x {side}"}, available={"psnr", "identity"}, metrics=standard()
    )
    assert list(robustness.metrics_for(judged)) == wanted  # type: ignore[arg-type]


def test_the_recorded_surface(measured: Surface) -> None:
    for name in METRICS:
        golden.check(f"evaluation: surface, {name}", measured.degraded[name], unit=10 if name == "psnr" else 1)


def test_the_rule_for_a_cliff_at_its_limits() -> None:
    """One dB, or twice the mean of the other falls, whichever is more."""
    for values, sharp in (
        ([30, 30, 29.01, 29.01, 29.01], False),
        ([30, 30, 28.99, 28.99, 28.99], True),
        ([40, 38, 36, 32.01, 30.01], False),
        ([40, 38, 36, 31.99, 29.99], True),
    ):
        (found,) = cliffs(made(values))
        assert (found.place, found.sharp) == (int(np.argmin(np.diff(values))), sharp), values


def test_sharp_falls_come_first_then_the_deepest() -> None:
    rows = {"gaussian_noise": [30, 28, 25, 20, 14], "jpeg": [30, 30, 30, 28, 28], "motion_blur": [30, 29.7, 29, 29, 29]}
    values = np.array(list(rows.values()), float)
    severities = {kind: tuple(LADDERS[kind].values) for kind in rows}
    ranges = dict.fromkeys(rows)
    means, metric = {"psnr": values}, {"psnr": METRICS["psnr"]}
    found = cliffs(Surface("alone", severities, means, means, ranges, metric, 3))
    assert [(c.kind, c.sharp) for c in found] == [("jpeg", True), ("gaussian_noise", False), ("motion_blur", False)]
    assert all("never drawn by the recipe" in c.sentence for c in found)


def test_lower_may_be_better_and_ends_of_the_range_belong_to_it() -> None:
    metric = METRICS["psnr"]._replace(higher_is_better=False, unit="", label="D", digits=3)
    values = np.array([[0.1, 0.1, 0.5, 0.5, 0.6]])
    ladder = {"gaussian_noise": (5, 10, 20, 40, 80)}
    for ends, side in (((10, 20), "inside"), ((20, 80), "at the edge of"), ((40, 80), "outside")):
        ranges, worse = {"gaussian_noise": ends}, values + 0.1
        found = Surface("within", ladder, {"psnr": values}, {"psnr": worse}, ranges, {"psnr": metric}, 3)
        (cliff,) = cliffs(found)
        assert (cliff.place, cliff.sharp, round(cliff.drop, 3)) == (1, True, 0.4)
        assert f"where D goes from 0.100 to 0.500; {side} the recipe's range" in cliff.sentence
        assert found.to_dict()["means"]["psnr"]["degraded"] == [[0.2, 0.2, 0.6, 0.6, 0.7]]
