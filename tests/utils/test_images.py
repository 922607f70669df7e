"""The image contract: every kind of file comes in right or is refused by name; what goes out comes back."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from hifacegan_lib.utils import images

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8)
RAMP = np.linspace(0, 255, 40).astype(np.uint8)[None, :, None].repeat(24, 0).repeat(3, 2)
pixels = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda hw: arrays(np.uint8, (*hw, 3)))


def png(depth: int, colour: int, width: int, height: int, raw: bytes, **chunks: bytes) -> bytes:
    """A PNG written by hand; ``raw`` has the filter bytes; more chunks go before the data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    extra = b"".join(chunk(name.encode(), data) for name, data in chunks.items())
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def rows(values: np.ndarray) -> bytes:
    """Big-endian rows of a PNG, each after filter byte 0."""
    return b"".join(b"\0" + row.astype(f">u{values.itemsize}").tobytes() for row in values)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".ppm"])
def test_lossless_formats_give_the_pixels_back(tmp_path: Path, suffix: str) -> None:
    path = images.save_image(tmp_path / f"new folder/ä{suffix}", NOISE)
    assert np.array_equal(images.load_image(path), NOISE)
    assert images.load_image(str(path)).flags.writeable


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_lossy_formats_give_nearly_the_pixels_back(tmp_path: Path, suffix: str) -> None:
    found = images.load_image(images.save_image(tmp_path / f"a{suffix}", RAMP))
    assert found.shape == RAMP.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - RAMP).mean() < 2


def test_jpeg_quality_is_obeyed(tmp_path: Path) -> None:
    sizes = [images.save_image(tmp_path / f"{q}.jpg", NOISE, quality=q).stat().st_size for q in (10, 50, 95)]
    assert sizes == sorted(set(sizes))


def test_red_stays_red_in_every_mode(tmp_path: Path) -> None:
    red = Image.new("RGB", (20, 20), (255, 0, 0))
    for mode, suffix in [("RGB", "png"), ("P", "png"), ("P", "gif"), ("RGBA", "png"), ("CMYK", "tif"), ("CMYK", "jpg")]:
        path = tmp_path / f"{mode}.{suffix}"
        red.convert(mode).save(path)
        assert np.abs(images.load_image(path).mean((0, 1)) - [255, 0, 0]).max() < 3, path


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(RAMP).convert(mode)
    grey.save(tmp_path / "grey.png")
    found = images.load_image(tmp_path / "grey.png")
    assert np.array_equal(found, np.asarray(grey.convert("L"))[..., None].repeat(3, 2))


def test_alpha_is_composited_on_white(tmp_path: Path) -> None:
    alpha = RAMP[..., 0]
    Image.fromarray(np.dstack([np.zeros_like(RAMP), alpha])).save(tmp_path / "a.png")
    expected = 255 - alpha.astype(int)  # black under alpha a is 255 - a
    assert np.abs(images.load_image(tmp_path / "a.png") - expected[..., None]).max() <= 1


def test_transparent_palette_and_colour_key_turn_white(tmp_path: Path) -> None:
    for mode, colour, key in [("P", 0, 0), ("L", 0, 0), ("RGB", (9, 8, 7), (9, 8, 7)), ("1", 0, 0)]:
        path = tmp_path / f"{mode}.png"
        Image.new(mode, (8, 8), colour).save(path, transparency=key)
        assert images.load_image(path).min() == 255, mode


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    wide = np.linspace(0, 65535, 24 * 40).reshape(24, 40).round().astype(np.uint16)
    Image.fromarray(wide).save(tmp_path / "a.png")
    Image.fromarray(wide).save(tmp_path / "a.tif")
    (tmp_path / "a.pgm").write_bytes(b"P5 40 24 65535\n" + wide.astype(">u2").tobytes())
    for path in tmp_path.iterdir():
        assert np.array_equal(images.load_image(path)[..., 1], np.round(wide / 257)), path


def test_sixteen_bit_colour_and_alpha_are_scaled(tmp_path: Path) -> None:
    wide = RNG.integers(0, 65536, (24, 40, 4), dtype=np.uint16)
    (tmp_path / "rgb.png").write_bytes(png(16, 2, 40, 24, rows(wide[..., :3])))
    assert np.abs(images.load_image(tmp_path / "rgb.png") - wide[..., :3] / 257).max() <= 1
    (tmp_path / "rgba.png").write_bytes(png(16, 6, 40, 24, rows(wide)))
    share = wide[..., 3:] / 65535
    expected = wide[..., :3] / 257 * share + 255 * (1 - share)
    assert np.abs(images.load_image(tmp_path / "rgba.png") - expected).max() <= 2
    (tmp_path / "la.png").write_bytes(png(16, 4, 40, 24, rows(wide[..., 2:])))
    assert np.abs(images.load_image(tmp_path / "la.png")[..., 0] - expected[..., 2]).max() <= 2


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation_is_applied(tmp_path: Path, turn: int, suffix: str) -> None:
    upright = Image.fromarray(RAMP)
    back = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for step in back.get(turn, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = turn
    stored.save(tmp_path / f"a.{suffix}", exif=exif)
    found = images.load_image(tmp_path / f"a.{suffix}")
    assert found.shape == RAMP.shape
    assert np.abs(found.astype(int) - RAMP).mean() < 3


def test_exif_orientation_of_sixteen_bit_and_palette(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, stored in [("wide", Image.new("I;16", (40, 24), 65535)), ("palette", Image.new("P", (40, 24), 3))]:
        stored.save(tmp_path / f"{name}.png", exif=exif)
        assert images.load_image(tmp_path / f"{name}.png").shape == (40, 24, 3)


def test_broken_exif_does_not_cost_the_image(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, "JPEG")
    junk = b"Exif\0\0" + b"MM\0*\0\0\0\x08\xff\xff" + b"\x12" * 20
    data = buffer.getvalue()
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(junk) + 2) + junk + data[2:])
    assert images.load_image(tmp_path / "a.jpg").shape == RAMP.shape


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for suffix in ("gif", "webp", "png", "tif"):
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
        assert images.load_image(tmp_path / f"a.{suffix}")[..., 0].min() > 240, suffix


def test_wrong_suffix_is_decoded_by_content(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(images.load_image(tmp_path / "a.jpg"), NOISE)
    assert images.file_suffix(tmp_path / "a.jpg") == ".png"


@pytest.mark.parametrize("suffix", sorted(images.SUFFIXES - {".tiff", ".jpeg"}))
def test_file_suffix_is_one_that_we_list(tmp_path: Path, suffix: str) -> None:
    path = images.save_image(tmp_path / f"a{suffix}", NOISE)
    expected = {".pgm": ".ppm", ".jpe": ".jpg", ".jfif": ".jpg"}.get(suffix, suffix)
    assert images.file_suffix(path) == expected


def test_file_suffix_of_a_tiff_that_pillow_does_not_know(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint16), photometric="rgb")
    assert images.file_suffix(tmp_path / "a.png") == ".tif"
    (tmp_path / "b.tif").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b\.tif: not an image"):
        images.file_suffix(tmp_path / "b.tif")


def test_one_hundred_megapixels_are_decoded(tmp_path: Path) -> None:
    Image.new("1", (10_000, 10_000), 1).save(tmp_path / "a.png")
    found = images.load_image(tmp_path / "a.png")
    assert found.shape == (10_000, 10_000, 3) and found[5000, 5000].min() == 255


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp", "tif", "ppm"])
def test_every_truncation_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    whole = buffer.getvalue()
    for share in (0.01, 0.2, 0.5, 0.9):
        path = tmp_path / f"cut_{share}.{suffix}"
        path.write_bytes(whole[: max(1, int(len(whole) * share))])
        with pytest.raises(ValueError, match=path.name):
            images.load_image(path)


@given(
    st.binary(max_size=64), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0"])
)
@settings(deadline=None, max_examples=150)
def test_junk_is_a_value_error(tmp_path_factory: pytest.TempPathFactory, junk: bytes, magic: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.png"
    path.write_bytes(magic + junk)
    with pytest.raises(ValueError, match=r"junk\.png"):
        images.load_image(path)


def test_corrupt_bytes_are_refused(tmp_path: Path) -> None:
    whole = bytearray(png(8, 2, 40, 24, rows(NOISE.reshape(24, -1))))
    whole[60] ^= 255
    (tmp_path / "a.png").write_bytes(whole)
    with pytest.raises(ValueError, match=r"a\.png"):
        images.load_image(tmp_path / "a.png")


def test_missing_empty_and_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(ValueError, match=r"empty\.png: the file is empty"):
        images.load_image(tmp_path / "empty.png")
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(FileNotFoundError, match=path.name):
            images.load_image(path)


def test_pixels_without_a_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((4, 4), 1 << 20, np.int32)).save(tmp_path / "int.tif")
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="range"):
            images.load_image(path)


def test_loading_in_threads_leaves_warnings_as_they_were(tmp_path: Path) -> None:
    path = images.save_image(tmp_path / "a.png", RNG.integers(0, 256, (400, 400, 3), dtype=np.uint8))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(images.load_image, [path] * 100))
    assert warnings.filters == before


def test_failed_save_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = images.save_image(tmp_path / "a.png", NOISE)

    def full_disk(_: Image.Image, file: Path, **__: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        images.save_image(path, RAMP)
    monkeypatch.undo()
    assert np.array_equal(images.load_image(path), NOISE)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "image", [NOISE.astype(np.float32), NOISE[..., 0], NOISE[..., :2], np.zeros((0, 4, 3), np.uint8)]
)
def test_only_uint8_rgb_is_saved(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a\.png: expected uint8 H x W x 3"):
        images.save_image(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


def test_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown suffix '\.txt', expected one of"):
        images.save_image(tmp_path / "a.txt", NOISE)


@given(pixels)
@settings(deadline=None)
def test_float_and_back_is_the_identity(image: np.ndarray) -> None:
    tensor = images.to_float(image)
    assert tensor.dtype == torch.float32 and tensor.shape == (3, *image.shape[:2])
    assert tensor.min() >= 0 and tensor.max() <= 1
    assert np.array_equal(images.to_uint8(tensor), image)


def test_to_float_takes_views_and_read_only_arrays() -> None:
    frozen = NOISE[:, ::-1]
    frozen.flags.writeable = False
    assert torch.equal(images.to_float(frozen), images.to_float(NOISE).flip(-1))


def test_to_uint8_rounds_to_nearest_and_clips() -> None:
    values = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 2.0, float("inf")])
    found = images.to_uint8(values.expand(3, 1, 6).requires_grad_())
    assert found[0, :, 0].tolist() == [0, 0, 1, 255, 255, 255]


@pytest.mark.parametrize("tensor", [torch.zeros(1, 4, 4), torch.zeros(1, 3, 4, 4), torch.full((3, 4, 4), torch.nan)])
def test_to_uint8_refuses_other_shapes_and_nan(tensor: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="expected"):
        images.to_uint8(tensor)


@given(pixels, st.integers(1, 20), st.integers(1, 20))
@settings(deadline=None)
def test_resize_gives_the_size_in_height_width_order(image: np.ndarray, height: int, width: int) -> None:
    found = images.resize(image, height, width)
    assert found.shape == (height, width, 3) and found.dtype == np.uint8
    assert images.resize(image, *image.shape[:2]) is image


@given(st.integers(0, 255), st.integers(1, 20), st.integers(1, 20))
@settings(deadline=None)
def test_resize_keeps_a_flat_image_flat(level: int, height: int, width: int) -> None:
    assert (images.resize(np.full((7, 9, 3), level, np.uint8), height, width) == level).all()


def test_shrinking_averages_areas() -> None:
    means = NOISE.reshape(12, 2, 20, 2, 3).mean((1, 3))
    assert np.abs(images.resize(NOISE, 12, 20) - means).max() <= 0.5


def test_resize_refuses_an_empty_target() -> None:
    with pytest.raises(ValueError, match="0 x 5"):
        images.resize(NOISE, 0, 5)


@given(pixels)
@settings(deadline=None)
def test_center_square_is_centred_and_largest(image: np.ndarray) -> None:
    height, width = image.shape[:2]
    square, side = images.center_square(image), min(height, width)
    assert square.shape == (side, side, 3)
    top, left = (height - side) // 2, (width - side) // 2
    assert np.array_equal(square, image[top:, left:][:side, :side])


def test_grid_holds_every_image_in_reading_order() -> None:
    cells = [np.full((4, 6, 3), level, np.uint8) for level in range(5)]
    sheet = images.grid(cells, columns=3, gap=1)
    assert sheet.shape == (4 * 2 + 1, 6 * 3 + 2, 3)
    assert [sheet[y, x, 0] for y in (0, 5) for x in (0, 7, 14)] == [0, 1, 2, 3, 4, 255]
    assert (sheet[4] == 255).all() and (sheet[:, 6] == 255).all()
    assert images.grid(cells, columns=9).shape[1] == 6 * 5 + 2 * 4


def test_grid_refuses_nothing_other_sizes_and_no_columns() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        images.grid([], 3)
    with pytest.raises(ValueError, match="equal sizes"):
        images.grid([NOISE, NOISE[1:]], 3)
    with pytest.raises(ValueError, match="columns = 0"):
        images.grid([NOISE], 0)
