"""Images: reading, writing and converting.

In files an image is ``uint8`` RGB, height x width x 3. In networks it is ``float32`` RGB in [0, 1], N x 3 x H x W.
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
from PIL import Image, UnidentifiedImageError, features

from hifacegan_lib.utils import files

if TYPE_CHECKING:  # loading PyTorch takes seconds, and restoring a photograph on a CPU needs none of it
    from torch import Tensor

Pixels = NDArray[np.uint8]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}) | {
    ".gif",
    *([".avif"] if features.check("avif") else []),  # Pillow may be built without it
}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FILTERS = threading.Lock()  # catch_warnings is not thread-safe: warnings could stay off


def load_image(path: str | Path) -> Pixels:
    """Read an image file as uint8 RGB, H x W x 3.

    EXIF orientation is applied. Transparency is composited on white. Grey, palette, CMYK and 16-bit files become 8-bit
    RGB. The first frame of an animation is read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be decoded completely; the message names the file and the reason.
    """
    with open_image(path) as file:
        return to_rgb(upright(file))


@contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """Open an image file by Pillow without decoding it; errors in the block become those of :func:`load_image`."""
    path = files.expanded(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns above 89 megapixels; its hard limit stays
            with Image.open(path) as file:
                yield file
    except UnidentifiedImageError:
        raise ValueError(f"{path}: not an image that can be decoded") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise ValueError(f"{path}: cannot be decoded ({error})") from error


def orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none, or none that can be read."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow raises SyntaxError, struct.error, ... for EXIF that is damaged
        return 1
    value = value[0] if isinstance(value, bytes | tuple) and len(value) == 1 else value
    return value if isinstance(value, int) and value in _TURNS else 1


def upright(image: Image.Image) -> Image.Image:
    """The image turned and mirrored as its :func:`orientation` says; its EXIF is not changed and need not be sound."""
    image.load()  # Pillow turns a TIFF while it decodes it
    turn = orientation(image)
    return image if turn == 1 else image.transpose(_TURNS[turn])


def to_rgb(image: Image.Image) -> Pixels:
    """A Pillow image as uint8 RGB, H x W x 3, by the rules of :func:`load_image`."""
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
    """The suffix of the format in which a file is encoded, independent of its name: ``.jpg``, ``.png``, ...

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
