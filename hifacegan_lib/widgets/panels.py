"""Shared parts of the explorer and the photo restorer: style, uploads, and errors shown in the widget."""

import html
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import ipywidgets

T = TypeVar("T")
STYLE = Path(__file__).with_name("widgets.css").read_text(encoding="utf-8")


class Panel(ipywidgets.VBox):
    """A box that shows the errors of callbacks in its child ``error``; a notebook's kernel does not show them."""

    def __init__(self, children: list[Any], *classes: str) -> None:
        style = ipywidgets.HTML(f"<style>{STYLE}</style>")
        super().__init__([style, *children], _dom_classes=("dx", *classes))

    def attempt(self, action: Callable[[], None]) -> bool:
        """Call ``action`` and show its error, if any; returns whether it succeeded."""
        self.error.value = ""
        try:
            action()
        except Exception as error:
            words = html.escape(str(error))
            self.error.value = f'<div class="dx-error"><b>{type(error).__name__}</b> {words}</div>'
        return not self.error.value


def upload_button() -> ipywidgets.FileUpload:
    """A button that uploads one image."""
    return ipywidgets.FileUpload(accept="image/*").add_class("dx-upload")


def read_upload(button: ipywidgets.FileUpload, read: Callable[[Path], T]) -> T:
    """Call ``read`` on the uploaded file and return its result; the button is emptied, so that it accepts a new file.

    Raises:
        ValueError: ``read`` raised it; the message has the file's name without a folder.
    """
    upload, button.value = button.value[0], ()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(upload["name"]).name
        path.write_bytes(bytes(upload["content"]))
        try:
            return read(path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), path.name)) from None


def hbox(name: str, *children: Any) -> ipywidgets.HBox:
    """Controls beside each other, with a CSS class."""
    return ipywidgets.HBox(children).add_class(name)


def vbox(name: str, *children: Any) -> ipywidgets.VBox:
    """Controls below each other, with a CSS class."""
    return ipywidgets.VBox(children).add_class(name)


def title(text: str) -> ipywidgets.HTML:
    """A small heading."""
    return ipywidgets.HTML(f'<div class="dx-title">{html.escape(text)}</div>')
