"""JPEG's quantisation tables are those that the quality asks for; WebP's strength is Pillow's at the same quality."""

import io

import av
import golden
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin
from skimage import data

from hifacegan_lib.degradations import compression
from hifacegan_lib.degradations.traces import Trace
from hifacegan_lib.utils.images import Pixels, resize

LUMA = """16 11 10 16 24 40 51 61   12 12 14 19 26 58 60 55   14 13 16 24 40 57 69 56   14 17 22 29 51 87 80 62
          18 22 37 56 68 109 103 77   24 35 55 64 81 104 113 92
          49 64 78 87 103 121 120 101   72 92 95 98 112 100 103 99"""
CHROMA = """17 18 24 47 99 99 99 99   18 21 26 66 99 99 99 99   24 26 56 99 99 99 99 99   47 66 99 99 99 99 99 99"""
TABLES = [np.array(LUMA.split(), int), np.array(CHROMA.split() + ["99"] * 32, int)]  # ITU-T T.81, annex K, by rows


@pytest.fixture(scope="module")
def face() -> Pixels:
    return resize(data.astronaut()[0:256, 96:352], 128, 128)


def mean_difference(a: Pixels, b: NDArray[np.generic]) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def scaled(table: NDArray[np.int_], quality: int) -> NDArray[np.int_]:
    """libjpeg's rule: per cent of the standard's table, rounded, in one byte."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((table * percent + 50) // 100).clip(1, 255)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("quality", range(1, 101))
def test_jpeg_quantises_by_the_tables_of_its_quality(quality: int, face: Pixels) -> None:
    file = opened(compression.encode_jpeg(face[:16, :16], quality))
    assert isinstance(file, JpegImagePlugin.JpegImageFile)
    for found, table in zip(file.quantization.values(), TABLES, strict=True):
        np.testing.assert_array_equal(found, scaled(table, quality))


@pytest.mark.parametrize(("halve", "sampling"), [(True, 2), (False, 0)])
def test_jpeg_halves_the_chroma_or_not(halve: bool, sampling: int, face: Pixels) -> None:
    assert JpegImagePlugin.get_sampling(opened(compression.encode_jpeg(face, 80, halve_chroma=halve))) == sampling


@pytest.mark.parametrize("quality", [17, 50, 85])
def test_jpeg_matches_pillow(quality: int, face: Pixels) -> None:
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    assert mean_difference(compression.jpeg(face, quality), np.asarray(Image.open(buffer))) < 0.5


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90])
@pytest.mark.parametrize("grain", [0.25, 0.5, 2])
def test_on_another_grid_the_quantisation_steps_are_scaled(quality: int, grain: float) -> None:
    def steps(q: int) -> float:
        return 5000 / q if q < 50 else 200 - 2 * q

    wanted, found = grain * steps(quality), steps(compression._quality(quality, grain))
    assert found == pytest.approx(min(wanted, 5000), rel=0.04, abs=1)


@pytest.mark.parametrize("operation", ["jpeg", "webp"])
def test_a_higher_quality_loses_less(operation: str, face: Pixels) -> None:
    losses = [mean_difference(face, getattr(compression, operation)(face, quality)) for quality in (1, 5, 20, 50, 90)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 4


@pytest.mark.parametrize(("operation", "fine"), [("jpeg", 95), ("webp", 95), ("h264", 4)])
def test_red_stays_red(operation: str, fine: int) -> None:
    red = np.full((16, 16, 3), (255, 0, 0), np.uint8)
    assert mean_difference(getattr(compression, operation)(red, fine), red) < 3


def test_h264_loses_more_at_a_higher_rate_factor_and_next_to_nothing_of_the_luma_at_none(face: Pixels) -> None:
    losses = [mean_difference(face, compression.h264(face, crf)) for crf in (0, 18, 27, 36, 45)]
    assert losses == sorted(losses) and losses[-1] > 8
    grey = np.repeat(face[..., :1], 3, 2)
    assert np.abs(compression.h264(grey, 0).astype(int) - grey).max() <= 3


@pytest.mark.parametrize("crf", [20, 30, 40])
def test_h264_is_as_strong_as_a_film_of_one_frame(crf: int, face: Pixels) -> None:
    """Reference: the same frame in an MP4 file, converted by swscale, encoded by x264, read by FFmpeg."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast", "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = *face.shape[:2], "yuv420p"
        film.mux(stream.encode(av.VideoFrame.from_ndarray(face, format="rgb24")))
        film.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as film:
        theirs = next(film.decode(video=0)).to_ndarray(format="rgb24")
    ours = compression.h264(face, crf)
    assert mean_difference(face, ours) == pytest.approx(mean_difference(face, theirs), rel=0.1)
    assert mean_difference(ours, theirs) < 0.8 * mean_difference(face, theirs)


@pytest.mark.parametrize("grain", [0.25, 0.5, 1, 2])
def test_h264_scales_its_steps_by_the_grain(grain: float, face: Pixels) -> None:
    assert 2 ** ((compression._rate_factor(30, grain) - 30) / 6) == pytest.approx(grain)
    np.testing.assert_array_equal(compression.h264(face, 30, grain), compression.h264(face, 30, grain))


def test_h264_takes_the_smallest_and_odd_images() -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (3, 40), (17, 16)):
        image = rng.integers(100, 140, (*shape, 3), np.uint8)
        assert mean_difference(compression.h264(image, 0), image) < 20
        assert compression.h264(image, 51, 2).shape == image.shape


@pytest.mark.parametrize("quality", [1, 20, 50, 80, 100])
def test_webp_is_as_strong_as_pillows(quality: int, face: Pixels) -> None:
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "WEBP", quality=quality)
    theirs, ours = np.asarray(Image.open(buffer).convert("RGB")), compression.webp(face, quality)
    file = opened(compression.encode_webp(face, quality))
    assert (file.format, file.size) == ("WEBP", (128, 128))
    assert b"VP8 " in compression.encode_webp(face, quality)[:40]  # the lossy kind
    assert len(buffer.getvalue()) == pytest.approx(len(compression.encode_webp(face, quality)), rel=0.1)
    assert mean_difference(ours, theirs) < 0.5 * mean_difference(face, theirs) + 0.5


def test_a_trace_compresses_on_its_grid(face: Pixels) -> None:
    step = {"op": "jpeg", "quality": 30}
    np.testing.assert_array_equal(Trace.of("mine", step, grid=128).apply(face), compression.jpeg(face, 30))
    np.testing.assert_array_equal(Trace.of("mine", step).apply(face), compression.jpeg(face, 30, grain=0.25))
    assert mean_difference(face, compression.jpeg(face, 30, grain=0.25)) < mean_difference(
        face, compression.jpeg(face, 30)
    )


@pytest.mark.parametrize("name", golden.operations_of(compression))
def test_the_recorded_pixels(name: str) -> None:
    golden.check_operation(name)


@pytest.mark.parametrize(("grain", "kept"), [(0.4, True), (0.5, True), (0.6, False), (1.0, False)])
def test_stripes_of_one_pixel_keep_their_colours_on_a_grid_of_half_pixels(grain: float, kept: bool) -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (200, 60, 60), (60, 100, 200)
    red = compression.jpeg(stripes, 95, grain)[..., 0].astype(int)
    assert (np.abs(np.diff(red)).min() > 100) == kept
