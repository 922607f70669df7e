"""The one contract of colour and range: how a picture enters, leaves and changes its form.

At files an image is ``uint8`` RGB, height x width x 3. Inside networks it is ``float32`` RGB in [0, 1], N x 3 x H x W.
Nothing else in the project decodes a file, swaps channels or rounds to eight bits.
"""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hifacegan_lib.utils import files

if TYPE_CHECKING:  # loading PyTorch takes seconds, and restoring a photograph on a CPU needs none of it
    from torch import Tensor

Pixels = NDArray[np.uint8]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"})
_FILTERS = threading.Lock()  # catch_warnings changes the whole process: without it, threads leave warnings off for good


def load_image(path: str | Path) -> Pixels:
    """Read an image file as uint8 RGB, H x W x 3.

    EXIF orientation is applied, alpha is composited on white, grey, palette, CMYK and 16-bit files become 8-bit RGB; an
    animation gives its first frame.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be decoded whole; the message names it and the reason.
    """
    with open_image(path) as file:
        ImageOps.exif_transpose(file, in_place=True)
        return to_rgb(file)


@contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """An image file for Pillow, not yet decoded; what fails inside of the block raises as :func:`load_image` does."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns from 89 megapixels on; we take them, up to its hard limit
            with Image.open(path) as file:
                yield file
    except UnidentifiedImageError:
        raise ValueError(f"{path}: not an image that can be decoded") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise ValueError(f"{path}: cannot be decoded ({error})") from error


def to_rgb(image: Image.Image) -> Pixels:
    """uint8 RGB, H x W x 3, on white; as :func:`load_image` says."""
    if image.mode.startswith("I"):  # 16-bit grey; "I" holds it in 32 bits
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError(f"32-bit values from {grey.min()} to {grey.max()} have no defined range")
        return np.repeat(np.round(grey / 257.0).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def file_suffix(path: str | Path) -> str:
    """The suffix that fits a file's content, whatever its name: ``.jpg``, ``.png``, ...

    Raises:
        ValueError: not an image that can be decoded.
    """
    try:
        with Image.open(path) as file:
            kind = str(file.format).lower()
    except UnidentifiedImageError:
        raise ValueError(f"{path}: not an image that can be decoded") from None
    return {"jpeg": ".jpg", "mpo": ".jpg", "tiff": ".tif"}.get(kind, f".{kind}")


def save_image(path: str | Path, image: Pixels, quality: int = 95) -> Path:
    """Write uint8 RGB, H x W x 3, in the format of the suffix; whole or not at all.

    The folder is made when missing. ``quality`` (1-100) counts for JPEG and WebP.

    Raises:
        ValueError: not a uint8 H x W x 3 array with a pixel in it, or a suffix that is no image format.
    """
    path = Path(path)
    check_pixels(image, f"{path}: ")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: '{path.suffix}' is none of {', '.join(sorted(SUFFIXES))}")
    with files.atomic(path) as partial:
        Image.fromarray(image).save(partial, quality=quality)
    return path


def check_pixels(image: Pixels, where: str = "") -> None:
    """Raise ValueError unless ``image`` is uint8 H x W x 3 with at least one pixel; ``where`` opens the message."""
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
        ValueError: another shape, or NaN somewhere.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"expected a 3 x H x W tensor, got {tuple(image.shape)}")
    if image.isnan().any():
        raise ValueError(f"expected numbers, got NaN in {int(image.isnan().sum())} of {image.numel()} values")
    return image.detach().float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Resample to height x width: area averages when it shrinks, cubic when it grows."""
    if min(height, width) < 1:
        raise ValueError(f"cannot resize to {height} x {width}: at least one pixel")
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def center_square(image: Pixels) -> Pixels:
    """The largest centred square of an image."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def grid(images: Sequence[Pixels], columns: int, gap: int = 2) -> Pixels:
    """Lay equally sized images out row by row on white, ``gap`` pixels apart.

    Raises:
        ValueError: no image, sizes that differ, or no column.
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
