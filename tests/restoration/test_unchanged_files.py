"""A photograph that is not changed comes back as it was: judged against the arrays from which its file was made.

Two ways: ``restore --strength 0``, and a network that changes nothing, after which every file is written anew.
"""

import itertools
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from hifacegan_lib.restoration import photos
from hifacegan_lib.restoration.batch import JOURNAL, Settings, read_journal, restore_folder
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.detection import Detection
from hifacegan_lib.restoration.photo_files import read_photo
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.utils.images import load_image

HEIGHT, WIDTH = 24, 36
RNG = np.random.default_rng(0)
NOTHING = Model(lambda faces: faces, Card("nothing", sha256="0" * 64, size=32))
DARKER = replace(NOTHING, network=lambda faces: faces * 0.5)
LOSSY = 4  # grey levels, mean
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BACK = [lambda x: x, lambda x: x[:, ::-1], lambda x: x[::-1, ::-1], lambda x: x[::-1], lambda x: x.swapaxes(0, 1)]
BACK += [lambda x: np.rot90(x), lambda x: np.rot90(x, 2).swapaxes(0, 1), lambda x: np.rot90(x, -1)]
"""Orientation - 1 -> how an upright array is stored."""


class Case(NamedTuple):
    """``truth``: uint8 or uint16, H x W x 1 to 4 (grey, grey and alpha, RGB, RGB and alpha), straight, upright."""

    name: str
    write: Callable[[Path], Any]
    truth: np.ndarray
    lossy: bool = False


def noise(channels: int, kind: type = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(kind).max + 1, (HEIGHT, WIDTH, channels)).astype(kind)


def smooth(channels: int) -> np.ndarray:
    ramp = np.add.outer(np.arange(HEIGHT) * 4, np.arange(WIDTH) * 3)
    return np.stack([(ramp + 20 * n) % 220 for n in range(channels)], 2).astype(np.uint8)


def pillow(suffix: str, mode: str, image: Image.Image, truth: np.ndarray, lossy: bool = False, **options: Any) -> Case:
    return Case(f"{mode}{'_'.join(options)}{suffix}", lambda path: image.save(path, **options), truth, lossy)


def pillow_cases() -> list[Case]:
    rgb, rgba, grey, la, deep = noise(3), noise(4), noise(1), noise(2), noise(1, np.uint16)
    bits = (grey > 99) * np.uint8(255)
    palette = Image.fromarray(rgb).quantize(64)
    colours = np.array(palette.getpalette(), np.uint8).reshape(-1, 3)[np.asarray(palette)]
    key = np.asarray(palette)[0, 0]
    cut = np.dstack([colours, np.where(np.asarray(palette) == key, 0, 255)]).astype(np.uint8)
    one, of = Image.fromarray(bits[..., 0]).convert("1"), Image.fromarray
    found = [
        pillow(suffix, mode, image, truth)
        for suffix, modes in ((".png", "1 L LA P RGB RGBA"), (".tif", "1 L LA P RGB RGBA"), (".bmp", "1 L P RGB"))
        for mode, image, truth in (
            ("1", one, bits),
            ("L", of(grey[..., 0]), grey),
            ("LA", of(la), la),
            ("P", palette, colours),
            ("RGB", of(rgb), rgb),
            ("RGBA", of(rgba), rgba),
        )
        if mode in modes.split()
    ]
    found += [pillow(s, "I16", of(deep[..., 0]), deep) for s in (".png", ".tif", ".pgm")]
    found += [pillow(".tif", "I", of(deep[..., 0].astype(np.int32)), deep)]
    found += [pillow(".ppm", "RGB", of(rgb), rgb), pillow(".pgm", "L", of(grey[..., 0]), grey)]
    found += [pillow(".png", "P", palette, cut, transparency=int(key)), pillow(".gif", "P", palette, colours)]
    found += [pillow(".gif", "L", of(grey[..., 0]), grey.repeat(3, 2))]
    found += [pillow(".webp", mode, of(x), x, lossless=True, exact=True) for mode, x in (("RGB", rgb), ("RGBA", rgba))]
    found += [pillow(".tif", "CMYK", of(rgb).convert("CMYK"), rgb)]
    luma = of(rgb).convert("YCbCr")
    found += [
        pillow(".tif", "YCbCr", luma, np.asarray(Image.frombytes("YCbCr", luma.size, luma.tobytes()).convert("RGB")))
    ]
    for name in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
        found += [Case(f"{name}.tif", lambda path, name=name: of(rgb).save(path, compression=name), rgb)]
    found += [Case("group4.tif", lambda path: one.save(path, compression="group4"), bits)]
    found += [Case("lzw_predictor.tif", lambda p: of(rgb).save(p, compression="tiff_lzw", tiffinfo={317: 2}), rgb)]
    wide = noise(3, np.uint16)
    found += [
        Case("lzw_16.tif", lambda p: cv2.imwrite(str(p), wide[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5]), wide)
    ]
    head = f"P6\n{WIDTH} {HEIGHT}\n65535\n".encode()
    found += [Case("P6_16.ppm", lambda path: path.write_bytes(head + wide.astype(">u2").tobytes()), wide)]
    soft, flat = smooth(3), smooth(1)
    for suffix in (".jpg", ".webp", ".avif"):
        found += [pillow(suffix, "soft", of(soft), soft, True, quality=95)]
    found += [pillow(".jpg", "L", of(flat[..., 0]), flat, True, quality=95)]
    found += [pillow(".jpg", "CMYK", of(soft).convert("CMYK"), soft, True, quality=95)]
    return found


def tiff(name: str, stored: np.ndarray, truth: np.ndarray, **options: Any) -> Case:
    return Case(f"{name}.tif", lambda path: tifffile.imwrite(path, stored, metadata=None, **options), truth)


def tiff_cases() -> list[Case]:
    found = []
    layouts = itertools.product((np.uint8, np.uint16), "<>", (None, "zlib"), ("contig", "separate"), (None, (16, 16)))
    for kind, order, compression, planes, tile in layouts:
        truth = noise(3, kind)
        stored = truth if planes == "contig" else np.moveaxis(truth, 2, 0)
        how: dict[str, Any] = {"byteorder": order, "compression": compression, "planarconfig": planes, "tile": tile}
        name = f"rgb_{truth.itemsize}_{order == '<':d}_{compression}_{planes}_{bool(tile):d}"
        found.append(tiff(name, stored, truth, photometric="rgb", rowsperstrip=None if tile else 7, **how))
        if compression and planes == "contig":
            found.append(tiff(f"{name}_predictor", stored, truth, photometric="rgb", predictor=True, **how))
    for kind, order in itertools.product((np.uint8, np.uint16), "<>"):
        truth, name = noise(1, kind), f"{np.dtype(kind).itemsize}_{order == '<':d}"
        white = np.iinfo(kind).max - truth[..., 0]
        found.append(tiff(f"white_is_0_{name}", white, truth, photometric="miniswhite", byteorder=order))
        found.append(tiff(f"black_is_0_{name}", truth[..., 0], truth, photometric="minisblack", byteorder=order))
    for kind, colours, planes in itertools.product((np.uint8, np.uint16), (1, 3), ("contig", "separate")):
        truth, most = noise(colours + 1, kind), np.iinfo(kind).max
        how = {"photometric": "rgb" if colours == 3 else "minisblack", "planarconfig": planes}
        name = f"{np.dtype(kind).itemsize}_{colours}_{planes}"
        cover = truth[..., -1:].astype(np.int64)
        product = (truth[..., :-1] * cover + most // 2) // most  # what a program with premultiplied colours stores
        straight = np.where(cover > 0, np.minimum(most, (product * most + cover // 2) // np.maximum(cover, 1)), product)
        truths = {
            "unassalpha": (truth, truth),
            "assocalpha": (np.dstack([product, cover]).astype(kind), np.dstack([straight, cover]).astype(kind)),
            "unspecified": (truth, truth[..., :-1]),
        }
        for extra, (stored, seen) in truths.items():
            stored = stored if planes == "contig" else np.moveaxis(stored, 2, 0)
            found.append(tiff(f"{extra}_{name}", stored, seen, extrasamples=[extra], **how))
    places = RNG.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    shallow, wide = RNG.integers(0, 256, (3, 256)), RNG.integers(0, 65536, (3, 256))
    for name, table, colours in (("8", shallow * 257, shallow.astype(np.uint8)), ("16", wide, wide.astype(np.uint16))):
        how = {"photometric": "palette", "colormap": table.astype(np.uint16)}
        found.append(tiff(f"palette_{name}", places, colours.T[places], **how))
    big = noise(3, np.uint16)
    found.append(tiff("big", big, big, photometric="rgb", bigtiff=True))
    for kind in (np.uint8, np.uint16):
        pages = np.stack([noise(3, kind) for _ in range(3)])
        found.append(tiff(f"pages_{np.dtype(kind).itemsize}", pages, pages[0], photometric="rgb"))
    return found


def turned_cases() -> list[Case]:
    found = []
    for turn, kind in itertools.product(range(1, 9), (np.uint8, np.uint16)):
        truth, name = noise(3, kind), f"turn_{turn}_{np.dtype(kind).itemsize}"
        stored = np.ascontiguousarray(BACK[turn - 1](truth))
        tag = {"extratags": [(274, "H", 1, turn, True)]}
        found.append(tiff(name, stored, truth, photometric="rgb", **tag))
        grey = np.ascontiguousarray(BACK[turn - 1](255 - truth[..., 0])) if kind == np.uint8 else None
        if grey is not None:
            found.append(tiff(f"{name}_white", grey, truth[..., :1], photometric="miniswhite", **tag))
        found.append(Case(f"{name}.png", lambda path, x=stored, turn=turn: png(path, x, turn), truth))
        exif = Image.Exif()
        exif[274] = turn
        if kind == np.uint8:
            soft = smooth(3)
            image = Image.fromarray(np.ascontiguousarray(BACK[turn - 1](soft)))
            write = lambda path, image=image, exif=exif: image.save(path, exif=exif, quality=95)  # noqa: E731
            found.append(Case(f"{name}.jpg", write, soft, True))
    return found


def png(path: Path, pixels: np.ndarray, turn: int = 1) -> None:
    """A PNG written by hand, 8 or 16 bits, 1 to 4 channels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(f">u{pixels.itemsize}").tobytes() for row in pixels)
    marks = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 274, 3, 1, turn, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"eXIf", marks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def png_cases() -> list[Case]:
    found = []
    for channels, kind in itertools.product((1, 2, 3, 4), (np.uint8, np.uint16)):
        truth = noise(channels, kind)
        found.append(Case(f"hand_{channels}_{truth.itemsize}.png", lambda path, x=truth: png(path, x), truth))
    return found


def moving_cases() -> list[Case]:
    frames = [noise(3) for _ in range(3)]
    pictures = [Image.fromarray(frame) for frame in frames]
    more: dict[str, Any] = {"save_all": True, "append_images": pictures[1:]}
    soft = [Image.fromarray(smooth(3)), Image.fromarray(smooth(3)[::-1])]
    return [
        Case("moving.webp", lambda path: pictures[0].save(path, lossless=True, **more), frames[0]),
        Case("moving.png", lambda path: pictures[0].save(path, **more), frames[0]),
        Case("moving.tif", lambda path: pictures[0].save(path, **more), frames[0]),
        Case("mpo.jpg", lambda p: soft[0].save(p, "MPO", save_all=True, append_images=soft[1:]), smooth(3), True),
    ]


CASES = [*pillow_cases(), *tiff_cases(), *turned_cases(), *png_cases(), *moving_cases()]


def seen(path: Path) -> np.ndarray:
    """A file that this project wrote, read by others: H x W x 1 to 4; it must be upright and plain."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            assert len(file.pages) == 1 and 274 not in page.tags and page.photometric in (1, 2), path
            raw = page.asarray()
            raw = raw if raw.ndim == 3 else raw[..., None]
            if page.extrasamples == (1,):
                most, cover = np.iinfo(raw.dtype).max, raw[..., -1:].astype(np.int64)
                product = raw[..., :-1].astype(np.int64)
                straight = np.where(cover > 0, (product * most + cover // 2) // np.maximum(cover, 1), product)
                raw = np.dstack([straight.clip(0, most), cover]).astype(raw.dtype)
            return raw
    deep = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    with Image.open(path) as file:
        assert file.getexif().get(274, 1) == 1, path
        if deep is not None and deep.dtype == np.uint16:
            mode, deep = file.mode, deep if deep.ndim == 3 else deep[..., None]
            if path.read_bytes()[25] == 4:  # grey and alpha, which OpenCV spreads over four channels
                return deep[..., [0, -1]]
            assert not (mode == "L" and deep.shape[2] > 1), path
            return deep[..., [2, 1, 0, 3][: deep.shape[2]]] if deep.shape[2] > 2 else deep
        pixels = np.asarray(file)
    return pixels if pixels.ndim == 3 else pixels[..., None]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    assert len({case.name for case in CASES}) == len(CASES) >= 80
    for case in CASES:
        case.write(folder / case.name)
    return folder


def run(patch: pytest.MonkeyPatch, folder: Path, out: Path, model: Model, strength: float) -> list[str]:
    """Restore all files of a folder, with one face in each; what was said."""
    said: list[str] = []
    patch.setattr(photos, "detect", lambda *_: [Detection((4.0, 4.0, 14.0, 14.0), None, 1.0)])
    settings = Settings("haar", strength, "auto" if not strength else 1)
    done = restore_folder(sorted(folder.iterdir()), folder, out, model, settings, report=said.append)
    assert done.failed == []
    return said


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_photograph_that_is_not_changed_is_the_array_of_which_it_was_made(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strength: float
) -> None:
    run(monkeypatch, sources, tmp_path, NOTHING if strength else DARKER, strength)
    wrong = []
    for case in CASES:
        (name,) = read_journal(tmp_path / JOURNAL)[case.name]["files"]
        if not strength and (tmp_path / name).read_bytes() == (sources / case.name).read_bytes():
            continue
        found = seen(tmp_path / name)
        if case.lossy:
            assert strength or name.endswith(".png"), name
            same = found.shape == case.truth.shape and np.abs(found.astype(int) - case.truth).mean() < LOSSY
        else:
            same = found.dtype == case.truth.dtype and np.array_equal(found, case.truth)
        wrong += [] if same else [(case.name, name, found.shape, found.dtype, case.truth.shape, case.truth.dtype)]
    assert wrong == []


@pytest.mark.parametrize("case", [case for case in CASES if not case.lossy][::3], ids=lambda case: case.name)
def test_both_readers_see_the_arrays(sources: Path, case: Case) -> None:
    photo, shown = read_photo(sources / case.name), load_image(sources / case.name)
    colours = case.truth[..., :1].repeat(3, 2) if case.truth.shape[2] < 3 else case.truth[..., :3]
    assert np.array_equal(photo.pixels, colours)
    white = 1.0 if photo.alpha is None else case.truth[..., -1:] / np.iinfo(case.truth.dtype).max
    exact = colours / (257 if case.truth.dtype == np.uint16 else 1) * white + 255 * (1 - white)
    assert np.abs(shown - exact).max() <= 0.501 and np.array_equal(shown, photo.shown)


def test_further_pictures_are_said_and_the_first_is_restored(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pages_1.tif", "pages_2.tif", "moving.webp", "moving.png", "moving.tif", "mpo.jpg", "RGB.png"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes((sources / name).read_bytes())
    said = run(monkeypatch, tmp_path / "in", tmp_path / "out", NOTHING, 1.0)
    counted = {line.split(":")[0] for line in said if "only the first of its" in line}
    assert counted == {"pages_1.tif", "pages_2.tif", "moving.webp", "moving.png", "moving.tif", "mpo.jpg"}


def write_uneven_bits(path: Path) -> None:
    """A TIFF whose tag says 8, 8 and 16 bits."""
    Image.new("RGB", (8, 8)).save(path)
    path.write_bytes(path.read_bytes().replace(b"\x08\0" * 3, b"\x08\0\x08\0\x10\0"))


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (write_uneven_bits, r"a TIFF of \(8, 8, 16\) bits a sample cannot be decoded here"),
        (lambda p: Image.new("F", (8, 8)).save(p), "floating-point pixels"),
        (lambda p: tifffile.imwrite(p, np.zeros((8, 8, 3), np.int16), photometric="rgb"), "int16 values"),
        (
            lambda p: tifffile.imwrite(p, np.zeros((8, 8, 4), np.uint16), photometric="separated"),
            r"16 bits in SEPARATED",
        ),
        (
            lambda p: tifffile.imwrite(
                p, np.zeros((4, 8, 8), np.uint8), photometric="minisblack", volumetric=True, tile=(16, 16, 16)
            ),
            "a volume",
        ),
        (lambda p: tifffile.imwrite(p, np.full((8, 8), 70000, np.uint32)), "no defined range"),
    ],
)
def test_a_tiff_of_another_kind_is_refused_in_words(tmp_path: Path, write: Callable[[Path], None], reason: str) -> None:
    write(tmp_path / "a.tif")
    for read in (read_photo, load_image):
        with pytest.raises(ValueError, match=rf"a\.tif: .*{reason}"):
            read(tmp_path / "a.tif")


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def dressed(path: Path) -> None:
    """A smooth picture with all metadata that its container holds."""
    image, exif = Image.fromarray(smooth(3)), Image.Exif()
    exif[0x010F], exif[0x8769], exif[0x8825] = "a camera", {0x8827: 100}, {1: "N"}
    exif.load(exif.tobytes())
    how: dict[str, Any] = {"icc_profile": PROFILE, "exif": exif}
    if path.suffix == ".tif":
        exif[700] = XMP
        image.save(path, dpi=(300, 200), description="a comment", **how)
    elif path.suffix == ".png":
        texts = PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        texts.add_text("Comment", "a comment")
        image.save(path, dpi=(300, 200), pnginfo=texts, **how)
    elif path.suffix == ".jpg":
        image.save(path, dpi=(300, 200), comment="a comment", xmp=XMP, extra=b"\xff\xed\0\x0ePhotoshop 3.", **how)
    else:
        image.save(path, lossless=True, xmp=XMP, **how)


def worn(path: Path) -> dict[str, Any]:
    with Image.open(path) as file:
        exif, info = file.getexif(), file.info
        found = {"icc": info["icc_profile"], "xmp": bytes(info.get("xmp") or b"").rstrip(b"\0")}
        found |= {"make": exif[0x010F], "iso": exif.get_ifd(0x8769)[0x8827], "gps": exif.get_ifd(0x8825)[1]}
        found["dpi"] = tuple(round(float(x)) for x in info["dpi"]) if "dpi" in info else None
        found["comment"] = info.get("comment") or info.get("Comment") or exif.get(270)
        found["iptc"] = [part for name, part in getattr(file, "applist", []) if name == "APP13"]
    return found


@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".webp"])
def test_metadata_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, strength: float) -> None:
    (tmp_path / "in").mkdir()
    dressed(tmp_path / "in" / f"a{suffix}")
    said = run(monkeypatch, tmp_path / "in", tmp_path / "out", NOTHING, strength)
    assert said == []
    before, after = worn(tmp_path / "in" / f"a{suffix}"), worn(tmp_path / "out" / f"a{suffix}")
    assert before == after and before["xmp"] == XMP
    assert suffix == ".webp" or (before["dpi"] == (300, 200) and "a comment" in str(before["comment"]))


def test_metadata_of_another_format_go_into_the_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(smooth(1)[..., 0]).save(tmp_path / "in" / "a.gif", comment=b"a comment")
    Image.fromarray(smooth(3)).save(tmp_path / "in" / "b.bmp", dpi=(300, 300))
    run(monkeypatch, tmp_path / "in", tmp_path / "out", NOTHING, 1.0)
    with Image.open(tmp_path / "out" / "a.png") as gif, Image.open(tmp_path / "out" / "b.png") as bmp:
        assert gif.info["Comment"] == "a comment" and round(bmp.info["dpi"][0]) == 300
