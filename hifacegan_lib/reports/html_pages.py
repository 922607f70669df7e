"""Pages of HTML that open anywhere: one file, nothing fetched, pictures inside it.

A before/after slider is a range input that moves the edge of the upper picture.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from hifacegan_lib.utils.files import write_text
from hifacegan_lib.utils.images import Pixels, resize

SMALL = 128  # sides up to which a face's pixels are shown as they are
CARD = 512  # widest picture of a slider, pixels


class Slider(NamedTuple):
    """A face before and after, beside the clean one; uint8 H x W x 3, of one size. ``names`` stand below the ends."""

    title: str
    before: Pixels
    after: Pixels
    clean: Pixels
    text: str = ""
    names: tuple[str, str] = ("degraded", "model")


class Section(NamedTuple):
    """A part of a page: sentences, a table (its first line the head), figures by caption."""

    title: str
    sentences: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    figures: Mapping[str, Figure] = {}


def write_page(path: str | Path, template: str, **values: Any) -> Path:
    """Fill a template of ``pages/``, whose filters are functions of this file, and write it, whole or not at all."""
    environment = Environment(
        loader=PackageLoader("hifacegan_lib", "reports/pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"card": card, "picture": picture, "plain": plain, "narrowed": narrowed, "webp": webp_uri}
    return write_text(path, environment.get_template(template).render(**values))


def picture(caption: str, figure: Figure) -> dict[str, Any]:
    """A figure for the template; a caption's first sentence is its title."""
    title, stop, rest = caption.partition(". ")
    width = round(figure.get_figwidth() * 96)
    return {"title": title + stop.strip(), "text": rest, "width": width, "source": png_uri(figure)}


def card(slider: Slider) -> dict[str, Any]:
    """A slider for the template."""
    faces = {name: narrowed(getattr(slider, name), CARD) for name in ("before", "after", "clean")}
    height, width = faces["clean"].shape[:2]
    shown = {name: webp_uri(face, 95) for name, face in faces.items()}
    return {**slider._asdict(), **shown, "width": width, "height": height, "small": width <= SMALL}


def narrowed(image: Pixels, widest: int) -> Pixels:
    """The image, made smaller when it is wider than ``widest`` pixels."""
    height, width = image.shape[:2]
    return resize(image, max(1, round(height * widest / width)), widest) if width > widest else image


def webp_uri(image: Pixels, quality: int = 90) -> str:
    """uint8 H x W x 3 as the address of an image in a page: lossy WebP, ``quality`` 1 to 100."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "webp", quality=quality)
    return data_uri("image/webp", buffer.getvalue())


def png_uri(figure: Figure, dpi: int = 160) -> str:
    """A figure as the address of a PNG image in a page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.06)
    return data_uri("image/png", buffer.getvalue())


def data_uri(kind: str, data: bytes) -> str:
    """An address that holds the file itself; ``kind`` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def plain(value: Any) -> str:
    """A value as text: a mapping as one line, a path from the root without its folders, which are private."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    path = next((kind(value) for kind in (PurePosixPath, PureWindowsPath) if kind(f"{value}").is_absolute()), None)
    return f"…/{path.name}" if path else f"{value}"
