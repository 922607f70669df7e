"""What holds for every operation, whatever its numbers and the image; how each acts is measured in its own file."""

import dataclasses
import functools
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings

from hifacegan_lib.degradations import traces
from hifacegan_lib.degradations.operations import OPERATIONS, Names, Range
from hifacegan_lib.degradations.traces import Trace
from hifacegan_lib.utils.images import Pixels

REPEATABLE = settings(
    max_examples=24, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
SHAPES = st.sampled_from([(1, 1), (1, 7), (5, 1), (2, 2), (2000, 3), (3, 2000)]) | st.tuples(
    st.integers(1, 40), st.integers(1, 40)
)
GRAINS = st.sampled_from([0.125, 0.5, 1.0, 1.7, 4.0])
TAKES_AWAY = ["mosaic", "gaussian_blur", "anisotropic_blur", "generalized_blur", "plateau_blur", "median_blur"]
TAKES_AWAY += ["motion_blur"]  # means and medians: nothing darker or lighter than there was
KEEPS_FLAT = [*TAKES_AWAY, "downsample", "resize", "sinc"]


def noise_image(shape: tuple[int, int], seed: int = 0) -> Pixels:
    """Pixels of every value, most of them black or white, that may not be written to."""
    rng = np.random.default_rng(seed)
    image = rng.choice(np.array([0, 255, *range(0, 256, 5)], np.uint8), (*shape, 3))
    image.setflags(write=False)
    return image


def one(kind: Range | Names) -> st.SearchStrategy[Any]:
    """Both ends of a range, and what lies between; every word."""
    if isinstance(kind, Names):
        return st.sampled_from(kind.names)
    if kind.whole:
        return st.sampled_from([int(kind.low), int(kind.high)]) | st.integers(int(kind.low), int(kind.high))
    return st.sampled_from([kind.low, kind.high]) | st.floats(kind.low, kind.high)


def numbers(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key: one(kind) for key, kind in OPERATIONS[name].parameters.items()})


def mild(name: str) -> dict[str, Any]:
    """The middle of each range: some number that is in it."""
    return {
        key: kind.names[0] if isinstance(kind, Names) else (int if kind.whole else float)((kind.low + kind.high) / 2)
        for key, kind in OPERATIONS[name].parameters.items()
    }


def own_shape(name: str, shape: tuple[int, int], values: dict[str, Any], grain: float) -> tuple[int, ...]:
    if name != "resize":
        return (*shape, 3)
    ratio = values["ratio"] if values["ratio"] >= 1 else min(1, values["ratio"] / grain)
    return (*(max(1, round(side * ratio)) for side in shape), 3)


@pytest.mark.parametrize("name", OPERATIONS)
def test_any_image_and_any_numbers_give_an_image_again(name: str) -> None:
    operation = OPERATIONS[name]

    @REPEATABLE
    @given(shape=SHAPES, values=numbers(name), grain=GRAINS)
    def holds(shape: tuple[int, int], values: dict[str, Any], grain: float) -> None:
        image, more = noise_image(shape), {"grain": grain} if "grain" in operation.context else {}
        result = operation(image, **values, **more)
        assert result.dtype == np.uint8
        assert result.shape == own_shape(name, shape, values, grain)
        assert result.flags.writeable
        assert not np.shares_memory(result, image)
        np.testing.assert_array_equal(image, noise_image(shape))
        np.testing.assert_array_equal(result, operation(image, **values, **more))

    holds()


@pytest.mark.parametrize("name", KEEPS_FLAT)
def test_a_flat_image_stays_flat(name: str) -> None:
    @REPEATABLE
    @given(shape=SHAPES, values=numbers(name), colour=st.tuples(*[st.integers(0, 255)] * 3))
    @example(shape=(30, 40), values=mild(name), colour=(255, 128, 0))
    def holds(shape: tuple[int, int], values: dict[str, Any], colour: tuple[int, int, int]) -> None:
        result = OPERATIONS[name](np.full((*shape, 3), colour, np.uint8), **values)
        assert np.abs(result.astype(int) - colour).max() <= 1

    holds()


@pytest.mark.parametrize("name", TAKES_AWAY)
def test_a_mean_stays_between_the_darkest_and_the_lightest(name: str) -> None:
    @REPEATABLE
    @given(shape=SHAPES, values=numbers(name))
    def holds(shape: tuple[int, int], values: dict[str, Any]) -> None:
        image = 60 + noise_image(shape) // 2
        for channel in range(3):
            result = OPERATIONS[name](image, **values)[..., channel]
            assert image[..., channel].min() - 1 <= result.min()
            assert result.max() <= image[..., channel].max() + 1

    holds()


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if "seed" in operation.parameters])
def test_chance_follows_the_seed_alone(name: str) -> None:
    image = np.full((64, 64, 3), 120, np.uint8)
    np.random.seed(0)  # noqa: NPY002 - the global generator must not matter
    first = OPERATIONS[name](image, **{**mild(name), "seed": 3})
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(first, OPERATIONS[name](image, **{**mild(name), "seed": 3}))
    assert not np.array_equal(first, OPERATIONS[name](image, **{**mild(name), "seed": 4}))


NO_IMAGE = {
    "uint8 .4, 4.": np.zeros((4, 4), np.uint8),
    "uint8 .4, 4, 4.": np.zeros((4, 4, 4), np.uint8),
    "uint8 .0, 4, 3.": np.zeros((0, 4, 3), np.uint8),
    "float64 .4, 4, 3.": np.zeros((4, 4, 3)),
    "int8 .4, 4, 3.": np.zeros((4, 4, 3), np.int8),
    "got list": [[[0, 0, 0]]],
    "got NoneType": None,
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("said", NO_IMAGE)
def test_what_is_no_image_is_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"uint8 H x W x 3.*{said}"):
        OPERATIONS[name](NO_IMAGE[said], **mild(name))


def wrong(kind: Range | Names) -> list[Any]:
    common = [None, [], [1, 2], {}]
    if isinstance(kind, Names):
        return [*common, "", "nearly", 0, True]
    below, above = np.nextafter(kind.low, -1e9), np.nextafter(kind.high, 1e9)
    beyond = [int(kind.low) - 1, int(kind.high) + 1] if kind.whole else [float(below), float(above)]
    return [*common, "1", True, float("nan"), float("inf"), *beyond, *([kind.low + 0.5] if kind.whole else [])]


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_number_out_of_its_range_is_named(name: str) -> None:
    image, good = noise_image((6, 5)), mild(name)
    for key, kind in OPERATIONS[name].parameters.items():
        for value in wrong(kind):
            with pytest.raises(ValueError, match=f"{key} = .*expected {kind}"):
                OPERATIONS[name](image, **{**good, key: value})
            with pytest.raises(ValueError, match=rf"operations\[0\]: {key} = .*expected {kind}"):
                Trace.of("mine", {"op": name, **good, key: value})


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_number_that_is_missing_or_unknown_is_named(name: str) -> None:
    image, good = noise_image((6, 5)), mild(name)
    with pytest.raises(ValueError, match="unknown number 'colour'; known: "):
        OPERATIONS[name](image, **good, colour=3)
    for key, kind in OPERATIONS[name].parameters.items():
        rest = {k: v for k, v in good.items() if k != key}
        if kind.default is None:
            with pytest.raises(ValueError, match=f"missing number '{key}': expected {kind}"):
                OPERATIONS[name](image, **rest)
            with pytest.raises(ValueError, match=rf"operations\[0\]: missing number '{key}'"):
                Trace.of("mine", {"op": name, **rest})
        else:
            given_default = OPERATIONS[name](image, **{**rest, key: kind.default})
            np.testing.assert_array_equal(OPERATIONS[name](image, **rest), given_default)
            assert Trace.of("mine", {"op": name, **rest}) == Trace.of("mine", {"op": name, **rest, key: kind.default})


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_trace_hands_lengths_and_surroundings_over(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a face of 128 pixels, of a grid of 64, lengths are a quarter and the grain is two."""
    seen: dict[str, Any] = {}

    def spy(image: Pixels, **values: Any) -> Pixels:
        seen.update(values)
        return image

    operation = OPERATIONS[name]
    signed = functools.wraps(operation.function)(spy)  # the table reads the names in the signature
    monkeypatch.setitem(traces.OPERATIONS, name, dataclasses.replace(operation, function=signed))
    values = {key: value for key, value in mild(name).items() if key != "ratio"} | (
        {"ratio": 0.5} if "ratio" in operation.parameters else {}
    )
    Trace.of("mine", {"op": name, **values}, grid=64).apply(np.zeros((128, 200, 3), np.uint8))
    lengths = {key: value / 4 for key, value in values.items() if operation.parameters[key].length}
    around = {"grain": 2.0, "shape": (128, 200)}
    assert seen == {**values, **lengths, **{key: around[key] for key in operation.context}}


@pytest.mark.parametrize("name", OPERATIONS)
def test_words_tell_the_numbers(name: str) -> None:
    text = Trace.of("mine", {"op": name, **mild(name)}).describe()
    assert text
    assert "{" not in text
