"""HTML from the templates of ``pages/``; a page is one file that opens anywhere: nothing fetched, pictures inside it.

A before/after slider is a range input that moves the edge of the upper picture.
"""

import base64
import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from hifacegan_lib.utils.images import Pixels, resize

SMALL = 128  # sides up to which a face's pixels are shown as they are
CARD = 512  # widest picture of a slider, pixels


class Slider(NamedTuple):
    """A face before and after, beside the clean one; uint8 H x W x 3, of one size. ``names`` stand below the ends.

    Without originals ``clean`` is None, or another picture that ``beside`` names.
    """

    title: str
    before: Pixels
    after: Pixels
    clean: Pixels | None
    text: str = ""
    names: tuple[str, str] = ("degraded", "model")
    beside: str = "clean"


class Section(NamedTuple):
    """A part of a page: sentences, a table of texts, figures by caption."""

    title: str
    sentences: Sequence[str] = ()
    table: pd.DataFrame | None = None
    figures: Mapping[str, Figure] = {}


def render(template: str, **values: Any) -> str:
    """The text of a template of ``pages/``, whose filters are functions of this file; values are escaped."""
    return _templates().get_template(template).render(**values)


@functools.cache
def _templates() -> Environment:
    loader = PackageLoader("hifacegan_lib", "reports/pages")
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters |= {"card": card, "picture": picture, "plain": plain, "narrowed": narrowed, "webp": webp_uri}
    return found


def picture(caption: str, figure: Figure) -> dict[str, Any]:
    """A figure for the template; a caption's first sentence is its title."""
    title, stop, rest = caption.partition(". ")
    width = round(figure.get_figwidth() * 96)
    return {"title": title + stop.strip(), "text": rest, "width": width, "source": png_uri(figure)}


def card(slider: Slider) -> dict[str, Any]:
    """A slider for the template."""
    given = {name: getattr(slider, name) for name in ("before", "after", "clean")}
    faces = {name: narrowed(face, CARD) for name, face in given.items() if face is not None}
    height, width = faces["after"].shape[:2]
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
