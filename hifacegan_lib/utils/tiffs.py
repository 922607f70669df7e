"""TIFF: the first picture of a file, decoded in its full depth from what its tags say, and a writer for both depths.

    colours = table[samples]        white is 0: most - samples        premultiplied: samples * most / alpha

Grey (white or black is 0), RGB and palettes are known, in 1 to 16 bits, planar or not, in strips or tiles, of both byte
orders, uncompressed or by LZW, Deflate or PackBits. Pillow decodes CMYK, YCbCr, CIELab and images compressed by JPEG or
fax codes, in 8 bits. All else is refused.
"""

import io
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base as Tag
from tifffile import PHOTOMETRIC, SAMPLEFORMAT, TIFF, TiffFile, TiffPage

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of both byte orders, the latter two are BigTIFF
_WHITE_IS_0, _RGB, _PALETTE = PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE
_KNOWN = (_WHITE_IS_0, PHOTOMETRIC.MINISBLACK, _RGB, _PALETTE)
_LZW, _DEFLATE = 5, 8
_DECODED = (1, _LZW, _DEFLATE, 32946, 32773)  # compressions: none, LZW, Deflate (two numbers), PackBits
_ROWS = 64  # of a strip that is written


class Tiff(NamedTuple):
    """A decoded picture, as it lies in the file.

    Attributes:
        colours: uint8 or uint16, H x W x 1 or H x W x 3; black is 0, straight where there is an alpha.
        alpha: H x W of the same type, or None.
        premultiplied: the file's samples are multiplied by alpha.
        orientation: 1 to 8. pages: pictures in the file.
        exact: colours and alpha hold all that the samples say; otherwise ``remarks`` name the difference.
        remarks: what was left out, in sentences.
    """

    colours: NDArray[Any]
    alpha: NDArray[Any] | None
    premultiplied: bool
    orientation: int
    pages: int
    exact: bool
    remarks: tuple[str, ...]


def is_tiff(data: bytes) -> bool:
    """A file's first four bytes are those of a TIFF."""
    return data[:4] in _MAGIC


def read_tiff(data: bytes, most_pixels: int) -> Tiff | None:
    """The first picture of a TIFF; None: of a kind that Pillow decodes, see above.

    Raises:
        ValueError: a kind that is not known, more than ``most_pixels``, or missing data. Damaged files raise errors of
            many types.
    """
    with TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        if not isinstance(page, TiffPage):
            raise ValueError("no picture")
        if page.imagewidth * page.imagelength > most_pixels:
            raise ValueError(f"{page.imagewidth} x {page.imagelength} pixels: at most {most_pixels} are read")
        deep = np.max(page.bitspersample) > 8
        if page.photometric not in _KNOWN or page.compression not in _DECODED:
            if deep:
                kind = f"{_name(page.photometric)}, compression {_name(page.compression)}"
                raise ValueError(f"a TIFF of {page.bitspersample} bits in {kind} cannot be decoded here")
            return None
        if (samples := _samples(page)) is None:
            return None
        turn = page.tags.valueof(Tag.Orientation, 1)
        return _coloured(page, samples)._replace(orientation=turn if turn in range(1, 9) else 1, pages=len(file.pages))


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))


def _samples(page: TiffPage) -> NDArray[Any] | None:
    """H x W x samples, unsigned integers; None: of less than 8 bits, packed in a way that Pillow unpacks."""
    if page.imagedepth > 1:
        raise ValueError(f"a volume of {page.imagedepth} slices is no picture")
    if page.sampleformat not in (SAMPLEFORMAT.UINT, SAMPLEFORMAT.INT, SAMPLEFORMAT.VOID):
        raise ValueError("floating-point pixels have no defined range")
    size = page.parent.filehandle.size
    counts = page.databytecounts
    whole = [start and count and start + count <= size for start, count in zip(page.dataoffsets, counts, strict=True)]
    if not whole or not all(whole):
        raise ValueError("the file is cut off: pixels are missing")
    if page.compression == _LZW:  # tifffile leaves LZW to imagecodecs, unless its table has another decoder
        TIFF.DECOMPRESSORS._codecs.setdefault(_LZW, _unpacked)
    if page.bitspersample not in (1, 8, 16, 32):
        if np.max(page.bitspersample) < 8:
            return None
        raise ValueError(f"a TIFF of {page.bitspersample} bits a sample cannot be decoded here; 1, 8 and 16 bits can")
    found = page.asarray()
    axes = page.axes  # "YX", "YXS" or, planar, "SYX"
    found = np.moveaxis(found, 0, -1) if axes == "SYX" else found[..., None] if axes == "YX" else found
    if found.ndim != 3 or axes not in ("YX", "YXS", "SYX"):
        raise ValueError(f"axes {axes} are not those of a picture")
    if found.dtype.kind == "i" or found.dtype.itemsize > 2:
        if found.min() < 0 or found.max() > 65535 or found.dtype.itemsize < 4:
            raise ValueError(f"{found.dtype} values from {found.min()} to {found.max()} have no defined range")
        return found.astype(np.uint16)
    return found.astype(np.uint8) if found.dtype == bool else found


def _unpacked(data: bytes, out: int = 0) -> bytes:
    """LZW: libtiff decodes the bytes as one grey row of a TIFF that has them as its only strip."""
    tags: dict[int, Any] = {Tag.ImageWidth: out, Tag.ImageLength: 1, Tag.BitsPerSample: 8, Tag.SamplesPerPixel: 1}
    tags |= {Tag.Compression: _LZW, Tag.PhotometricInterpretation: 1}
    tags |= {Tag.StripOffsets: 0, Tag.RowsPerStrip: 1, Tag.StripByteCounts: len(data)}
    with Image.open(io.BytesIO(_file(tags, bytes(data)))) as image:
        return image.tobytes()


def _coloured(page: TiffPage, samples: NDArray[Any]) -> Tiff:
    most, remarks = int(np.iinfo(samples.dtype).max), []
    exact = page.bitspersample in (8, 16)
    if page.bitspersample == 32:
        remarks.append("32-bit integers become 16 bits")
    colours = 3 if page.photometric == _RGB else 1
    kinds = [int(kind) for kind in page.extrasamples]
    if samples.shape[2] != colours + len(kinds):  # the tag does not fit the samples
        kinds = [0] * max(0, samples.shape[2] - colours)
    extra = next((n for n, kind in enumerate(kinds) if kind in (1, 2)), None)  # the channel that is alpha
    if ignored := len(kinds) - (extra is not None):
        remarks.append(f"{ignored} channels beside colour and alpha are not kept")
        exact = False
    alpha = None if extra is None else np.ascontiguousarray(samples[..., colours + extra])
    found = samples[..., :colours]
    if page.photometric == _PALETTE:
        found, alpha = _looked_up(found[..., 0], alpha, np.asarray(page.colormap))
        exact = False
    elif page.bitspersample == 1:
        found = found * np.uint8(255)
    if page.photometric == _WHITE_IS_0:
        found = most - found
    multiplied = extra is not None and kinds[extra] == 1 and page.photometric != _PALETTE
    if alpha is not None and multiplied:
        found = straight(found, alpha)
    return Tiff(np.ascontiguousarray(found), alpha, multiplied, 1, 1, exact, tuple(remarks))


def _looked_up(
    places: NDArray[Any], alpha: NDArray[Any] | None, table: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The palette's colours, in 8 bits where its 16 say no more than 8: v * 257, v * 256 or v."""
    colours = table.T[places]
    for shallow, again in ((table // 257, 257), (table // 256, 256), (table, 1)):
        if shallow.max() < 256 and np.array_equal(shallow * again, table):
            return shallow.T[places].astype(np.uint8), alpha
    return colours.astype(np.uint16), None if alpha is None else alpha.astype(np.uint16) * np.uint16(257)


def straight(multiplied: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Colours, H x W x C, that were multiplied by alpha, H x W, as they were before; where alpha is 0 they stay."""
    most = int(np.iinfo(alpha.dtype).max)
    cover = alpha.astype(np.int64)[..., None]
    found = (multiplied.astype(np.int64) * most + cover // 2) // np.maximum(cover, 1)
    return np.where(cover > 0, found.clip(0, most), multiplied).astype(multiplied.dtype)


def multiplied(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """The inverse of :func:`straight`, to the bit."""
    most = int(np.iinfo(alpha.dtype).max)
    cover = alpha.astype(np.int64)[..., None]
    return np.where(cover > 0, (colours * cover + most // 2) // most, colours).astype(colours.dtype)


def encoded(colours: NDArray[Any], alpha: NDArray[Any] | None, premultiplied: bool, tags: Image.Exif) -> bytes:
    """A TIFF file, compressed without loss.

    Args:
        colours: uint8 or uint16, H x W x 1 (grey) or H x W x 3 (RGB).
        alpha: H x W of the same type. premultiplied: it is written as multiplied into the colours.
        tags: further tags, EXIF's directories among them; the layout's tags are added to it.
    Raises:
        ValueError: more bytes than a TIFF can hold.
    """
    if alpha is not None:
        colours = np.dstack([multiplied(colours, alpha) if premultiplied else colours, alpha])
    height, width, samples = colours.shape
    rows = (colours[start : start + _ROWS] for start in range(0, height, _ROWS))
    strips = [zlib.compress(part.astype(part.dtype.newbyteorder("<")).tobytes(), 6) for part in rows]
    sizes = [len(strip) for strip in strips]
    if sum(sizes) > 2**32 - 2**24:
        raise ValueError("a TIFF holds at most 4 GB")
    layout: dict[int, Any] = {Tag.ImageWidth: width, Tag.ImageLength: height, Tag.PlanarConfiguration: 1}
    layout |= {Tag.SamplesPerPixel: samples, Tag.BitsPerSample: (8 * colours.itemsize,) * samples}
    layout |= {Tag.Compression: _DEFLATE, Tag.PhotometricInterpretation: 2 if samples > 2 else 1}
    layout |= {Tag.StripOffsets: tuple(np.cumsum([0, *sizes[:-1]]).tolist()), Tag.StripByteCounts: tuple(sizes)}
    layout[Tag.RowsPerStrip] = _ROWS
    if alpha is not None:
        layout[Tag.ExtraSamples] = 1 if premultiplied else 2
    return _file(layout, b"".join(strips), tags)


def _file(layout: dict[int, Any], data: bytes, tags: Image.Exif | None = None) -> bytes:
    """Directory and pixels; the strips' offsets count from the end of the directory, where Pillow puts them right."""
    tags = Image.Exif() if tags is None else tags
    tags.endian = "<"
    for tag, value in layout.items():
        tags[tag] = value
    return tags.tobytes().removeprefix(b"Exif\0\0") + data


def directory(data: bytes) -> Image.Exif:
    """All tags of the first picture, as EXIF. Damaged files raise errors of many types."""
    found = Image.Exif()
    found.bigtiff = data[2:3] == b"+"
    head = data[: 16 if found.bigtiff else 8]
    order = "<" if data[:1] == b"I" else ">"
    (start,) = struct.unpack_from(order + ("Q" if found.bigtiff else "L"), head, 8 if found.bigtiff else 4)
    found.endian = order
    found.load_from_fp(io.BytesIO(data), start)
    return found
