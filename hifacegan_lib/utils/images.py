"""Images: reading, writing and converting.

In files an image is ``uint8`` RGB, height x width x 3. In networks it is ``float32`` RGB in [0, 1], N x 3 x H x W.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError, features

from hifacegan_lib.utils import files, tiffs

if TYPE_CHECKING:  # loading PyTorch takes seconds, and restoring a photograph on a CPU needs none of it
    from torch import Tensor

Pixels = NDArray[np.uint8]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
SUFFIXES |= {".gif", ".avif"} if features.check("avif") else {".gif"}  # Pillow may be built without AVIF
MOST_PIXELS = 2 * 89_478_485
"""Largest image of a file; by Pillow's limit, a larger one is a decompression bomb."""

Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # once for the process: a filter around each file would need a lock around it
warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd EXIF and of many pixels; files are judged here


@dataclass(frozen=True)
class Raster:
    """An upright picture.

    Attributes:
        pixels: RGB, uint8 or uint16, H x W x 3.
        alpha: H x W of the same type, or None.
        grey: its file has one channel of colour.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    grey: bool = False

    @property
    def deep(self) -> bool:
        """16 bits a channel."""
        return self.pixels.dtype == np.uint16

    @property
    def shown(self) -> Pixels:
        """The picture in 8 bits, composited on white, as networks and detectors take it."""
        if self.alpha is None:
            return ((self.pixels.astype(np.uint32) + 128) // 257).astype(np.uint8) if self.deep else self.pixels
        cover = (self.alpha / np.iinfo(self.alpha.dtype).max)[..., None].astype(np.float32)
        levels = self.pixels / np.float32(257) if self.deep else self.pixels
        return np.rint(levels * cover + 255 * (1 - cover)).astype(np.uint8)


def load_image(path: str | Path) -> Pixels:
    """Read an image file as uint8 RGB, H x W x 3.

    EXIF orientation is applied. Transparency is composited on white. Grey, palette, CMYK and 16-bit files become 8-bit
    RGB. The first frame of an animation is read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be decoded completely; the message names the file and the reason.
    """
    with contents(path) as data:
        return decode_image(data)[0]


def decode_image(data: bytes, least: int = 0) -> tuple[Pixels, tuple[int, int]]:
    """Decode an image file's bytes as :func:`load_image` does: uint8 RGB, H x W x 3, and the full height and width.

    Args:
        least: a JPEG is decoded at a half, a quarter or an eighth of its size while no side is below ``least`` pixels:
            all of its data are read, few pixels are computed. 0: at its full size.
    Raises:
        ValueError, and what decoders raise: SyntaxError, struct.error, ...
    """
    reduced = None
    if tiffs.is_tiff(data) and (tiff := tiffs.read_tiff(data, MOST_PIXELS)) is not None:
        image = of_tiff(tiff).shown
    else:
        with opened(data) as file:
            width, height = file.size
            if least and width * height <= MOST_PIXELS and file.draft(None, (least, least)):
                reduced = (width, height) if orientation(file) > 4 else (height, width)
            image = decoded(file, data).shown
    return image, reduced or (image.shape[0], image.shape[1])


@contextmanager
def contents(path: str | Path) -> Iterator[bytes]:
    """The bytes of an image file; errors in the block become those of :func:`load_image`.

    The file is read by one call: between many small reads a thread would wait for the others.
    """
    path = files.expanded(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    data = path.read_bytes()
    if not data:
        raise ValueError(f"{path}: the file is empty")
    try:
        yield data
    except UnidentifiedImageError:
        raise ValueError(f"{path}: not an image that can be decoded") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ...
        raise ValueError(f"{path}: cannot be decoded ({error})") from error


def opened(data: bytes) -> Image.Image:
    """An image of Pillow that will decode a file's bytes in one piece where it can."""
    file = Image.open(io.BytesIO(data))
    file.decodermaxblock = len(data)
    return file


def of_tiff(tiff: tiffs.Tiff) -> Raster:
    """A decoded TIFF, turned upright, in RGB."""
    colours = turned(tiff.colours, tiff.orientation)
    alpha = None if tiff.alpha is None else np.ascontiguousarray(turned(tiff.alpha, tiff.orientation))
    grey = colours.shape[2] == 1
    return Raster(np.repeat(colours, 3, 2) if grey else np.ascontiguousarray(colours), alpha, grey)


def decoded(file: Image.Image, data: bytes) -> Raster:
    """An image that Pillow has opened from a file's bytes, decoded and upright, in its full depth.

    Raises:
        ValueError: too many pixels, or pixels without a range. Pillow's decoders raise errors of many types.
    """
    if file.width * file.height > MOST_PIXELS:
        raise ValueError(f"{file.width} x {file.height} pixels: at most {MOST_PIXELS} are read")
    file.load()  # Pillow turns a TIFF while it decodes it
    turn = orientation(file)
    if file.mode.startswith("I"):  # 16-bit grey; "I" holds it in 32 bits
        grey = np.asarray(file)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError(f"32-bit values from {grey.min()} to {grey.max()} have no defined range")
        grey = turned(grey.astype(np.uint16), turn)
        key = file.info.get("transparency")
        alpha = np.where(grey == key, 0, 65535).astype(np.uint16) if isinstance(key, int) else None
        return Raster(np.repeat(grey[..., None], 3, 2), alpha, True)
    if file.mode == "F":
        raise ValueError("floating-point pixels have no defined range")
    if _deep_colour(data):
        return _by_opencv(data, turn)
    see_through = file.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in file.info
    mode = "RGBA" if see_through else "RGB"
    pixels = turned(np.array(file if file.mode == mode else file.convert(mode)), turn)  # H x W x 4 or 3
    alpha = np.ascontiguousarray(pixels[..., 3]) if see_through else None
    return Raster(np.ascontiguousarray(pixels[..., :3]), alpha, file.mode in ("1", "L", "LA", "La"))


def _deep_colour(data: bytes) -> bool:
    """A PNG or PPM of 16 bits in several channels, of which Pillow reads 8."""
    if data[:2] == b"P6":
        size = re.match(rb"P6\s+(?:#.*\s+)*\d+\s+\d+\s+(\d+)\s", data[:1024])
        if size and 255 < int(size[1]) < 65535:
            raise ValueError(f"a PPM with values up to {int(size[1])} is not read here; 255 and 65535 are")
        return bool(size and int(size[1]) == 65535)
    return data.startswith(b"\x89PNG") and data[24:25] == b"\x10"


def _by_opencv(data: bytes, turn: int) -> Raster:
    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16 or deep.ndim != 3 or deep.shape[2] not in (2, 3, 4):
        raise ValueError("its 16 bits cannot be decoded")
    deep = np.ascontiguousarray(turned(deep, turn))
    grey = deep.shape[2] == 2 or (data.startswith(b"\x89PNG") and data[25] in (0, 4))
    colours = np.ascontiguousarray(deep[..., 2::-1]) if deep.shape[2] > 2 else np.repeat(deep[..., :1], 3, 2)
    return Raster(colours, np.ascontiguousarray(deep[..., -1]) if deep.shape[2] != 3 else None, grey)


def orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 if it is missing or cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises SyntaxError, struct.error, ... for EXIF that is damaged
        return 1
    value = value[0] if isinstance(value, bytes | tuple) and len(value) == 1 else value
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turned(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An array, H x W or H x W x C, turned and mirrored by EXIF's orientation, 1 to 8."""
    if orientation in (2, 5, 7, 4):  # mirrored
        image = image[:, ::-1]
    return np.rot90(image, {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0))


def file_suffix(path: str | Path) -> str:
    """The suffix of the format in which a file is encoded, independent of its name: ``.jpg``, ``.png``, ...

    Raises:
        ValueError: not an image that can be decoded.
    """
    try:
        with Image.open(path) as file:
            return format_suffix(file)
    except UnidentifiedImageError:
        with Path(path).open("rb") as opened:
            if tiffs.is_tiff(opened.read(4)):  # of a kind that Pillow does not know
                return ".tif"
        raise ValueError(f"{path}: not an image that can be decoded") from None


def format_suffix(file: Image.Image) -> str:
    """The suffix of the format of an image that Pillow has opened."""
    kind = str(file.format).lower()
    return {"jpeg": ".jpg", "mpo": ".jpg", "tiff": ".tif"}.get(kind, f".{kind}")


def save_image(path: str | Path, image: Pixels, quality: int = 95) -> Path:
    """Write uint8 RGB, H x W x 3, atomically, in the format of the suffix.

    A missing folder is created. ``quality`` (1-100) applies to JPEG and WebP.

    Raises:
        ValueError: not a uint8 H x W x 3 array with at least one pixel, or the suffix of no image format.
    """
    path = Path(path)
    check_pixels(image, f"{path}: ")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: unknown suffix '{path.suffix}', expected one of {', '.join(sorted(SUFFIXES))}")
    with files.atomic(path) as partial:
        Image.fromarray(image).save(partial, quality=quality)
    return path


def check_pixels(image: Pixels, where: str = "") -> None:
    """Raise ValueError unless ``image`` is uint8 H x W x 3 with at least one pixel; ``where`` begins the message."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{where}expected a uint8 H x W x 3 array, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"{where}expected uint8 H x W x 3 with at least one pixel, got {image.dtype} {image.shape}")


def to_float(image: Pixels) -> "Tensor":
    """uint8 H x W x 3 -> float32 3 x H x W in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float().div_(255)


def to_uint8(image: "Tensor") -> Pixels:
    """float 3 x H x W in [0, 1] (clipped) -> uint8 H x W x 3, rounded to nearest.

    Raises:
        ValueError: another shape, or a NaN.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"expected a 3 x H x W tensor, got {tuple(image.shape)}")
    if image.isnan().any():
        raise ValueError(f"expected numbers, got NaN in {int(image.isnan().sum())} of {image.numel()} values")
    return image.detach().float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Resample to height x width: area averages if no side grows, else cubic interpolation."""
    if min(height, width) < 1:
        raise ValueError(f"cannot resize to {height} x {width}: expected at least one pixel")
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def center_square(image: Pixels) -> Pixels:
    """The largest centred square of an image, H x W x 3."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def grid(images: Sequence[Pixels], columns: int, gap: int = 2) -> Pixels:
    """Arrange images of one size row by row on white, ``gap`` pixels apart.

    Raises:
        ValueError: no image, different sizes, or ``columns`` below 1.
    """
    if columns < 1:
        raise ValueError(f"columns = {columns}: a grid needs at least one")
    if not images:
        raise ValueError("a grid needs at least one image")
    if len({image.shape for image in images}) != 1:
        raise ValueError(f"a grid needs equal sizes, got {sorted({image.shape for image in images})}")
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas
