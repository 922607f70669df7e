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

from hifacegan_lib.degradations.compression import encode_webp
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
    says: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    figures: Mapping[str, Figure] = {}


def write_page(path: str | Path, template: str, **values: Any) -> Path:
    """Fill a template of ``pages/`` and write it, whole or not at all."""
    path = Path(path)
    environment = Environment(
        loader=PackageLoader("hifacegan_lib", "reports/pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(**values)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def sections(parts: Sequence[Section]) -> list[dict[str, Any]]:
    """For the template."""
    return [{**part._asdict(), "figures": [picture(*item) for item in part.figures.items()]} for part in parts]


def picture(caption: str, figure: Figure) -> dict[str, Any]:
    """A figure for the template; a caption's first sentence is its title."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, bbox_inches="tight", pad_inches=0.06)
    title, stop, rest = caption.partition(". ")
    return {
        "title": title + stop.strip(),
        "text": rest,
        "width": round(figure.get_figwidth() * 96),
        "png": base64.b64encode(buffer.getvalue()).decode(),
    }


def card(slider: Slider) -> dict[str, Any]:
    """A slider for the template."""
    height, width = slider.clean.shape[:2]
    faces = {name: getattr(slider, name) for name in ("before", "after", "clean")}
    if width > CARD:
        height, width = max(1, round(height * CARD / width)), CARD
        faces = {name: resize(face, height, width) for name, face in faces.items()}
    shown = {name: f"data:image/webp;base64,{webp(face, 95)}" for name, face in faces.items()}
    return {**slider._asdict(), **shown, "width": width, "height": height, "small": width <= SMALL}


def webp(image: Pixels, quality: int) -> str:
    """As base64 text."""
    return base64.b64encode(encode_webp(image, quality)).decode()


def flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Names and values as text; a mapping inside becomes one line, a path from the root only its last name."""
    return {
        key.replace("_", " "): ", ".join(f"{k} {v}" for k, v in value.items())
        if isinstance(value, Mapping)
        else unrooted(f"{value}")
        for key, value in values.items()
    }


def unrooted(text: str) -> str:
    """A path from the root without the folders that are nobody else's business; any other text as it is."""
    path = next((kind(text) for kind in (PurePosixPath, PureWindowsPath) if kind(text).is_absolute()), None)
    return f"…/{path.name}" if path else text
