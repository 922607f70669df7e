"""EXIF as it can be written again: without the tags that say how pixels lie; unsound tags are dropped and named."""

from collections.abc import Callable
from typing import Any

from PIL import ExifTags, Image
from PIL.ExifTags import Base as Tag

_LEFT_OUT = (*range(254, 260), 262, 266, 273, 277, 278, 279, 284, 297, 317, 320, *range(322, 326), 330)
_LEFT_OUT += (*range(332, 337), 338, 339, 347, *range(512, 533), Tag.Orientation, Tag.XMLPacket, Tag.InterColorProfile)
"""TIFF's tags that say how its pixels lie (of the file that was read, not of the one that is written), profile, XMP."""
_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


def writable_exif(read: Callable[[], Image.Exif], turn: int) -> tuple[bytes | None, tuple[str, ...]]:
    """EXIF without orientation and layout, as bytes, and the names of the tags that cannot be written again.

    Args:
        read: gives the file's EXIF, anew at each call; it may raise any error.
        turn: its orientation, 1 to 8; from 5 on, x and y change places.
    """
    try:
        exif = read()
        if turn > 4 and {Tag.XResolution, Tag.YResolution} <= set(exif):
            exif[Tag.XResolution], exif[Tag.YResolution] = exif[Tag.YResolution], exif[Tag.XResolution]
        for tag in _LEFT_OUT:
            exif.pop(tag, None)
        return (_checked(exif) if len(exif) else None), ()
    except Exception:  # a tag of a wrong type raises struct.error, TypeError, AttributeError, OverflowError, ...
        return _sound_tags(read)


def _checked(exif: Image.Exif) -> bytes:
    """EXIF as bytes; raises one of Pillow's many errors if the bytes cannot be read and written again."""
    again = Image.Exif()
    again.load(exif.tobytes())
    again[Tag.Software] = "workbench"
    again.tobytes()
    return exif.tobytes()


def _sound_tags(read: Callable[[], Image.Exif]) -> tuple[bytes | None, tuple[str, ...]]:
    """Tag by tag, also inside the directories of the camera and of GPS: those that can be written alone are kept."""
    sound, lost = Image.Exif(), []
    try:
        exif = read()
        inner: dict[int, Any] = {ifd: exif.get_ifd(ifd) for ifd in _DIRECTORIES if ifd in exif}
        places = [(tag, 0) for tag in exif if tag not in inner and tag not in _LEFT_OUT]
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
