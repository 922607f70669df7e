"""Photographs as people keep them: read upright and in full depth, written with what came along.

Inside, a photograph is RGB, uint8 or uint16, H x W x 3, upright. Its alpha, colour profile and EXIF stay beside it and
go back into the file; a grey photograph is written grey. EXIF's orientation is applied to the pixels and taken out.
"""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from hifacegan_lib.utils import files
from hifacegan_lib.utils.images import open_image, orientation, to_rgb, upright

SUFFIXES = {"jpeg": ".jpg", "mpo": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif"}
"""Formats that are written as they came; all others become PNG."""
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG"} | {
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
QUALITY = 95
_SOFTWARE, _ORIENTATION, _BITS = 0x0131, 0x0112, 0x0102
_EXIF_HEADER = b"Exif\0\0"
_LAYOUT = (*range(254, 260), 262, 266, 273, 277, 278, 279, 284, 317, 320, *range(322, 326), 338, 339, 34675)
"""TIFF's tags that say how its pixels lie: of the file that was read, not of the one that is written."""
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


@dataclass(frozen=True)
class Photo:
    """A photograph.

    Attributes:
        pixels: RGB, uint8 or uint16, H x W x 3.
        alpha: H x W of the same type, or None.
        grey: its file has one channel of colour.
        suffix: of the format in which it will be written.
        icc, exif: as bytes, EXIF without orientation; None where the file has none.
        lost: names of EXIF's tags that cannot be written again.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    grey: bool = False
    suffix: str = ".png"
    icc: bytes | None = None
    exif: bytes | None = None
    lost: tuple[str, ...] = ()

    @property
    def deep(self) -> bool:
        """16 bits a channel."""
        return self.pixels.dtype == np.uint16

    @property
    def shown(self) -> NDArray[np.uint8]:
        """In 8 bits, on white where it is transparent: what networks and detectors see."""
        pixels = np.rint(self.pixels / 257).astype(np.uint8) if self.deep else self.pixels
        if self.alpha is None:
            return pixels
        cover = (self.alpha / np.iinfo(self.alpha.dtype).max)[..., None].astype(np.float32)
        return np.rint(pixels * cover + 255 * (1 - cover)).astype(np.uint8)


def read_photo(path: str | Path) -> Photo:
    """Read an image file.

    Raises:
        FileNotFoundError, ValueError: as :func:`hifacegan_lib.utils.images.load_image`.
    """
    with open_image(path) as file:
        suffix, mode = SUFFIXES.get(str(file.format).lower(), ".png"), file.mode
        grey = mode in ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
        icc = file.info.get("icc_profile") if grey or mode in ("RGB", "RGBA") else None
        see_through = mode in ("RGBA", "LA", "PA") or "transparency" in file.info
        turned, image = orientation(file), upright(file)
        exif, lost = _writable_exif(file)
        pixels = np.array(image.convert("RGB")) if see_through else to_rgb(image)
        alpha = np.array(image.convert("RGBA"))[..., 3] if see_through else None
    return _deepened(files.expanded(path), Photo(pixels, alpha, grey, suffix, icc, exif, lost), turned)


def written_suffix(path: Path) -> str:
    """The suffix with which a photograph will be written: its own if that names the format of its content.

    Only the header is read. A file that cannot be read keeps its suffix.
    """
    try:
        with open_image(path) as file:
            suffix = SUFFIXES.get(str(file.format).lower(), ".png")
            if suffix == ".tif" and max(file.tag_v2.get(_BITS, (8,))) > 8:  # type: ignore[attr-defined]
                suffix = ".png"
    except (OSError, ValueError):
        return path.suffix
    return path.suffix if _FORMATS.get(path.suffix.lower()) == _FORMATS[suffix] else suffix


def _writable_exif(file: Image.Image) -> tuple[bytes | None, tuple[str, ...]]:
    """EXIF without orientation and layout, as bytes, and the names of the tags that cannot be written again."""
    try:
        exif = file.getexif()  # the file's own: its orientation is gone then
        for tag in (_ORIENTATION, *_LAYOUT):
            exif.pop(tag, None)
        return (_checked(exif) if len(exif) else None), ()
    except Exception:  # a tag of a wrong type raises struct.error, TypeError, AttributeError, OverflowError, ...
        return _sound_tags(file)


def _checked(exif: Image.Exif) -> bytes:
    """As bytes; raises what Pillow raises if they cannot be read and written once more."""
    again = Image.Exif()
    again.load(exif.tobytes())
    again[_SOFTWARE] = "workbench"
    again.tobytes()
    return exif.tobytes()


def _sound_tags(file: Image.Image) -> tuple[bytes | None, tuple[str, ...]]:
    """Tag by tag, also inside the directories of the camera and of GPS: those that can be written alone are kept."""
    sound, lost = Image.Exif(), []
    try:
        exif = file.getexif()
        inner: dict[int, Any] = {ifd: exif.get_ifd(ifd) for ifd in _DIRECTORIES if ifd in exif}
        places = [(tag, 0) for tag in exif if tag not in inner]
        places += [(tag, ifd) for ifd, tags in inner.items() for tag in tags]
    except Exception:
        return None, ("EXIF",)
    for tag, ifd in places:
        alone, value = Image.Exif(), inner[ifd][tag] if ifd else exif[tag]
        try:
            alone[ifd or tag] = {tag: value} if ifd else value
            _checked(alone)
            sound[ifd or tag] = {**sound.get(ifd, {}), tag: value} if ifd else value
        except Exception:
            names = ExifTags.GPSTAGS if ifd == ExifTags.IFD.GPSInfo else ExifTags.TAGS
            lost.append(f"EXIF {names.get(tag, hex(tag))}")
    return (sound.tobytes() if len(sound) else None), tuple(sorted(lost))


def _deepened(path: Path, photo: Photo, turned: int) -> Photo:
    """With the 16 bits that Pillow cuts off, where the file has them (PNG, TIFF)."""
    if photo.suffix not in (".png", ".tif"):
        return photo
    deep = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16:
        return photo
    deep = _upright(deep if deep.ndim == 3 else deep[..., None], turned)
    if deep.shape[:2] != photo.pixels.shape[:2]:
        return photo
    colours = deep[..., 2::-1] if deep.shape[2] >= 3 else np.repeat(deep[..., :1], 3, 2)
    alpha = deep[..., -1] if deep.shape[2] in (2, 4) else None
    return replace(photo, pixels=np.ascontiguousarray(colours), alpha=alpha, suffix=".png")


def _upright(image: NDArray[Any], turned: int) -> NDArray[Any]:
    """What EXIF's orientation, 1 to 8, asks for."""
    if turned in (2, 5, 7, 4):  # mirrored
        image = image[:, ::-1]
    return np.rot90(image, {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(turned, 0))


def write_photo(path: str | Path, photo: Photo, says: str = "") -> Path:
    """Write a photograph with its alpha, profile and EXIF, whole or not at all.

    Args:
        path: its suffix names the format; where it names none, the photograph's own suffix takes its place.
        says: what was done to the photograph; EXIF's "Software".
    Returns:
        The file.
    Raises:
        ValueError: the format holds no 16 bits or no transparency, and the photograph has them.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        path = path.with_suffix(photo.suffix)
    kind = _FORMATS[path.suffix.lower()]
    if photo.deep and kind != "PNG":
        raise ValueError(f"{path}: 16 bits a channel are written as .png alone")
    if photo.alpha is not None and kind == "JPEG":
        raise ValueError(f"{path}: JPEG holds no transparency; write .png or .webp")
    exif = Image.Exif()
    if photo.exif:
        exif.load(photo.exif)
    if says:
        exif[_SOFTWARE] = says
    marks = exif.tobytes() if len(exif) else b""
    return files.write_bytes(path, _deep_png(photo, marks) if photo.deep else _encoded(photo, kind, marks))


def _encoded(photo: Photo, kind: str, exif: bytes) -> bytes:
    image = Image.fromarray(photo.pixels)
    image = image.convert("L") if photo.grey else image
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    options = {"icc_profile": photo.icc, "exif": exif, "quality": QUALITY, "subsampling": 0}
    buffer = io.BytesIO()
    image.save(buffer, kind, **{name: value for name, value in options.items() if value not in (None, b"")})
    return buffer.getvalue()


def _deep_png(photo: Photo, exif: bytes) -> bytes:
    """OpenCV writes 16 bits in colour, which Pillow cannot."""
    pixels = photo.pixels[..., ::-1]
    if photo.grey:
        pixels = np.rint(photo.pixels.mean(2)).astype(np.uint16)[..., None]
    if photo.alpha is not None:
        pixels = np.dstack([np.repeat(pixels, 3, 2) if photo.grey else pixels, photo.alpha])
    kinds, marks = [], []
    for kind, content in ((cv2.IMAGE_METADATA_ICCP, photo.icc), (cv2.IMAGE_METADATA_EXIF, exif)):
        if content:
            kinds.append(kind)
            marks.append(np.frombuffer(content.removeprefix(_EXIF_HEADER), np.uint8))
    done, data = cv2.imencodeWithMetadata(".png", np.ascontiguousarray(pixels), kinds, marks)
    if not done:
        raise ValueError("OpenCV could not encode 16-bit PNG")
    return data.tobytes()
