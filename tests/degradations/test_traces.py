"""Traces: which length, which pixel of the grid and which size each step is given."""

import dataclasses
import functools
from typing import Any

import golden
import numpy as np
import pytest

from hifacegan_lib.degradations import traces
from hifacegan_lib.degradations.crop import Frame
from hifacegan_lib.degradations.traces import Step, Trace, find_key

STEPS: list[dict[str, Any]] = [
    {"op": "resize", "ratio": 0.5, "kernel": "area"},
    {"op": "gaussian_noise", "sigma": 20, "seed": 1},
    {"op": "gaussian_blur", "sigma": 8},
    {"op": "resize", "ratio": 1, "kernel": "cubic"},
    {"op": "jpeg", "quality": 40},
]


@pytest.mark.parametrize(("grid", "face"), [(512, None), (32, None), (64, 30.0), (512, 200.0)])
def test_the_recorded_pixels(grid: int, face: float | None) -> None:
    trace = Trace.of("mine", *STEPS, grid=grid)
    golden.check(f"degradations: trace, grid {grid}, face {face}", trace.apply(golden.picture(70, 56), face))


def test_each_step_is_given_the_face_at_the_size_it_has_then(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Any]] = []

    def watch(name: str) -> None:
        operation = traces.OPERATIONS[name]

        @functools.wraps(operation.function)
        def spy(image: np.ndarray, **values: Any) -> np.ndarray:
            seen.append((name, {**values, "sides": image.shape[:2]}))
            return operation.function(image, **values)

        monkeypatch.setitem(traces.OPERATIONS, name, dataclasses.replace(operation, function=spy))

    for name in ("resize", "gaussian_noise", "gaussian_blur", "jpeg"):
        watch(name)
    Trace.of("mine", *STEPS, grid=32).apply(np.zeros((64, 80, 3), np.uint8), face=32)
    (_, shrink), (_, noise), (_, blur), (_, back), (_, jpeg) = seen
    assert (shrink["grain"], shrink["shape"], shrink["sides"]) == (1.0, (64, 80), (64, 80))
    assert noise["sides"] == (32, 40) and noise["grain"] == 1.0  # the face has 32 pixels of the photograph
    assert blur["sigma"] == pytest.approx(8 * 32 / 512)
    assert (back["grain"], back["sides"], jpeg["grain"], jpeg["sides"]) == (1.0, (32, 40), 1.0, (64, 80))


def test_a_result_of_another_size_is_resized_back_by_cubic() -> None:
    image = golden.picture(40, 30)
    small = Trace.of("mine", STEPS[0], grid=30).apply(image)
    assert small.shape == image.shape
    golden.check("degradations: resized back", small)


def test_a_step_says_what_differs_from_the_defaults() -> None:
    step = Step.from_dict({"op": "gaussian_noise", "sigma": 20, "seed": 1})
    assert step.to_dict() == {"op": "gaussian_noise", "sigma": 20, "seed": 1}
    assert Step.from_dict(step) is step and Step.from_dict(step.to_dict()) == step
    assert Step.from_dict({**step.to_dict(), "version": 1}) == step
    for wrong, said in ((3, "expected an object"), ({"op": "rain"}, "op = 'rain'"), ({"op": []}, "op = ")):
        with pytest.raises(ValueError, match=said):
            Step.from_dict(wrong)


def test_a_frame_is_cut_before_the_damage() -> None:
    image = golden.picture(40, 30)
    frame = Frame(top=2, left=3, side=20, flip=True, size=16)
    plain = Trace.of("mine", {"op": "grey"})
    np.testing.assert_array_equal(plain.replay(image), plain.apply(image))
    np.testing.assert_array_equal(plain.with_frame(frame).replay(image), plain.apply(frame.apply(image)))


def test_an_empty_trace_says_so_and_a_fraction_is_a_side() -> None:
    assert Trace.of("mine").describe() == "unchanged"
    assert Trace.of("mine", STEPS[0], STEPS[4]).describe() == "to 0.5x area > jpeg q40"
    for side in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="expected a side in pixels, above 0"):
            Trace.of("mine").apply(golden.picture(9, 9), face=side)
    assert Trace.of("mine", STEPS[4]).apply(golden.picture(9, 9), face=0.5).shape == (9, 9, 3)


def test_a_key_fits_whole_parts_of_the_path_from_its_end() -> None:
    keys = ["1.png", "deep/2.png", "far/2.png"]
    assert find_key("/x/deep/2.png", keys) == "deep/2.png" and find_key("/x/1.png", keys) == "1.png"
    with pytest.raises(ValueError, match=r"traces: no trace of '2.png'; --key names one of deep/2.png, far/2.png$"):
        find_key("/x/2.png", keys)
    with pytest.raises(ValueError, match=r"no trace of '11.png'; --key names one of 1.png, deep/2.png, far/2.png$"):
        find_key("/x/11.png", keys)
    with pytest.raises(ValueError, match=r"several traces of '2.png'; --key names one of 2.png, far/2.png"):
        find_key("/far/2.png", ["2.png", "far/2.png"])
    with pytest.raises(ValueError, match=r"one of 0, 1, 2, 3, 4 \.\.\.$"):
        find_key("/x", [str(n) for n in range(6)])
