"""Photographs into files: JPEG, PNG, WebP, TIFF, with their depth, alpha, profile and metadata."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base as Tag
from PIL.PngImagePlugin import PngInfo, getchunks, putchunk

from hifacegan_lib.restoration.photo_files import FORMATS, Photo, longest_side
from hifacegan_lib.utils import files, tiffs

QUALITY = 95
_PNG = b"\x89PNG\r\n\x1a\n"


def write_photo(path: str | Path, photo: Photo, software: str = "") -> Path:
    """Write a photograph with its alpha, profile and metadata, whole or not at all.

    Args:
        path: its suffix names the format; where it names none, the photograph's own suffix takes its place.
        software: EXIF's tag "Software", for what was done to the photograph; empty: as it was.
    Returns:
        The file.
    Raises:
        ValueError: the format holds no 16 bits, no transparency or no such size, and the photograph has them.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        path = path.with_suffix(photo.suffix)
    kind = FORMATS[path.suffix.lower()]
    if photo.encoded is not None and not software and kind == FORMATS[photo.suffix]:
        return files.write_bytes(path, photo.encoded)
    if photo.deep and kind not in ("PNG", "TIFF"):
        raise ValueError(f"{path}: 16 bits a channel are written as .png or .tif")
    if photo.alpha is not None and kind == "JPEG":
        raise ValueError(f"{path}: JPEG holds no transparency; write .png, .webp or .tif")
    side, most = max(photo.pixels.shape), longest_side(path.suffix)
    if side > most:
        raise ValueError(f"{path}: a side of {side} pixels; {kind} holds at most {most}")
    exif = Image.Exif()
    if photo.exif:
        exif.load(photo.exif)
    if software:
        exif[Tag.Software] = software
    return files.write_bytes(path, _tiff(photo, exif) if kind == "TIFF" else _encoded(photo, kind, exif))


def _grey(photo: Photo) -> NDArray[Any]:
    """H x W; colours that a restored face may have got are averaged."""
    first, *others = np.moveaxis(photo.pixels, 2, 0)
    if all(np.array_equal(first, other) for other in others):
        return first
    if photo.deep:
        return np.rint(photo.pixels.mean(2)).astype(photo.pixels.dtype)
    return np.asarray(Image.fromarray(photo.pixels).convert("L"))


def _tiff(photo: Photo, exif: Image.Exif) -> bytes:
    for tag, value in ((Tag.InterColorProfile, photo.icc), (Tag.XMLPacket, photo.extras.get("xmp"))):
        if value:
            exif[tag] = value
    if dpi := photo.extras.get("dpi"):  # of another format; a TIFF's own is in its EXIF
        exif[Tag.XResolution], exif[Tag.YResolution], exif[Tag.ResolutionUnit] = dpi[0], dpi[1], 2
    colours = _grey(photo)[..., None] if photo.grey else photo.pixels
    return tiffs.encoded(colours, photo.alpha, bool(photo.extras.get("premultiplied")), exif)


def _encoded(photo: Photo, kind: str, exif: Image.Exif) -> bytes:
    if kind == "PNG" and photo.deep:
        return _deep_png(photo, _options(photo, kind, exif))
    image = Image.fromarray(_grey(photo)) if photo.grey else Image.fromarray(photo.pixels)
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    buffer = io.BytesIO()
    image.save(buffer, kind, **_options(photo, kind, exif))
    return buffer.getvalue()


def _options(photo: Photo, kind: str, exif: Image.Exif) -> dict[str, Any]:
    """Pillow's, for saving in a format."""
    found: dict[str, Any] = {"exif": exif.tobytes() if len(exif) else b"", "icc_profile": photo.icc}
    extras = photo.extras
    if kind == "JPEG":
        iptc = b"".join(b"\xff\xed" + struct.pack(">H", len(part) + 2) + part for part in extras.get("iptc", ()))
        found |= {"quality": QUALITY, "subsampling": 0, "extra": iptc}
        found |= {name: extras.get(name) for name in ("dpi", "xmp", "comment")}
    if kind == "WEBP":
        lossless = {"lossless": True, "exact": True} if extras.get("lossless") else {"quality": QUALITY}
        found |= {"xmp": extras.get("xmp"), **lossless}
    if kind == "PNG":
        texts, xmp, comment = PngInfo(), extras.get("xmp"), extras.get("comment")
        if xmp:
            texts.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
        if comment:
            texts.add_itxt("Comment", comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment)
        found |= {"dpi": extras.get("dpi"), "pnginfo": extras.get("texts") or texts}
    return {name: value for name, value in found.items() if value not in (None, b"")}


def _deep_png(photo: Photo, options: dict[str, Any]) -> bytes:
    """16 bits, which Pillow cannot write in colour: its chunks around the pixels, and the pixels by zlib.

    Each row is stored as differences to the pixel at its left (filter 1).
    """
    parts = [_grey(photo)[..., None] if photo.grey else photo.pixels]
    parts += [] if photo.alpha is None else [photo.alpha[..., None]]
    pixels = np.concatenate(parts, 2).astype(">u2")
    height, width, samples = pixels.shape
    raw = pixels.reshape(height, -1).view(np.uint8)
    rows = np.ones((height, raw.shape[1] + 1), np.uint8)
    rows[:, 1:] = raw
    rows[:, 1 + 2 * samples :] -= raw[:, : -2 * samples]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[samples]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    ours = {b"IHDR": head, b"IDAT": zlib.compress(rows.tobytes(), 6)}
    file = io.BytesIO()
    file.write(_PNG)
    for name, content, _ in getchunks(Image.new("L" if photo.grey else "RGB", (1, 1)), **options):
        putchunk(file, name, ours.get(name, content))
    return file.getvalue()
