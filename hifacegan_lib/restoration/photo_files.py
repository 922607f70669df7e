"""Photographs: read upright and in full depth, written with their alpha, colour profile and metadata.

Inside, a photograph is RGB, uint8 or uint16, H x W x 3, upright; a grey one is written grey. EXIF's orientation is
applied to the pixels and taken out. A file that cannot be written again to the bit (JPEG, CMYK, a palette) stays as it
is until a pixel changes.
"""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.ExifTags import Base as Tag
from PIL.PngImagePlugin import PngInfo

from hifacegan_lib.restoration.exif_tags import writable_exif
from hifacegan_lib.utils import images, tiffs
from hifacegan_lib.utils.images import Raster, orientation

FORMATS = dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG")
FORMATS |= {".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
"""Formats that are written as they came; all others become PNG."""
_LONGEST = {"JPEG": 65_500, "WEBP": 16_383}  # sides that these formats can hold, pixels


@dataclass(frozen=True)
class Photo(Raster):
    """A photograph: a :class:`hifacegan_lib.utils.images.Raster` with what came along.

    Attributes:
        suffix: of the format in which it will be written.
        icc, exif: as bytes, EXIF without orientation; None where the file has none.
        lost: names of what cannot be written again.
        remarks: what else differs from the file, in sentences; that it has further pictures, for example.
        extras: "dpi", "xmp", "comment", "texts" (PNG), "iptc" (JPEG), "lossless" (WebP), "premultiplied" (TIFF).
        encoded: the file itself, where its pixels cannot be written again to the bit; None when a pixel has changed.
    """

    suffix: str = ".png"
    icc: bytes | None = None
    exif: bytes | None = None
    lost: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    extras: dict[str, Any] = field(default_factory=dict)
    encoded: bytes | None = None


def longest_side(suffix: str) -> int:
    """The longest side that a photograph in the format of ``suffix`` can have, pixels."""
    return _LONGEST.get(FORMATS.get(suffix.lower(), ""), 2**31 - 1)


def read_photo(path: str | Path) -> Photo:
    """Read an image file.

    Raises:
        FileNotFoundError, ValueError: as :func:`hifacegan_lib.utils.images.load_image`.
    """
    with images.contents(path) as data:
        if tiffs.is_tiff(data):
            tiff = tiffs.read_tiff(data, images.MOST_PIXELS)
            if tiff is not None:
                return _of_tiff(data, tiff)
        with images.opened(data) as file:
            return _of_pillow(data, file)


def _of_tiff(data: bytes, tiff: tiffs.Tiff) -> Photo:
    raster = images.of_tiff(tiff)
    exif, lost = writable_exif(lambda: tiffs.directory(data), tiff.orientation)
    extras: dict[str, Any] = {"premultiplied": True} if tiff.premultiplied else {}
    icc = None
    try:
        tags = tiffs.directory(data)
        icc, extras["xmp"] = (_bytes(tags.get(tag)) for tag in (Tag.InterColorProfile, Tag.XMLPacket))
    except Exception:  # the same that writable_exif names
        lost = lost or ("EXIF",)
    remarks = tiff.remarks + _pages(tiff.pages)
    kept = None if tiff.exact else data
    return Photo(raster.pixels, raster.alpha, raster.grey, ".tif", icc, exif, lost, remarks, _filled(extras), kept)


def _of_pillow(data: bytes, file: Image.Image) -> Photo:
    raster, info, mode = images.decoded(file, data), file.info, file.mode
    suffix = images.format_suffix(file)
    suffix = suffix if suffix in FORMATS else ".png"
    turn = orientation(file)
    exif, lost = writable_exif(file.getexif, turn)
    icc = info.get("icc_profile")
    if icc and not (raster.grey or mode in ("RGB", "RGBA", "P", "PA")):
        icc, lost = None, (*lost, f"the colour profile, which is for {mode}")
    extras = {name: info.get(name) for name in ("dpi", "comment", "xmp")}
    if "jfif" in info and not info.get("jfif_unit"):
        extras["dpi"] = None  # Pillow's guess; EXIF keeps its own
    if extras["dpi"] and turn > 4:
        extras["dpi"] = extras["dpi"][::-1]
    extras["texts"] = _texts(file) if file.format == "PNG" else None
    extras["iptc"] = [part for name, part in getattr(file, "applist", []) if name == "APP13"]
    extras["lossless"] = suffix == ".webp" and _lossless(data)
    rewritten = suffix in (".png", ".tif") or extras["lossless"]  # to the bit
    exact = rewritten and mode in ("L", "LA", "RGB", "RGBA", "I;16", "I") and "transparency" not in info
    writable = suffix != ".png" or (file.format == "PNG" and turn == 1)  # the file itself, as the format of its suffix
    kept = data if writable and not exact else None
    remarks = _pages(_pictures(file))
    return Photo(raster.pixels, raster.alpha, raster.grey, suffix, icc, exif, lost, remarks, _filled(extras), kept)


def _filled(extras: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extras.items() if value}


def _bytes(value: Any) -> bytes | None:
    value = value[0] if isinstance(value, tuple) and len(value) == 1 else value
    return value if isinstance(value, bytes) else None


def _pages(count: int) -> tuple[str, ...]:
    return (f"only the first of its {count} pictures is restored",) if count > 1 else ()


def _pictures(file: Image.Image) -> int:
    try:
        return int(getattr(file, "n_frames", 1))
    except Exception:  # an animation that is cut off after its first picture
        return 2


def _lossless(data: bytes) -> bool:
    """A WebP's first picture is coded without loss: its chunk is VP8L."""
    place = 12
    while place + 8 <= len(data):
        kind, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        place += 8 + (16 if kind == b"ANMF" else size + size % 2)  # a frame's own chunks come after 16 bytes
    return False


def _texts(file: Image.Image) -> PngInfo:
    """A PNG's texts, and how it means its colours where it has no profile."""
    texts, info = PngInfo(), file.info
    for name, text in getattr(file, "text", {}).items():
        if getattr(text, "lang", None) is None:
            texts.add_text(name, text)
        else:
            texts.add_itxt(name, text, text.lang, text.tkey)
    if "icc_profile" not in info:
        if "srgb" in info:
            texts.add(b"sRGB", bytes([info["srgb"]]))
        if "gamma" in info:
            texts.add(b"gAMA", struct.pack(">I", round(info["gamma"] * 100_000)))
        if "chromaticity" in info:
            texts.add(b"cHRM", struct.pack(">8I", *(round(x * 100_000) for x in info["chromaticity"])))
    return texts


def written_suffix(path: Path) -> str:
    """The suffix with which a photograph will be written: its own if that names the format of its content.

    Only the header is read. A file that cannot be read keeps its suffix.
    """
    try:
        suffix = images.file_suffix(path)
    except Exception:
        return path.suffix
    suffix = suffix if suffix in FORMATS else ".png"
    return path.suffix if FORMATS.get(path.suffix.lower()) == FORMATS[suffix] else suffix
