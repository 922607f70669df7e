"""The restorer without a browser: what comes in, what is shown, what goes wrong."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image
from skimage import data

from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.photos import Model
from hifacegan_lib.widgets.photo_restorer import Restorer

PHOTO = data.astronaut()[20:220, 120:330]
DARKER = Model(lambda faces: faces * faces, Card("darker", size=64))
asked: list[float] = []


def load(blend: float) -> Model:
    asked.append(blend)
    return replace(DARKER, card=replace(DARKER.card, name=f"darker {blend:g}"))


@pytest.fixture
def restorer() -> Restorer:
    asked.clear()
    return Restorer(PHOTO, load, "haar")


def upload(restorer: Restorer, name: str, content: bytes) -> None:
    came = {"name": name, "type": "", "size": len(content), "content": content, "last_modified": datetime.now(UTC)}
    restorer.upload.value = (came,)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_first_photograph_is_shown_before_and_after(restorer: Restorer) -> None:
    assert restorer.divider.before.startswith("data:image/webp;base64,")
    assert restorer.divider.before != restorer.divider.after
    assert "1 face restored by darker 0" in restorer.words.value
    assert not restorer.error.value


def test_strength_mixes_what_is_there_and_restores_nothing_anew(restorer: Restorer) -> None:
    after = restorer.divider.after
    restorer.strength.value = 0.5
    assert restorer.divider.after != after
    restorer.strength.value = 0.0
    assert restorer.divider.after == restorer.divider.before
    assert asked == [0.0]


def test_the_blend_loads_other_weights(restorer: Restorer) -> None:
    restorer.blend.value = 0.5
    assert asked == [0.0, 0.5]
    assert "darker 0.5" in restorer.words.value


def test_faces_and_doubts_are_shown(restorer: Restorer) -> None:
    photograph = restorer.divider.before
    restorer.shown.value = "faces found"
    boxed = restorer.divider.before
    assert boxed != photograph
    restorer.shown.value = "where it is unsure"
    assert restorer.divider.before not in (boxed, photograph)
    assert not restorer.error.value


def test_an_uploaded_photograph_takes_the_place(restorer: Restorer) -> None:
    before = restorer.divider.before
    upload(restorer, "mine.png", png(PHOTO[:, ::-1]))
    assert restorer.divider.before != before and not restorer.error.value
    assert restorer.upload.value == ()


def test_what_is_no_photograph_is_told_and_the_last_one_stays(restorer: Restorer) -> None:
    before = restorer.divider.before
    upload(restorer, "notes.txt", b"no image")
    assert "notes.txt: not an image" in restorer.error.value
    assert "/tmp" not in restorer.error.value
    assert restorer.divider.before == before


def test_a_photograph_without_a_face_says_so(restorer: Restorer) -> None:
    upload(restorer, "wall.png", png(np.full((60, 90, 3), 120, np.uint8)))
    assert "no face was found" in restorer.words.value
    restorer.shown.value = "where it is unsure"
    assert "no uncertainty to show" in restorer.error.value
