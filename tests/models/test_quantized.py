"""Kernels in eight and four bits: the bounds of the error, what stays exact, what is refused."""

import numpy as np
import pytest

from hifacegan_lib.models.quantized import SCALE, pack, unpack


def test_a_kernel_differs_by_half_a_scale_at_most_and_a_bias_by_half_precision() -> None:
    rng = np.random.default_rng(0)
    last = rng.normal(size=(2, 6, 1, 1)).astype(np.float32)  # after a bias
    weights = {"conv.weight": rng.normal(0, 0.1, (6, 3, 3, 3)).astype(np.float32), "conv.bias": np.float32([0.1, -3])}
    weights["last.weight"] = last
    weights["conv.weight"][2] = 0  # a channel without weights has the scale 0
    stored = pack(weights)
    assert stored["conv.weight"].dtype == np.int8 and stored["conv.bias"].dtype == np.float16
    largest = [float(abs(channel).max()) for channel in weights["conv.weight"]]
    np.testing.assert_allclose(stored["conv.weight" + SCALE].ravel(), np.float32(largest) / 127, rtol=1e-6)
    back = unpack(stored)
    assert list(back) == list(weights) and {v.dtype for v in back.values()} == {np.dtype(np.float32)}
    error = np.abs(back["conv.weight"] - weights["conv.weight"]).max((1, 2, 3), keepdims=True)
    assert (error <= stored["conv.weight" + SCALE] * 0.5001).all() and (back["conv.weight"][2] == 0).all()
    np.testing.assert_allclose(back["conv.bias"], weights["conv.bias"], rtol=1e-3)


def test_packing_again_changes_nothing() -> None:
    kernel = np.random.default_rng(1).normal(size=(4, 2, 1, 1)).astype(np.float32)
    once = unpack(pack({"w": kernel}))
    np.testing.assert_allclose(unpack(pack(once))["w"], once["w"], rtol=1e-6)


def test_a_difference_in_four_bits_errs_by_half_a_step_or_is_clipped() -> None:
    rng = np.random.default_rng(2)
    base = {"w": rng.normal(size=(6, 3, 3, 3)).astype(np.float32), "b": np.float32([1, 2])}
    weights = {"w": base["w"] + rng.normal(0, 0.02, (6, 3, 3, 3)).astype(np.float32), "b": np.float32([1.5, -3])}
    weights["w"][1] = base["w"][1]  # a channel that did not change
    weights["w"][2, 0, 0, 0] += 1  # a difference that is far from the others
    stored = pack(weights, base)
    assert stored["w"].dtype == np.uint8 and stored["w"].shape == (6, 14)  # 27 differences, two in a byte
    back, scale = unpack(stored, base), stored["w" + SCALE]
    error, reach = np.abs(back["w"] - weights["w"]), np.abs(weights["w"] - base["w"])
    assert (error <= np.maximum(0.501 * scale, reach - 6.999 * scale)).all()
    assert np.array_equal(back["w"][1], base["w"][1]) and np.array_equal(back["b"], weights["b"])
    widest = np.abs(weights["w"] - base["w"]).max((1, 2, 3), keepdims=True) / 7
    unclipped = np.rint((weights["w"] - base["w"]) / np.where(widest == 0, 1, widest)) * widest
    least = np.square(unclipped + base["w"] - weights["w"]).sum((1, 2, 3))
    assert (np.square(error).sum((1, 2, 3)) <= least + 1e-9).all()


def test_a_difference_is_not_read_without_its_base() -> None:
    kernel = np.ones((2, 2, 1, 1), np.float32)
    with pytest.raises(ValueError, match="w: a difference from another network's weights, which are not given"):
        unpack(pack({"w": kernel}, {"w": kernel}))


def test_tensors_without_scales_are_only_converted() -> None:
    half = {"w": np.ones((2, 2, 1, 1), np.float16)}
    assert np.array_equal(unpack(half)["w"], np.ones((2, 2, 1, 1))) and unpack(half)["w"].dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
@pytest.mark.parametrize("shape", [(3,), (1, 3, 1, 1)])
def test_numbers_that_cannot_be_stored_are_refused(value: float, shape: tuple[int, ...]) -> None:
    tensor = np.full(shape, value, np.float32)
    if value == 1e6 and len(shape) == 4:  # a kernel has a scale of its own
        np.testing.assert_allclose(unpack(pack({"w": tensor}))["w"], tensor, rtol=1e-6)
        return
    with pytest.raises(ValueError, match="w: holds numbers that are not finite or exceed half precision"):
        pack({"w": tensor})
