"""Uploads become files, and errors are shown."""

import io
from datetime import UTC, datetime
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from PIL import Image

from hifacegan_lib.utils.images import load_image
from hifacegan_lib.widgets.panels import Panel, read_upload, upload_button


def uploaded(name: str, content: bytes) -> ipywidgets.FileUpload:
    button, now = upload_button(), datetime.now(UTC)
    button.value = ({"name": name, "type": "", "size": len(content), "content": content, "last_modified": now},)
    return button


def encoded(shape: tuple[int, ...], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("shape", [(40, 60, 3), (60, 40), (30, 30, 4), (1, 1, 3)])
def test_an_upload_is_read_and_the_button_is_empty_again(shape: tuple[int, ...]) -> None:
    button = uploaded("photo.png", encoded(shape))
    assert read_upload(button, load_image).shape == (*shape[:2], 3)
    assert button.value == ()


@pytest.mark.parametrize("data", [b"", b"no picture", encoded((40, 40, 3), "JPEG")[:200]])
def test_a_bad_file_is_told_by_its_own_name(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^grandmother\.jpg: "):
        read_upload(uploaded("grandmother.jpg", data), load_image)


def test_no_upload_is_written_outside_its_folder(tmp_path: Path) -> None:
    target = tmp_path / "photo.png"
    assert read_upload(uploaded(str(target), encoded((4, 4, 3))), lambda path: path.name) == "photo.png"
    assert not target.exists()


def test_an_error_is_shown_until_the_next_success() -> None:
    panel = Panel([])
    panel.error = ipywidgets.HTML()
    assert not panel.attempt(lambda: int("<b>"))
    assert "ValueError" in panel.error.value and "&lt;b&gt;" in panel.error.value
    assert panel.attempt(lambda: None) and panel.error.value == ""
