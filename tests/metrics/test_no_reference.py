"""Measures without a reference: scipy's and scikit-image's numbers, and the right direction."""

from collections.abc import Callable

import golden
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, laplace
from skimage import color, data
from torch import Tensor

from hifacegan_lib.metrics import no_reference
from hifacegan_lib.metrics.metric import MetricUnavailable

MEASURES = [no_reference.sharpness, no_reference.colour_cast, no_reference.colour_shift]


def pictures() -> Tensor:
    """Two patches of photographs, N x 3 x H x W."""
    both = np.stack([data.astronaut()[:96, 160:256], data.chelsea()[60:156, 120:216]])
    return torch.from_numpy(both.transpose(0, 3, 1, 2).copy()).float() / 255


def array(x: Tensor) -> np.ndarray:
    return x.permute(1, 2, 0).double().numpy()


def tinted(x: Tensor, red: float) -> Tensor:
    return (x + torch.tensor([red, 0, 0]).view(3, 1, 1)).clamp(0, 1)


def test_sharpness_is_scipys_laplacian() -> None:
    x = pictures()
    expected = [laplace(array(p) @ [0.299, 0.587, 0.114] * 255)[1:-1, 1:-1].std() for p in x]
    np.testing.assert_allclose(no_reference.sharpness(x, x), expected, rtol=1e-4)


def test_colours_are_scikit_images_lab() -> None:
    x, y = pictures(), tinted(pictures(), 0.1)
    mean = [[color.rgb2lab(array(p))[..., 1:].mean((0, 1)) for p in z] for z in (x, y)]
    np.testing.assert_allclose(no_reference.colour_cast(x, x), [np.hypot(*m) for m in mean[0]], atol=0.06)
    expected = [np.hypot(*(b - a)) for a, b in zip(*mean, strict=True)]
    np.testing.assert_allclose(no_reference.colour_shift(y, x), expected, atol=0.06)


def test_blur_takes_sharpness_and_noise_gives_it() -> None:
    x = pictures()
    soft = torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, 1.5, 1.5)))
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    values = [no_reference.sharpness(z, x) for z in (soft, x, noisy)]
    assert (values[0] < 0.5 * values[1]).all() and (values[2] > values[1]).all()


def test_half_the_contrast_is_half_the_sharpness() -> None:
    x = pictures()
    torch.testing.assert_close(
        no_reference.sharpness(x * 0.5 + 0.25, x), 0.5 * no_reference.sharpness(x, x), rtol=1e-4, atol=0
    )


def test_a_constant_picture_has_none_and_a_grey_one_no_cast() -> None:
    flat = torch.full((1, 3, 16, 16), 0.4)
    assert no_reference.sharpness(flat, flat).item() == pytest.approx(0, abs=1e-4)
    assert no_reference.colour_cast(flat, flat).item() == pytest.approx(0, abs=0.06)
    grey = pictures().mean(1, keepdim=True).expand(-1, 3, -1, -1)
    np.testing.assert_allclose(no_reference.colour_cast(grey, grey), 0, atol=0.06)


def test_a_stronger_tint_is_a_larger_cast_and_shift() -> None:
    grey = pictures().mean(1, keepdim=True).expand(-1, 3, -1, -1) * 0.8
    for measure in (no_reference.colour_cast, no_reference.colour_shift):
        values = torch.stack([measure(tinted(grey, red), grey) for red in (0, 0.05, 0.1, 0.2)])
        assert (values.diff(dim=0) > 0).all()


def test_the_same_picture_has_not_shifted_and_may_change_places() -> None:
    x, y = pictures(), tinted(pictures(), 0.1)
    assert (no_reference.colour_shift(x, x) == 0).all()
    torch.testing.assert_close(no_reference.colour_shift(x, y), no_reference.colour_shift(y, x))


@pytest.mark.parametrize("measure", MEASURES)
def test_each_picture_has_its_own_value(measure: Callable) -> None:
    x, y = pictures(), tinted(pictures(), 0.1)
    both = measure(y, x)
    assert both.shape == (2,) and both[0] != both[1]
    torch.testing.assert_close(both, torch.cat([measure(y[n : n + 1], x[n : n + 1]) for n in range(2)]))


@pytest.mark.parametrize("measure", [no_reference.sharpness, no_reference.colour_cast])
def test_the_reference_is_not_looked_at(measure: Callable) -> None:
    x = pictures()
    assert torch.equal(measure(x, x), measure(x, torch.zeros_like(x)))


@pytest.mark.parametrize("measure", MEASURES)
def test_what_is_no_picture_is_refused(measure: Callable) -> None:
    x = pictures()
    with pytest.raises(ValueError, match="image: expected float RGB"):
        measure(x * 255, x)
    with pytest.raises(ValueError, match="shape and dtype must be equal"):
        measure(x, x[:1])


def test_a_picture_too_small_for_the_laplacian_is_told_so() -> None:
    with pytest.raises(MetricUnavailable, match="at least 3 pixels"):
        no_reference.sharpness(torch.zeros(1, 3, 2, 9), torch.zeros(1, 3, 2, 9))


@pytest.mark.parametrize("measure", MEASURES)
def test_the_recorded_values(measure: Callable[[Tensor, Tensor], Tensor]) -> None:
    x = pictures()
    golden.check(f"metrics: {measure.__name__}", measure(tinted(x, 0.1), x), unit=100)
