"""Photographs keep what came along: depth, alpha, profile, EXIF, orientation, format."""

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from skimage import data

from hifacegan_lib.restoration.photo_encoders import write_photo
from hifacegan_lib.restoration.photo_files import Photo, read_photo
from hifacegan_lib.utils.images import load_image

PHOTO = data.astronaut()[40:140, 150:300]  # no square: a wrong turn shows
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKE, SOFTWARE, ORIENTATION = 0x010F, 0x0131, 0x0112


def exif(**tags: int | str) -> Image.Exif:
    found = Image.Exif()
    found[MAKE] = "a camera"
    for name, value in tags.items():
        found[{"orientation": ORIENTATION, "software": SOFTWARE}[name]] = value
    return found


def deep_png(path: Path, pixels: np.ndarray, marks: Image.Exif | None = None) -> Path:
    kinds = [cv2.IMAGE_METADATA_EXIF] if marks else []
    content = [np.frombuffer(marks.tobytes().removeprefix(b"Exif\0\0"), np.uint8)] if marks else []
    done, encoded = cv2.imencodeWithMetadata(".png", np.ascontiguousarray(pixels[..., ::-1]), kinds, content)
    assert done
    path.write_bytes(encoded.tobytes())
    return path


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_is_applied_alike_in_8_and_16_bits(tmp_path: Path, turn: int) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.png", exif=exif(orientation=turn))
    shallow = read_photo(tmp_path / "a.png")
    deep = read_photo(deep_png(tmp_path / "b.png", PHOTO.astype(np.uint16) * 257, exif(orientation=turn)))
    assert deep.deep and not shallow.deep
    assert np.array_equal(shallow.pixels.astype(np.uint16) * 257, deep.pixels)
    if turn == 1:
        assert np.array_equal(shallow.pixels, PHOTO)
    for photo in (shallow, deep):
        again = read_photo(write_photo(tmp_path / "out", photo, "restored"))
        assert np.array_equal(again.pixels, photo.pixels)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_profile_and_exif_survive_and_say_what_was_done(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"a{suffix}"
    Image.fromarray(PHOTO).save(source, icc_profile=PROFILE, exif=exif(orientation=6, software="scanner"))
    target = write_photo(tmp_path / "out.anything", read_photo(source), "restored by weights")
    assert target.suffix == suffix
    with Image.open(target) as file:
        assert file.info["icc_profile"] == PROFILE
        tags = file.getexif()
        assert (tags[MAKE], tags[SOFTWARE], tags.get(ORIENTATION, 1)) == ("a camera", "restored by weights", 1)
        assert file.size == PHOTO.shape[:2]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_survives_and_networks_see_white_below_it(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(PHOTO)
    image.putalpha(Image.fromarray(PHOTO[..., 0]))
    image.save(tmp_path / f"a{suffix}", lossless=True)
    photo = read_photo(tmp_path / f"a{suffix}")
    assert photo.alpha is not None and np.array_equal(photo.alpha, PHOTO[..., 0])
    clear = photo.alpha == 0
    assert not clear.any() or (photo.shown[clear] == 255).all()
    again = read_photo(write_photo(tmp_path / "out", photo))
    assert again.alpha is not None and np.array_equal(again.alpha, photo.alpha)


def test_grey_photographs_stay_grey(tmp_path: Path) -> None:
    grey = np.asarray(Image.fromarray(PHOTO).convert("L"))
    Image.fromarray(grey).save(tmp_path / "a.jpg", quality=100)
    Image.fromarray(grey.astype(np.uint16) * 257 + 1).save(tmp_path / "b.png")
    shallow, deep = read_photo(tmp_path / "a.jpg"), read_photo(tmp_path / "b.png")
    assert shallow.grey and deep.grey and deep.deep
    assert shallow.pixels.shape == deep.pixels.shape == PHOTO.shape
    with Image.open(write_photo(tmp_path / "out", shallow)) as file:
        assert file.mode == "L"
    with Image.open(write_photo(tmp_path / "out", deep)) as file:
        assert file.mode == "I;16"
        assert np.array_equal(np.asarray(file), grey.astype(np.uint16) * 257 + 1)


def test_sixteen_bits_of_a_tiff_stay_a_tiff_with_all_of_them(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), np.uint16)
    cv2.imwrite(str(tmp_path / "a.tif"), pixels[..., ::-1])
    photo = read_photo(tmp_path / "a.tif")
    assert (photo.suffix, photo.pixels.dtype) == (".tif", np.uint16)
    assert np.array_equal(read_photo(write_photo(tmp_path / "b", photo)).pixels, pixels)
    with_alpha = Photo(pixels, pixels[..., 0])
    again = read_photo(write_photo(tmp_path / "c", with_alpha))
    assert again.alpha is not None and np.array_equal(again.alpha, pixels[..., 0])


def test_other_formats_become_png(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).convert("P").save(tmp_path / "a.gif")
    Image.fromarray(PHOTO).convert("CMYK").save(tmp_path / "b.jpg", icc_profile=PROFILE)
    assert read_photo(tmp_path / "a.gif").suffix == ".png"
    cmyk = read_photo(tmp_path / "b.jpg")
    assert cmyk.icc is None  # a profile of other colours than RGB's would be wrong beside RGB


def test_the_name_says_the_format_and_nothing_is_lost_in_silence(tmp_path: Path) -> None:
    with Image.open(write_photo(tmp_path / "a.JPEG", Photo(PHOTO))) as file:
        assert (file.format, Path(file.filename).name) == ("JPEG", "a.JPEG")
    with pytest.raises(ValueError, match=r"a\.jpg: JPEG holds no transparency"):
        write_photo(tmp_path / "a.jpg", Photo(PHOTO, PHOTO[..., 0]))
    with pytest.raises(ValueError, match=r"a\.webp: 16 bits a channel"):
        write_photo(tmp_path / "a.webp", Photo(PHOTO.astype(np.uint16)))


Entry = tuple[int, int, int, bytes]
CAMERA = 0x8769


def raw_exif(entries: Sequence[Entry], camera: Sequence[Entry] = ()) -> bytes:
    """EXIF as a careless program writes it: (tag, type, count, four bytes) as given, two directories."""

    def directory(entries: Sequence[Entry]) -> bytes:
        lines = [struct.pack(">HHI", *entry[:3]) + entry[3][:4].ljust(4, b"\0") for entry in sorted(entries)]
        return struct.pack(">H", len(lines)) + b"".join(lines) + b"\0" * 4

    start = 8 + 2 + 12 * (len(entries) + 1) + 4
    first = directory([*entries, (CAMERA, 4, 1, struct.pack(">I", start))])
    return b"Exif\0\0MM\0*\0\0\0\x08" + first + directory(camera)


def test_a_tag_of_a_wrong_type_is_named_and_all_others_are_kept(tmp_path: Path) -> None:
    marks = raw_exif([(MAKE, 2, 4, b"abc"), (296, 1, 1, b"\2"), (ORIENTATION, 3, 1, b"\0\6")], [(0x8827, 3, 1, b"\0d")])
    Image.fromarray(PHOTO).save(tmp_path / "a.png", exif=marks)
    photo = read_photo(tmp_path / "a.png")
    assert photo.lost == ("EXIF ResolutionUnit",)
    assert np.array_equal(photo.pixels, np.rot90(PHOTO, 3)) and np.array_equal(
        load_image(tmp_path / "a.png"), photo.pixels
    )
    with Image.open(write_photo(tmp_path / "b.png", photo, "restored")) as file:
        tags = file.getexif()
        assert (tags[MAKE], tags[SOFTWARE], tags.get_ifd(CAMERA)) == ("abc", "restored", {0x8827: 100})


TAGS = st.sampled_from([254, 256, 258, 271, 274, 282, 296, 305, 306, 700, 33434, 34665, 34853, 36864, 37500, 40961])
ENTRIES = st.lists(
    st.tuples(
        TAGS | st.integers(0, 65535),
        st.integers(0, 18),
        st.integers(0, 8) | st.integers(0, 2**32 - 1),
        st.binary(min_size=4, max_size=4),
    ),
    max_size=4,
)


@given(ENTRIES, ENTRIES, st.sampled_from(["png", "jpg", "webp"]))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_exif_leaves_the_pixels_readable_and_the_photograph_writable(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Entry], camera: list[Entry], suffix: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    image = Image.fromarray(PHOTO[:8, :12])
    image.save(folder / f"plain.{suffix}", lossless=True)
    image.save(folder / f"odd.{suffix}", lossless=True, exif=raw_exif(entries, camera))
    photo = read_photo(folder / f"odd.{suffix}")
    assert np.array_equal(photo.pixels, load_image(folder / f"odd.{suffix}"))
    upright = load_image(folder / f"plain.{suffix}")
    assert any(np.array_equal(photo.pixels, np.rot90(x, n)) for x in (upright, upright[:, ::-1]) for n in range(4))
    again = read_photo(write_photo(folder / f"again.{suffix}", photo, "restored"))
    assert again.pixels.shape == photo.pixels.shape and not again.lost


@pytest.mark.parametrize("marks", [Image.Exif(), exif(software="scanner")], ids=["plain", "EXIF"])
def test_a_big_tiff_is_read(tmp_path: Path, marks: Image.Exif) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.tif", big_tiff=True, exif=marks)
    photo = read_photo(tmp_path / "a.tif")
    assert np.array_equal(photo.pixels, PHOTO) and np.array_equal(load_image(tmp_path / "a.tif"), PHOTO)
    assert np.array_equal(read_photo(write_photo(tmp_path / "b.tif", photo, "restored")).pixels, PHOTO)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"a\.png"):
        read_photo(tmp_path / "a.png")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_photo(tmp_path / "a", Photo(PHOTO))
    assert not list(tmp_path.iterdir())
