"""Around the faces: tiles give the whole picture, any factor is kept, and a face takes the background's place."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from restorers import SMALL, made
from skimage import data
from standins import real

from hifacegan_lib import cli
from hifacegan_lib.restoration.blending.backgrounds import TILE, enlarge, lanczos
from hifacegan_lib.restoration.cards import Card
from hifacegan_lib.restoration.photo_files import Photo
from hifacegan_lib.restoration.photos import Model, restore
from hifacegan_lib.restoration.pretrained import load_model
from hifacegan_lib.utils.images import load_image, save_image

ASTRONAUT = data.astronaut()
NOTHING = Model(lambda faces: faces, Card("nothing", size=128))
DARKER = Model(lambda pictures: pictures * np.float32(0.5), Card("darker"))


def twice(picture: np.ndarray) -> np.ndarray:
    """Each pixel becomes the four of the mean of its neighbours, then of itself: tiles need a margin for it."""
    smooth = cv2.blur(picture[0].transpose(1, 2, 0), (5, 5), borderType=cv2.BORDER_REFLECT_101).transpose(2, 0, 1)
    return smooth.repeat(2, 1).repeat(2, 2)[None]


@pytest.fixture(scope="module")
def swinir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upscaler by spandrel's own class, twice as large, with random weights."""
    path = tmp_path_factory.mktemp("upscaler") / "swinir.pth"
    torch.save(made(SMALL["SwinIR x2"]).state_dict(), path)
    return path


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiles_give_what_the_whole_picture_gives(scale: int, kind: type) -> None:
    most = np.iinfo(kind).max
    photo = np.random.default_rng(0).integers(0, most, (TILE + 30, 2 * TILE + 1, 3), kind, endpoint=True)
    found = enlarge(photo, scale, twice)
    whole = twice((photo / np.float32(most)).transpose(2, 0, 1)[None])[0].transpose(1, 2, 0)
    way = cv2.INTER_AREA if scale == 1 else cv2.INTER_LANCZOS4
    size = (photo.shape[1] * scale, photo.shape[0] * scale)
    expected = cv2.resize(np.ascontiguousarray(whole), size, interpolation=way).clip(0, 1) * most
    assert found.dtype == kind and found.shape == (size[1], size[0], 3)
    inner = np.s_[4 * scale : -4 * scale, 4 * scale : -4 * scale]  # the picture's border has no margin
    assert np.abs(found[inner] - expected[inner]).max() <= 1


def test_lanczos_at_one_is_the_picture() -> None:
    assert lanczos(ASTRONAUT, 1) is ASTRONAUT
    assert lanczos(ASTRONAUT, 2).shape == (1024, 1024, 3)


@pytest.mark.parametrize("drawn", [np.zeros((1, 3, 9, 8), np.float32), np.full((1, 3, 8, 8), np.nan, np.float32)])
def test_a_network_that_draws_another_shape_or_nan_is_refused(drawn: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"background: drew \(1, 3, [89], 8\) of \(1, 3, 8, 8\), \d+ of it NaN"):
        enlarge(np.zeros((8, 8, 3), np.uint8), 1, lambda _: drawn)


def test_an_upscaler_draws_around_the_face_and_the_trace_names_it(swinir: Path) -> None:
    upscaler = load_model(swinir)
    photo = ASTRONAUT[:256, 128:384]
    found = restore(photo, NOTHING, "haar", scale=2, background=upscaler)
    assert len(found.faces) == 1 and found.image.shape == (512, 512, 3)
    border = np.ones((512, 512), bool)
    (left, top), (right, bottom) = (2 * f(found.faces[0].detection.alignment.corners, 0) for f in (np.min, np.max))
    border[max(0, int(top)) : int(bottom), max(0, int(left)) : int(right)] = False
    assert border.mean() > 0.3
    assert np.array_equal(found.image[border], enlarge(photo, 2, upscaler.network)[border])
    said = found.trace["background"]
    assert said["weights"] == "swinir.pth" and said["sha256"] == upscaler.sha256 and "PyTorch" in said["engine"]
    assert "background" not in restore(photo, NOTHING, "haar").trace


def test_a_face_takes_the_place_of_the_background_and_is_not_added_to_it() -> None:
    """Network and background halve all levels: so does the restored photograph, faces too."""
    face = replace(DARKER, card=Card("darker", size=128))
    found = restore(ASTRONAUT, face, "haar", background=DARKER)
    assert np.abs(found.image.astype(int) - ASTRONAUT // 2).mean() < 1
    assert found.image[60:170, 175:280].mean() == pytest.approx(ASTRONAUT[60:170, 175:280].mean() / 2, rel=0.03)


def test_depth_and_alpha_stay() -> None:
    alpha = np.full(ASTRONAUT.shape[:2], 65535, np.uint16)
    found = restore(Photo(ASTRONAUT.astype(np.uint16) * 257, alpha), NOTHING, "haar", scale=1, background=DARKER).photo
    assert found.pixels.dtype == np.uint16 and found.alpha is not None and np.array_equal(found.alpha, alpha)
    assert found.pixels[:50].mean() == pytest.approx(257 * ASTRONAUT[:50].mean() / 2, rel=0.01)


def test_a_network_of_one_size_is_no_background() -> None:
    with pytest.raises(ValueError, match="background nothing: draws 128 pixels; any size is expected"):
        restore(ASTRONAUT, NOTHING, "haar", background=NOTHING)


def test_the_command_takes_a_file_and_draws_again_for_another(swinir: Path, tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", ASTRONAUT[:256, 128:384])
    words = ["restore", str(tmp_path / "a.png"), str(tmp_path / "out"), "--detector", "haar", "--scale", "2"]
    assert cli.main(words) == 0
    plain = load_image(tmp_path / "out" / "a.png")
    assert cli.main([*words, "--background", str(swinir)]) == 0
    assert np.abs(load_image(tmp_path / "out" / "a.png").astype(int) - plain).mean() > 1
    assert cli.main([*words, "--background", str(tmp_path / "no.pth")]) == 1


@real("realesrgan-x4plus")
def test_real_esrgan_keeps_the_photograph() -> None:
    photo = ASTRONAUT[60:124, 180:244]
    found = enlarge(photo, 2, load_model("realesrgan-x4plus").network)
    small = cv2.resize(found, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - photo).mean() < 8
