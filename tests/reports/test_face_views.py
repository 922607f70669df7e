"""Views of a damaged face: numbers against references, crops, charts that are well-formed."""

import html
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from hifacegan_lib.data import drawn_portraits
from hifacegan_lib.degradations.recipes import load_recipe
from hifacegan_lib.reports import face_views
from hifacegan_lib.utils import measures
from hifacegan_lib.utils.images import Pixels


@pytest.fixture(scope="module")
def clean() -> Pixels:
    return drawn_portraits.portrait(1, 64)


@pytest.fixture(scope="module")
def degraded(clean: Pixels) -> Pixels:
    return load_recipe("report").sample(3, grid=64).apply(clean)


@pytest.mark.parametrize("height", [11, 12, 64])
def test_ssim_is_that_of_scikit_image(clean: Pixels, degraded: Pixels, height: int) -> None:
    pair = clean[:height], degraded[:height]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = structural_similarity(*pair, channel_axis=2, **options)
    assert face_views.ssim(*pair) == pytest.approx(expected, abs=1e-4)


def test_ssim_of_equal_images_is_one_and_of_tiny_ones_not_defined(clean: Pixels) -> None:
    assert face_views.ssim(clean, clean) == pytest.approx(1)
    assert face_views.ssim(clean[:10], clean[:10]) is None


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (7, 200), (3, 2)])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (0.3, 0.9)])
def test_a_crop_lies_inside_and_is_a_part_of_each_side(shape: tuple[int, int], centre: tuple[float, float]) -> None:
    for zoom in (1, 2, 4, 16):
        for side, part in zip(shape, face_views.crop(shape, zoom, *centre), strict=True):
            assert 0 <= part.start < part.stop <= side
            assert part.stop - part.start == max(1, round(side / zoom))


def test_a_crop_is_centred_where_there_is_room() -> None:
    rows, columns = face_views.crop((100, 100), 4, 0.5, 0.25)
    assert (rows, columns) == (slice(12, 37), slice(38, 63))


def test_a_png_keeps_every_pixel(clean: Pixels) -> None:
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(face_views.png(clean)))), clean)


def test_small_images_keep_their_pixels_as_squares_and_large_ones_are_averaged(clean: Pixels) -> None:
    np.testing.assert_array_equal(face_views.fit(clean, 256), clean.repeat(4, 0).repeat(4, 1))
    np.testing.assert_array_equal(face_views.fit(clean, 100), clean)
    small = face_views.fit(clean, 32).astype(float)
    assert np.abs(small - clean.reshape(32, 2, 32, 2, 3).mean((1, 3))).max() <= 1
    assert face_views.fit(np.zeros((1, 900, 3), np.uint8), 256).shape == (1, 256, 3)


@pytest.mark.parametrize("side", [1, 64, 91, 92, 256])
def test_a_sheet_has_four_rows_of_eight(side: int) -> None:
    sheet = face_views.sheet([np.zeros((side, side, 3), np.uint8)] * 32)
    cell = face_views.CELL // side * side if side <= face_views.CELL else face_views.CELL
    assert sheet.shape == (4 * cell + 24, 8 * cell + 56, 3)


def test_a_sheet_of_large_faces_is_as_wide_as_three_pictures() -> None:
    assert face_views.sheet([np.zeros((256, 256, 3), np.uint8)] * 8).shape[1] == 3 * face_views.VIEW + 2 * 8


def test_luminance_is_a_distribution_and_knows_black_and_white() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:1] = 255
    levels = face_views.luminance(image)
    assert levels.sum() == pytest.approx(1)
    assert (levels[0], levels[-1]) == (0.75, 0.25)


def inside(svg: str) -> None:
    """Well-formed, finite, nothing outside its box."""
    tree = ET.fromstring(svg)
    _, _, width, height = map(float, tree.attrib["viewBox"].split())
    for points in re.findall(r'points="([^"]*)"', svg):
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 40), (64, 64)])
def test_charts_are_drawn_inside_their_box_whatever_the_size(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, *shape, 3), np.uint8)
    for x, y in ((a, b), (a, np.zeros_like(a)), (np.zeros_like(a), np.full_like(a, 255))):
        inside(face_views.histogram_svg(x, y))
        inside(face_views.spectrum_svg(x, y))


def test_quality_tells_psnr_and_ssim_and_escapes_words(clean: Pixels, degraded: Pixels) -> None:
    text = face_views.quality(clean, degraded, "a > b")
    assert f"{measures.psnr(clean, degraded):.2f} dB" in text
    assert f"{face_views.ssim(clean, degraded):.3f}" in text
    assert "a &gt; b" in text
    assert "equal" in face_views.quality(clean, clean, "")
    assert "n/a" in face_views.quality(clean[:5], degraded[:5], "")


def test_a_copy_button_holds_its_text_unharmed() -> None:
    text = '{"name": "<b> & \'quoted\'"}\n  line'
    button = face_views.copy_button("copy", text)
    assert html.unescape(re.findall(r'data-text="([^"]*)"', button)[0]) == text
    assert "<b>" not in button
